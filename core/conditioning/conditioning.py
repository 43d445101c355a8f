"""What the UNet is told beside the noisy latent, as one value.

Latent diffusion conditions in three ways (Rombach et al. 2022, sec. 3.3): tokens read by cross-attention, channels
concatenated to the latent, and a class (or vector) added to the time embedding. A `Conditioning` holds any of them;
holding several is the repository's "hybrid" mode (CompVis ldm/models/diffusion/ddpm.py, `DiffusionWrapper`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The condition of one denoiser call; what is None is absent.

    context: (b, n, d) tokens for cross-attention.
    concat: (b, c, h, w) channels that follow the latent's own, at the latent's height and width.
    y: (b,) class indices or (b, d) vector, embedded with the time step.

    A batch size of 1 stands for any batch (`expand`).
    """

    context: Tensor | None = None
    concat: Tensor | None = None
    y: Tensor | None = None

    def __post_init__(self) -> None:
        for name, ranks in (("context", (3,)), ("concat", (4,)), ("y", (1, 2))):
            value: Tensor | None = getattr(self, name)
            if value is not None and value.ndim not in ranks:
                wanted = {"context": "(b, n, d)", "concat": "(b, c, h, w)", "y": "(b,) or (b, d)"}[name]
                raise ValueError(f"Conditioning.{name} must have shape {wanted}, not {tuple(value.shape)}.")
        if len({size for size in self._batch_sizes().values() if size != 1}) > 1:
            raise ValueError(f"The parts of a Conditioning differ in batch size: {self._batch_sizes()}.")

    def _batch_sizes(self) -> dict[str, int]:
        return {f.name: len(value) for f in fields(self) if (value := getattr(self, f.name)) is not None}

    @property
    def batch_size(self) -> int:
        """Number of conditions held; 1 where there is none, or one that stands for any batch."""
        return max(self._batch_sizes().values(), default=1)

    def map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        """The same conditioning with `change` applied to every tensor it holds."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditioning(**{name: None if part is None else change(part) for name, part in parts.items()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """Move to a device; change the dtype of floating-point parts (class indices stay integers)."""
        return self.map(lambda part: part.to(device=device, dtype=dtype if part.is_floating_point() else None))

    def expand(self, batch: int) -> Conditioning:
        """Repeat single conditions to `batch` (a view, no copy).

        Raises ValueError where the conditioning holds a batch of another size.
        """

        def expanded(part: Tensor) -> Tensor:
            if len(part) == batch:
                return part
            if len(part) != 1:
                raise ValueError(f"A conditioning of batch {len(part)} does not fit a latent of batch {batch}.")
            return part.expand(batch, *part.shape[1:])

        return self.map(expanded)

    def __or__(self, other: Conditioning) -> Conditioning:
        """Both conditions at once (hybrid): tokens follow tokens, channels follow channels.

        Raises ValueError where both hold `y`, which cannot be joined.
        """
        if self.y is not None and other.y is not None:
            raise ValueError("Both conditionings hold a class (y); a denoiser call takes one.")
        batch = max(self.batch_size, other.batch_size)
        a, b = self.expand(batch), other.expand(batch)
        return Conditioning(
            context=_join("context", [a.context, b.context], dim=1),
            concat=_join("concat", [a.concat, b.concat], dim=1),
            y=a.y if a.y is not None else b.y,
        )

    @staticmethod
    def cat(conditionings: Sequence[Conditioning]) -> Conditioning:
        """One batch out of several, in order: guidance by one UNet call instead of two.

        Raises ValueError where one holds a part that another lacks, or where shapes differ beyond the batch.
        """
        joined: dict[str, Tensor | None] = {}
        for name in (f.name for f in fields(Conditioning)):
            parts: list[Tensor | None] = [getattr(c.expand(c.batch_size), name) for c in conditionings]
            if len({part is None for part in parts}) > 1:
                raise ValueError(f"Only some of the conditionings hold {name}; give the others a null condition.")
            joined[name] = _join(name, parts, dim=0)
        return Conditioning(**joined)


def _join(name: str, parts: Sequence[Tensor | None], dim: int) -> Tensor | None:
    present = [part for part in parts if part is not None]
    if not present:
        return None
    shapes = [tuple(part.shape) for part in present]
    if len({shape[:dim] + shape[dim + 1 :] for shape in shapes}) > 1:
        raise ValueError(f"Conditionings do not fit together: {name} of shapes {', '.join(map(str, shapes))}.")
    return torch.cat(present, dim=dim)


def denoise(model: nn.Module, z: Tensor, t: Tensor, conditioning: Conditioning | None = None) -> Tensor:
    """Call a denoiser, `model(z, t, context=…, y=…)`, on a noisy latent under a condition.

    z: (b, c, h, w) latent; t: (b,) or () time steps; the prediction has the latent's shape unless the model learns
    more channels. Integer or fractional t are passed on as they are; a single condition serves the whole batch.
    """
    c = (conditioning or Conditioning()).to(device=z.device, dtype=z.dtype).expand(len(z))
    if c.concat is not None:
        if c.concat.shape[2:] != z.shape[2:]:
            raise ValueError(
                f"The concatenated condition is {tuple(c.concat.shape[2:])} and the latent {tuple(z.shape[2:])}; "
                "resize the condition to the latent's height and width."
            )
        z = torch.cat([z, c.concat], dim=1)
    prediction: Tensor = model(z, t.to(z.device).expand(len(z)), context=c.context, y=c.y)
    return prediction
