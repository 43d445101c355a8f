"""What the disk keeps: values, checkpoints, and how much room they take."""
