"""Diffusion in latent space: noise schedules, the levels a sampler visits, solvers, guidance, Langevin dynamics."""
