"""Two text encoders as Stable Diffusion XL's one."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from nodes.text_pairs import pair_text_encoders

SMALL = {"vocab_size": 64, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
SMALL |= {"max_position_embeddings": 12}


def test_the_pair_reads_as_both() -> None:
    first = CLIPTextEmbedder(**SMALL, hidden_size=16).eval()
    second = SDXLTextEmbedder(None, SMALL | {"hidden_size": 24}, projection_dim=10, end=63, pads=(63, 0)).eval()
    pair = pair_text_encoders(first, second)
    tokens = torch.tensor([[62, 5, 9, 63, 63, 63, 63, 63, 63, 63, 63, 63]])
    with torch.no_grad():
        context, vector = pair(tokens, pooled=True)
        alone, its = second(tokens, pooled=True)
        states = first.transformer(input_ids=tokens, output_hidden_states=True).hidden_states
    assert context.shape == (1, 12, 40)
    torch.testing.assert_close(context[..., 16:], alone)
    torch.testing.assert_close(context[..., :16], states[-2])
    torch.testing.assert_close(vector, its)
    with pytest.raises(ValueError, match="clip_l is a SDXLTextEmbedder; wire CLIP ViT-L"):
        pair_text_encoders(second, second)
    with pytest.raises(ValueError, match="clip_g is a CLIPTextEmbedder; wire OpenCLIP bigG alone"):
        pair_text_encoders(first, first)
    with pytest.raises(ValueError, match="clip_g is a SDXLTextEmbedder; wire OpenCLIP bigG alone"):
        pair_text_encoders(first, pair)
