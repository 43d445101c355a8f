"""How good images are: reconstructions against their originals, and sets of samples against sets of real images."""
