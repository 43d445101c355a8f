"""A whole latent diffusion model, or the parts of one that a file holds, as one value."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from core.checkpoints.files import CheckpointError
from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import TextTokenizer
from core.diffusion.kinds import from_dict
from core.diffusion.process import Process
from core.models.dit import DiT
from core.models.first_stage import FirstStage
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt
from core.models.registry import MODELS
from core.models.unet import UNet

Module = TypeVar("Module", bound=nn.Module)
Predictor = UNet | DiT | MMDiT | PixArt
"""What may predict in a checkpoint."""
Conditioner = (
    ClassEmbedder
    | BERTEmbedder
    | CLIPTextEmbedder
    | SDXLTextEmbedder
    | SD3TextEmbedder
    | T5TextEmbedder
    | SpatialRescaler
)


@dataclass(frozen=True, eq=False)
class LatentDiffusion:
    """The parts that a checkpoint holds; what it lacks is None. The autoencoder carries the scale of the latents.

    unet: the denoiser, which may also be a transformer. untold: what the file leaves open, or holds that was not read, in
    sentences.
    """

    unet: Predictor | None = None
    autoencoder: FirstStage | None = None
    conditioner: Conditioner | None = None
    tokenizer: TextTokenizer | None = None
    schedule: Process | None = None
    untold: tuple[str, ...] = ()

    @property
    def architecture(self) -> Architecture:
        """How the parts are built; the latents' scale is the present one, which may have been measured."""

        def part(model: Any) -> Part | None:
            return None if model is None else Part(type(model), model.config)

        autoencoder = part(self.autoencoder)
        if self.autoencoder is not None and autoencoder and self.autoencoder.scale_factor.numel() == 1:
            measured = float(f"{self.autoencoder.scale_factor.item():.7g}")
            autoencoder = autoencoder._replace(config=autoencoder.config | {"scale_factor": measured})
        return Architecture(part(self.unet), autoencoder, part(self.conditioner), self.schedule)

    def in_precision(self, dtype: torch.dtype) -> LatentDiffusion:
        """A copy whose weights are of this dtype, to be saved in half the space; the scale of the latents is not rounded."""
        return replace(
            self,
            unet=self.unet and rounded(self.unet, dtype),
            autoencoder=self.autoencoder and rounded(self.autoencoder, dtype),
            conditioner=self.conditioner and rounded(self.conditioner, dtype),
        )


def rounded(model: Module, dtype: torch.dtype) -> Module:
    """A copy of a model whose weights are of this dtype; its buffers stay as they are."""
    others = {id(parameter): parameter.detach().to(dtype) for parameter in model.parameters()}
    memo: dict[int, Any] = {key: nn.Parameter(value, requires_grad=False) for key, value in others.items()}
    return copy.deepcopy(model, memo)  # what the memo holds is not copied: never two whole copies in memory


class Part(NamedTuple):
    """A model's class and the arguments that build it."""

    kind: type[nn.Module]
    config: dict[str, Any]


class Architecture(NamedTuple):
    """Everything about a `LatentDiffusion` but its weights and tokenizer."""

    unet: Part | None = None
    autoencoder: Part | None = None
    conditioner: Part | None = None
    schedule: Process | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal architecture."""
        parts = {name: getattr(self, name) for name in ("unet", "autoencoder", "conditioner")}
        described = {name: {"model": p.kind.__name__, "config": p.config} for name, p in parts.items() if p}
        return described | ({"schedule": self.schedule.to_dict()} if self.schedule else {})

    @classmethod
    def from_json(cls, described: dict[str, Any], source: str | Path) -> Architecture:
        """Inverse of `to_json`. Raises CheckpointError naming `source` for what is none of our models."""
        try:
            if not isinstance(described, dict):
                raise TypeError("it is no table of parts")
            parts = {
                name: Part(MODELS[described[name]["model"]], described[name]["config"])
                for name in ("unet", "autoencoder", "conditioner")
                if name in described
            }
            schedule = from_dict(described["schedule"]) if "schedule" in described else None
            if any(not isinstance(part.config, dict) for part in parts.values()):
                raise TypeError("a part without a configuration")
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{source} describes no model that this program knows ({error}); update it."
            ) from error
        return cls(**parts, schedule=schedule)
