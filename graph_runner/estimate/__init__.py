"""What a run would do, known beforehand."""
