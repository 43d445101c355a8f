"""The nodes of latent diffusion: each a typed function of a few lines that calls `core`."""
