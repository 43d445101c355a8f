"""What flows on ComfyUI's wires, as wires of ours: where one of theirs stands for several, or for a setting without a node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Ref = str
"""A wire of ours: node, or node.port."""


class NoCounterpart(Exception):  # noqa: N818
    """A node of theirs, or what it is set to, has nothing here that computes the same: a sentence says what."""


@dataclass(frozen=True)
class Model:
    """MODEL: a denoiser and the schedule that it was trained with. rescale: RescaleCFG's multiplier."""

    denoiser: Ref
    schedule: Ref
    rescale: float = 0.0


@dataclass(frozen=True)
class Clip:
    """CLIP: a text encoder and its tokenizer."""

    encoder: Ref
    tokenizer: Ref


@dataclass(frozen=True)
class One:
    """Any value that is one wire here: VAE, IMAGE, MASK, or what a placeholder gives. kind: as they call it."""

    ref: Ref
    kind: str


class Entry(NamedTuple):
    """One of the conditions that count together, by its strength, from one share of the timesteps to another."""

    ref: Ref
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Condition:
    """CONDITIONING: conditions, each of which the denoiser is told apart."""

    entries: tuple[Entry, ...]

    def each(self, **changed: Any) -> Condition:
        """All of them with these fields."""
        return Condition(tuple(entry._replace(**changed) for entry in self.entries))

    def only(self, what: str) -> Ref:
        """The wire of a single one that always counts. Raises NoCounterpart where there are several."""
        first, *more = self.entries
        if more or first != Entry(first.ref):
            raise NoCounterpart(f"{what} of several conditions, or of one with a strength or range, is not drawn here")
        return first.ref


@dataclass(frozen=True)
class Empty:
    """LATENT without a picture: sizes in pixels."""

    width: int
    height: int
    batch: int
    channels: int = 4


@dataclass(frozen=True)
class Latent:
    """LATENT. mask: where alone it is drawn anew. noisy: what a sampling gave that ended early."""

    ref: Ref
    mask: Ref | None = None
    noisy: bool = False


@dataclass(frozen=True)
class Sampler:
    """SAMPLER: by their name. eta: where it is given."""

    name: str
    eta: float | None = None


@dataclass(frozen=True)
class Sigmas:
    """SIGMAS: those of a scheduler for so many steps, from number `first` up to `last`; None for all that follow."""

    scheduler: str
    steps: int
    first: int = 0
    last: int | None = None

    def after(self, step: int) -> Sigmas:
        """From a step on, counted from the first of these."""
        return replace(self, first=self.first + step)

    def before(self, step: int) -> Sigmas:
        """Up to a step."""
        return replace(self, last=self.first + step)


@dataclass(frozen=True)
class Noise:
    """NOISE: by its seed; None for none."""

    seed: int | None


@dataclass(frozen=True)
class Guider:
    """GUIDER: classifier-free guidance, or a condition alone."""

    model: Model
    positive: Condition
    negative: Condition | None
    scale: float


Value = Model | Clip | One | Condition | Empty | Latent | Sampler | Sigmas | Noise | Guider | str | int | float | bool | list[Any] | None  # fmt: skip
SETTINGS = (Empty, Sampler, Sigmas, Noise, Guider)
"""What no node here gives: it goes into the parameters of those that read it."""


def wire_of(value: Value) -> Ref | None:
    """The wire that stands for a value where one only can be drawn; None for what has none."""
    match value:
        case Model():
            return value.denoiser
        case Clip():
            return value.encoder
        case One() | Latent():
            return value.ref
        case Condition():
            return value.entries[0].ref
    return None
