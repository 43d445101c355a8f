"""Stable Diffusion 3's text encoders (Esser et al. 2024, section 4 and appendix B.3): two CLIPs and T5, as one.

Source of the use: diffusers' StableDiffusion3Pipeline (`encode_prompt`) and Stability-AI/sd3.5, sd3_infer.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import at_end, padded
from core.conditioning.t5 import T5TextEmbedder
from core.models.registry import model


@model
class SD3TextEmbedder(nn.Module):
    """Token ids to context, and to one pooled vector.

    The context is, one after the other, the tokens of both CLIPs side by side, filled up with zeros to T5's width, and those of
    T5. The vector is of both CLIPs, each its last state at the end token, projected.

    clip_l: arguments of the first `CLIPTextEmbedder` (OpenAI's ViT-L/14). clip_g: of the second (OpenCLIP's ViT-bigG/14).
    t5: of the `T5TextEmbedder`; None where it is left out, which saves most of the memory: its tokens are then zero.
    projection_dims: widths of the two halves of the vector.
    context_dim: width of the context.
    t5_length: tokens of T5 where it is left out, and the text has none for it.
    skip: layers of the CLIPs left out at the end.
    end: id of CLIP's end token. pads: the ids that each CLIP reads after it, whatever the tokenizer pads with.
    """

    config: dict[str, Any]
    pools = True
    """Called with pooled=True, it gives the vector too."""

    def __init__(
        self,
        clip_l: Mapping[str, Any],
        clip_g: Mapping[str, Any],
        t5: Mapping[str, Any] | None = None,
        projection_dims: Sequence[int] = (768, 1280),
        context_dim: int = 4096,
        t5_length: int = 256,
        skip: int = 1,
        end: int = 49407,
        pads: Sequence[int] = (49407, 0),
    ) -> None:
        super().__init__()
        self.clip_l, self.clip_g = CLIPTextEmbedder(**clip_l), CLIPTextEmbedder(**clip_g)
        layers = [each.config["num_hidden_layers"] for each in (self.clip_l, self.clip_g)]
        if not 0 <= skip < min(layers):
            raise ValueError(f"skip must leave at least one of the {min(layers)} layers, not leave out {skip}.")
        self.t5 = None if t5 is None else T5TextEmbedder(**t5)
        widths = [each.config["hidden_size"] for each in (self.clip_l, self.clip_g)]
        if sum(widths) > context_dim or (self.t5 is not None and self.t5.config["d_model"] != context_dim):
            raise ValueError(f"a context of {context_dim} channels holds neither CLIPs of {widths[0]} and {widths[1]} nor another T5; give T5's width")  # fmt: skip
        self.projection_l = nn.Linear(widths[0], projection_dims[0], bias=False)
        self.projection_g = nn.Linear(widths[1], projection_dims[1], bias=False)
        self.length = int(self.clip_l.config["max_position_embeddings"])
        self.context_dim, self.t5_length = context_dim, t5_length
        self.skip, self.end, self.pads = skip, end, tuple(pads)

    @overload
    def forward(self, tokens: Tensor, pooled: Literal[False] = False) -> Tensor: ...

    @overload
    def forward(self, tokens: Tensor, pooled: Literal[True]) -> tuple[Tensor, Tensor]: ...

    def forward(self, tokens: Tensor, pooled: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """(b, n) token ids, CLIP's 77 and after them T5's, to a (b, n, context_dim) context; with `pooled` also the vector,
        (b, sum of projection_dims). Raises ValueError for a text without tokens for T5, where there is one.
        """
        words, more = tokens[:, : self.length], tokens[:, self.length :]
        if self.t5 is not None and not more.shape[1]:
            raise ValueError(
                "this text encoder has T5, and the tokenizer is CLIP's alone; wire the model's own tokenizer, or join T5's to it "
                "(join_tokenizers)"
            )
        states, vectors = [], []
        for clip, projection, pad in zip(
            (self.clip_l, self.clip_g), (self.projection_l, self.projection_g), self.pads, strict=True
        ):
            read = clip.transformer(padded(words, self.end, pad), output_hidden_states=True)
            states.append(read.hidden_states[-1 - self.skip])
            vectors.append(projection(at_end(read.last_hidden_state, words, self.end)))
        clips = torch.cat(states, dim=-1)
        clips = F.pad(clips, (0, self.context_dim - clips.shape[-1]))
        missing = clips.new_zeros(len(tokens), more.shape[1] or self.t5_length, self.context_dim)
        context = torch.cat([clips, missing if self.t5 is None else self.t5(more)], dim=1)
        return (context, torch.cat(vectors, dim=-1)) if pooled else context
