"""The server and the browser canvas: it knows graphs and runs, and no diffusion."""
