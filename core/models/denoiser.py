"""What a denoiser is: a module that predicts from a noisy latent, its time step and a condition.

UNet and DiT are denoisers; so is anything with the same call, such as an average of two, or one with a control network around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import Part

Kind = type[Part]


@dataclass(frozen=True)
class Takes(Mapping[str, str]):
    """What a denoiser takes: the channels of z (None for any), the parts of a condition that it needs, and those it may be given.

    As any model's `takes` it is a mapping too: the shapes of what it is called with, by wire type.
    """

    channels: int | None = None
    needs: tuple[Kind, ...] = ()
    may: tuple[Kind, ...] = ()

    @property
    def _shapes(self) -> dict[str, str]:
        return {} if self.channels is None else {"latent": f"b {self.channels} ..."}

    def __getitem__(self, kind: str) -> str:
        return self._shapes[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def check(self, who: str, z: Tensor, condition: Conditioning) -> None:
        """Raise ValueError, naming what does not fit, where a denoiser called `who` cannot be given z, (b, c, …), and this condition."""
        if self.channels is not None and z.shape[1] != self.channels:
            raise ValueError(
                f"the {who} takes a latent of {self.channels} channels, not {z.shape[1]}: {tuple(z.shape)}"
            )
        held = condition.parts
        told = ", ".join(held) or "none"
        for kind in self.needs:
            if kind.name not in held:
                raise ValueError(
                    f"the {who} needs {kind.name} ({kind.about}), and the condition's parts are: {told}; "
                    "wire a condition that has it"
                )
        taken = {kind.name for kind in (*self.needs, *self.may)}
        for name, part in held.items():
            if name not in taken:
                raise ValueError(
                    f"the {who} takes no {name} ({part.about}), which the condition holds; its parts may be: "
                    f"{', '.join(sorted(taken)) or 'none'}. Wire a condition without it, or a denoiser made for it"
                )


class Denoiser(Protocol):
    """A module that is called with a noisy latent, time steps and a condition, and predicts (eps, v, x0, … as its process says).

    It says in `takes` what it is to be given; one that says nothing takes no condition.
    """

    takes: Takes

    def __call__(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        """z (b, c, …), t (b,), a condition of batch b on z's device and in its dtype → the prediction, of z's shape."""
        ...


def denoise(model: nn.Module, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
    """Call a `Denoiser` on noisy latents under a condition.

    z: (b, c, …) latents; t: (b,) or () time steps, whole or fractional, passed on as they are; condition: of batch b, or one
    that serves all. Gives the prediction, of z's shape.
    Raises ValueError for a condition or latent that the denoiser does not take, and for a prediction of another shape.
    """
    condition = condition or Conditioning()
    who = type(model).__name__
    takes: Takes = getattr(model, "takes", Takes())
    takes.check(who, z, condition)
    prediction: Tensor = model(z, t.to(z.device).expand(len(z)), condition.to(z.device, z.dtype).expand(len(z)))
    if prediction.shape != z.shape:
        raise ValueError(
            f"the {who} predicts {tuple(prediction.shape)} for latents {tuple(z.shape)}; a denoiser's prediction has their shape"
        )
    return prediction
