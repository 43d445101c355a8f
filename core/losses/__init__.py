"""The training losses, as pure functions of tensors: what the first stage and the diffusion model minimise."""
