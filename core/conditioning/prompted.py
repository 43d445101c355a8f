"""A prompt that changes on the way, or joins several: the part of a condition that `[a:b:.5]`, `[a|b]` and AND make."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import PARTS, Context, Part
from core.conditioning.prompt_schedule import Moments
from core.models.denoiser import denoise


@PARTS.mark
@dataclass(frozen=True, eq=False)
class Prompted(Part):
    """What cross-attention reads at each moment, of each of the prompts that are joined.

    contexts: (b, n, d) each; those of one moment follow one another, as many as there are weights. weights: (b, joined).
    shares, steps, period: when the prompts change (`Moments`). cells: for each moment, the number of its first context.
    """

    name = "prompt"
    about = "a prompt that changes on the way or joins several by AND, which the node denoise_prompt reads"
    contexts: tuple[Tensor, ...]
    weights: Tensor
    shares: tuple[float, ...]
    steps: tuple[int, ...]
    period: int
    cells: tuple[int, ...]

    def at(self, step: int, share: float) -> list[Tensor]:
        """The contexts of a step, one for each weight."""
        moments = Moments(tuple(self.shares), tuple(self.steps), self.period)
        first = self.cells[moments.cell(step, share)]
        return list(self.contexts[first : first + self.weights.shape[1]])


def denoise_prompt(
    model: nn.Module,
    z: Tensor,
    t: Tensor,
    condition: Conditioning,
    step: int,
    share: float,
    uncond: Tensor | None = None,
) -> Tensor:
    """What a denoiser predicts under what a prompt says at a step.

    Several prompts are composed as Liu et al. 2022 do (equation 11): uncond + Σ wᵢ · (predictionᵢ − uncond).

    z: (b, c, …); t: (b,) or (). step: counted from 0. share: of the steps that are done. uncond: the prediction under the null
    condition, of z's shape. Raises ValueError where prompts are composed without it.
    """
    prompted = condition.get(Prompted)
    if prompted is None:
        return denoise(model, z, t, condition)
    others = [part for part in condition.parts.values() if part is not prompted]
    predictions = [
        denoise(model, z, t, Conditioning(parts=[*others, Context(context)])) for context in prompted.at(step, share)
    ]
    if uncond is None:
        if len(predictions) > 1:
            raise ValueError("the prompt joins several by AND; wire the prediction under the null condition as uncond")
        return predictions[0]
    weights = prompted.weights.to(z).reshape(*prompted.weights.shape, *[1] * (z.ndim - 1))
    return uncond + torch.stack([weights[:, index] * (each - uncond) for index, each in enumerate(predictions)]).sum(0)
