"""A model of a configuration without weights: nothing is allocated, and no more is built than the file could fill."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.checkpoints.outline import SLACK, outline
from core.models.autoencoder import KLAutoencoder

SMALL = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


class Stack(nn.Module):
    def __init__(self, layers: int, width: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))


def test_names_and_shapes_are_those_of_the_model() -> None:
    model = KLAutoencoder(**SMALL)  # type: ignore[arg-type]
    found = outline(KLAutoencoder, SMALL, model.state_dict())
    assert {n: p.shape for n, p in found.state_dict().items()} == {n: p.shape for n, p in model.state_dict().items()}
    assert all(parameter.is_meta for parameter in found.parameters())


def test_wide_layers_take_no_memory() -> None:
    found = outline(Stack, {"layers": 2, "width": 10**7}, {f"w{i}": torch.zeros(1) for i in range(4)})
    assert sum(parameter.numel() for parameter in found.parameters()) > 10**14


def test_more_layers_than_the_weights_could_fill_are_not_built() -> None:
    outline(Stack, {"layers": SLACK // 2}, {})
    with pytest.raises(ValueError, match="asks for more layers than the file has weights for"):
        outline(Stack, {"layers": 10**9}, {})


@pytest.mark.parametrize("config", [{"layers": "many"}, {"layers": 1, "width": -8}, {"depth": 3}, {}])
def test_what_builds_nothing_is_a_sentence(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        outline(Stack, config, {"w": torch.zeros(1)})


def test_the_generators_of_random_numbers_stay_as_they_were() -> None:
    before = torch.get_rng_state()
    outline(KLAutoencoder, SMALL, {f"w{i}": torch.zeros(1) for i in range(200)})
    assert torch.equal(torch.get_rng_state(), before)
