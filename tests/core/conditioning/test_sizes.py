"""Sizes as a vector: as diffusers embeds SDXL's time ids."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import Timesteps

from core.conditioning.sizes import size_vector


def test_it_is_sdxls() -> None:
    original, corner, target = torch.tensor([[480, 640]]), torch.tensor([[0, 21]]), torch.tensor([[1024, 960]])
    ids = torch.cat([original, corner, target], dim=1)  # diffusers' _get_add_time_ids
    theirs = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)(ids.flatten()).reshape(1, -1)
    assert (size_vector(original, corner, target) - theirs).abs().max() < 1e-4
    assert size_vector(*(torch.ones(3, 2) for _ in range(3)), dim=4).shape == (3, 24)


def test_the_refiner_has_a_score_in_place_of_the_target() -> None:
    ids = torch.tensor([[480.0, 640.0, 0.0, 21.0, 6.0]])
    theirs = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)(ids.flatten()).reshape(1, -1)
    assert (size_vector(ids[:, :2], ids[:, 2:4], ids[:, 4:]) - theirs).abs().max() < 1e-4
