"""From a validated graph to a plan: pruned, hoisted, keyed, every wire bound to a slot."""
