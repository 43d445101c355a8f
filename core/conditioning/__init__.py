"""Domain encoders τ of latent diffusion: what a condition is made into before the UNet sees it."""
