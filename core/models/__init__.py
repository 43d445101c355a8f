"""The networks of latent diffusion: denoiser, autoencoders, discriminator, perceptual distances, EMA, presets.

Every model remembers the arguments it was built with: `type(model)(**model.config)` builds the same architecture again.
"""
