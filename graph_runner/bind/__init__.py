"""From a workflow to a validated graph: definitions expanded, nodes bound to specifications, wires checked."""
