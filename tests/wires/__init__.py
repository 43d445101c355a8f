"""Which wires fit: one set of questions for the engine's rules and the canvas'."""
