"""What flows on ComfyUI's wires, as wires of ours: where one of theirs stands for several, or for a setting without a node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Ref = str
"""A wire of ours: node, or node.port."""
Size = tuple[int, int]
"""Height and width in pixels."""


class NoCounterpart(Exception):  # noqa: N818
    """A node of theirs, or what it is set to, has nothing here that computes the same: a sentence says what."""


@dataclass(frozen=True)
class Model:
    """MODEL: a denoiser and the schedule that it was trained with.

    rescale: RescaleCFG's multiplier. freeu: settings of FreeU, which changes the whole and so comes last. family: "xl" or "refiner" of
    what is told sizes besides.
    """

    denoiser: Ref
    schedule: Ref
    rescale: float = 0.0
    freeu: tuple[tuple[str, Any], ...] = ()
    family: str = ""


@dataclass(frozen=True)
class Difference:
    """MODEL or CLIP as a difference, which ModelMergeAdd adds: multiplier · (one − other)."""

    one: Ref
    other: Ref
    multiplier: float


@dataclass(frozen=True)
class Clip:
    """CLIP: a text encoder and its tokenizer. pooled: whether it gives a vector too."""

    encoder: Ref
    tokenizer: Ref
    pooled: bool = False


@dataclass(frozen=True)
class One:
    """Any value that is one wire here: VAE, IMAGE, MASK, or what a placeholder gives. kind: as they call it.

    size: height and width of a picture in pixels, where they are known.
    """

    ref: Ref
    kind: str
    size: Size | None = None


@dataclass(frozen=True)
class Net:
    """CONTROL_NET: a ControlNet, or a T2I-Adapter."""

    ref: Ref
    adapter: bool


class Control(NamedTuple):
    """A network that sees a picture beside a condition. both: what the positive condition has, the negative one gets too."""

    net: Net
    picture: One
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    both: bool = False


class Area(NamedTuple):
    """A rectangle, in shares of the latent or in its cells."""

    top: float
    left: float
    height: float
    width: float
    unit: str

    def holds(self, other: Area) -> bool:
        """Whether another one lies in it."""
        return (
            self.unit == other.unit
            and self.top <= other.top
            and self.left <= other.left
            and self.top + self.height >= other.top + other.height
            and self.left + self.width >= other.left + other.width
        )


class Entry(NamedTuple):
    """One of the conditions that count together, by its strength, from one share of the timesteps to another.

    controls: networks beside it. area, mask: where it counts. pooled: whether it holds a vector, as of Stable Diffusion XL's text
    encoders. sizes: what is told of sizes besides; None for the latent's.
    """

    ref: Ref
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    controls: tuple[Control, ...] = ()
    area: Area | None = None
    mask: Ref | None = None
    mask_strength: float = 1.0
    pooled: bool = False
    sizes: Ref | None = None

    @property
    def everywhere(self) -> bool:
        """Whether it counts in the whole picture."""
        return self.area is None and self.mask is None

    @property
    def always(self) -> bool:
        """Whether it counts all the way."""
        return self.start <= 0 and self.end >= 1


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
        if more or first != Entry(first.ref, pooled=first.pooled, sizes=first.sizes):
            raise NoCounterpart(
                f"{what} of several conditions, or of one with a strength, range, area or network, is not drawn here"
            )
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
    """LATENT. mask: where alone it is drawn anew. noisy: what a sampling gave that ended early. size: in pixels, where it is known."""

    ref: Ref
    mask: Ref | None = None
    noisy: bool = False
    size: Size | None = None


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


Value = Model | Clip | One | Net | Difference | Condition | Empty | Latent | Sampler | Sigmas | Noise | Guider | str | int | float | bool | list[Any] | None  # fmt: skip
SETTINGS = (Difference, Empty, Sampler, Sigmas, Noise, Guider)
"""What no node here gives: it goes into the parameters of those that read it."""


def wire_of(value: Value) -> Ref | None:
    """The wire that stands for a value where one only can be drawn; None for what has none."""
    match value:
        case Model():
            return value.denoiser
        case Clip():
            return value.encoder
        case One() | Net() | Latent():
            return value.ref
        case Condition():
            return value.entries[0].ref
    return None


def has_no_wire(value: Value) -> bool:
    """Whether a value is told by a sampling alone: settings, and conditions with what no wire carries."""
    if isinstance(value, Condition):
        first, *more = value.entries
        return bool(more) or first != Entry(first.ref, pooled=first.pooled)
    return isinstance(value, SETTINGS)
