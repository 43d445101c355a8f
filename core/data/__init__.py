"""Data: procedural shapes, image folders, encoded latents, and a loader whose batches depend on a seed alone."""
