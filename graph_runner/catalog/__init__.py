"""Node specifications as data, for a canvas and for documentation."""
