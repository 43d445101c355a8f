"""Stable Diffusion XL's two text encoders from files of their own."""

from __future__ import annotations

from core.checkpoints.sdxl_text import beside_each_other
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from graph_runner.contract import node
from nodes.wires import TextEncoder


@node(category="text", words=("dual clip loader", "clip_l", "clip_g", "sdxl text encoders"))
def pair_text_encoders(clip_l: TextEncoder, clip_g: TextEncoder) -> TextEncoder:
    """Stable Diffusion XL's two text encoders as one, of files that hold one each. Both read the same tokens.

    clip_l: CLIP ViT-L, which Stable Diffusion 1 has too.
    clip_g: OpenCLIP bigG alone, with its projection.
    """
    if not isinstance(clip_l, CLIPTextEmbedder):
        raise ValueError(f"clip_l is a {type(clip_l).__name__}; wire CLIP ViT-L, as load_checkpoint gives it")
    if not isinstance(clip_g, SDXLTextEmbedder) or clip_g.clip_l is not None:
        raise ValueError(
            f"clip_g is a {type(clip_g).__name__}; wire OpenCLIP bigG alone with its projection, as load_checkpoint gives it"
        )
    return beside_each_other(clip_l, clip_g)
