"""A graph as a plain Python script: what the nodes are, in the order in which the engine calls them, without the engine."""
