"""Domain encoders τ of latent diffusion: what a condition is made into before a denoiser sees it."""
