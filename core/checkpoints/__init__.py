"""Reading and writing models: our own files, CompVis single files, diffusers folders, LoRA files."""
