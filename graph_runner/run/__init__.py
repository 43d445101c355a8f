"""A run: its surroundings, its loops, its record, and the engine that is its door."""
