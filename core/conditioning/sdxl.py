"""Stable Diffusion XL's text encoders (Podell et al. 2023, section 2.1): two CLIPs side by side, and a vector of the whole text.

Source of the use: Stability-AI/generative-models, sgm/modules/encoders/modules.py (`FrozenCLIPEmbedder`,
`FrozenOpenCLIPEmbedder2`) and its sd_xl_base.yaml and sd_xl_refiner.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from core.conditioning.clip import CLIPTextEmbedder
from core.models.registry import model


@model
class SDXLTextEmbedder(nn.Module):
    """Token ids to cross-attention context, and to one pooled vector for the time embedding.

    The context is the hidden states before the last layer, without a final norm, of both encoders side by side; the vector is the
    second one's last state at the end token, projected.

    clip_l: arguments of the first `CLIPTextEmbedder` (OpenAI's ViT-L/14); None for the refiner, which has the second alone.
    clip_g: of the second (OpenCLIP's ViT-bigG/14).
    projection_dim: width of the vector.
    skip: layers left out at the end.
    end: id of the end token. pads: the ids that each encoder reads after it, whatever the tokenizer pads with.
    """

    config: dict[str, Any]
    pools = True
    """Called with pooled=True, it gives the vector too."""

    def __init__(
        self,
        clip_l: Mapping[str, Any] | None,
        clip_g: Mapping[str, Any],
        projection_dim: int = 1280,
        skip: int = 1,
        end: int = 49407,
        pads: Sequence[int] = (49407, 0),
    ) -> None:
        super().__init__()
        layers = [CLIPTextEmbedder(**each) for each in (clip_l, clip_g) if each is not None]
        if not 0 <= skip < (fewest := min(each.config["num_hidden_layers"] for each in layers)):
            raise ValueError(f"skip must leave at least one of the {fewest} layers, not leave out {skip}.")
        self.clip_l = layers[0] if clip_l is not None else None
        self.clip_g = layers[-1]
        self.text_projection = nn.Linear(self.clip_g.config["hidden_size"], projection_dim, bias=False)
        self.widths = [each.config["hidden_size"] for each in layers]  # of the encoders' parts of the context
        self.skip, self.end, self.pads = skip, end, tuple(pads)

    @overload
    def forward(self, tokens: Tensor, pooled: Literal[False] = False) -> Tensor: ...

    @overload
    def forward(self, tokens: Tensor, pooled: Literal[True]) -> tuple[Tensor, Tensor]: ...

    def forward(self, tokens: Tensor, pooled: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """(b, n) token ids to a (b, n, d) context; with `pooled` also the (b, projection_dim) vector.

        d is the sum of the encoders' widths.
        """
        states = []
        if self.clip_l is not None:
            read = self.clip_l.transformer(self._padded(tokens, self.pads[0]), output_hidden_states=True)
            states.append(read.hidden_states[-1 - self.skip])
        read = self.clip_g.transformer(self._padded(tokens, self.pads[1]), output_hidden_states=True)
        states.append(read.hidden_states[-1 - self.skip])
        context = torch.cat(states, dim=-1)
        if not pooled:
            return context
        ends = (tokens == self.end).int().argmax(dim=1)
        last: Tensor = read.last_hidden_state  # after the final norm
        return context, self.text_projection(last[torch.arange(len(last), device=last.device), ends])

    def _padded(self, tokens: Tensor, pad: int) -> Tensor:
        is_end = tokens == self.end
        return tokens.masked_fill(is_end.cumsum(dim=1) > is_end.int(), pad)
