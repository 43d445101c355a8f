"""ComfyUI's workflows brought here and back: its file forms, and the table of what its nodes are here."""
