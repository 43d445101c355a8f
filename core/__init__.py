"""Latent diffusion as a library: plain PyTorch in, plain PyTorch out.

The models, schedules, solvers, losses, conditioners, data, metrics and checkpoints of "High-Resolution Image Synthesis
with Latent Diffusion Models" (Rombach et al. 2022), usable from Python alone. It knows no node, no workflow file and no
browser. Images are float in [-1, 1]; a latent `z` is in the diffusion model's space, that is, with the autoencoder's
`scale_factor` already applied.
"""
