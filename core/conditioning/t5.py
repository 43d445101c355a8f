"""T5's text encoder (Raffel et al. 2020) as Stable Diffusion 3 and PixArt use it: the states after its last layer.

The transformer is the transformers library's own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from core.conditioning.parts import ContextMask
from core.models.registry import model


@model
class T5TextEmbedder(nn.Module):
    """Token ids to context. The defaults are those of the encoder of T5 v1.1 XXL.

    vocab_size, d_model: tokens, and width of their states. d_kv, num_heads: of the attention. d_ff: width of the MLPs.
    num_layers: blocks. feed_forward_proj: the MLPs' activation, gated or not. relative_attention_num_buckets,
    relative_attention_max_distance: of the learned distances between tokens. pad: id of the token that fills up a short text, where
    nobody is to read it, as in PixArt (`mask`); None where it is read as any token, as in Stable Diffusion 3.
    """

    config: dict[str, Any]

    def __init__(
        self,
        vocab_size: int = 32128,
        d_model: int = 4096,
        d_kv: int = 64,
        d_ff: int = 10240,
        num_layers: int = 24,
        num_heads: int = 64,
        feed_forward_proj: str = "gated-gelu",
        relative_attention_num_buckets: int = 32,
        relative_attention_max_distance: int = 128,
        layer_norm_epsilon: float = 1e-6,
        pad: int | None = None,
    ) -> None:
        from transformers import T5Config, T5EncoderModel  # seconds to import, and only needed for T5

        super().__init__()
        shape = {
            "vocab_size": vocab_size,
            "d_model": d_model,
            "d_kv": d_kv,
            "d_ff": d_ff,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "feed_forward_proj": feed_forward_proj,
            "relative_attention_num_buckets": relative_attention_num_buckets,
            "relative_attention_max_distance": relative_attention_max_distance,
            "layer_norm_epsilon": layer_norm_epsilon,
            "dropout_rate": 0.0,
        }
        self.transformer = T5EncoderModel(T5Config.from_dict(shape)).encoder
        self.pad = pad

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n) token ids to a (b, n, d_model) context."""
        mask = self.mask(tokens)
        read = None if mask is None else mask.read.long()
        context: Tensor = self.transformer(input_ids=tokens, attention_mask=read).last_hidden_state
        return context

    def mask(self, tokens: Tensor) -> ContextMask | None:
        """Which of (b, n) token ids are no padding; None where that is read as any token."""
        return None if self.pad is None else ContextMask(tokens != self.pad)
