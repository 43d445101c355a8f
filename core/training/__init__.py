"""Training: what a step optimises as plain data, and the trainer that owns the optimizers' state."""
