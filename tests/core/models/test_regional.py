"""Models compiled by regions: no graph break, few compilations, the same numbers, names and copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.text import BERTEmbedder
from core.models.autoencoder import KLAutoencoder, VQAutoencoder
from core.models.dit import DiT
from core.models.regional import RECOMPILE_LIMIT, Regional
from core.models.unet import UNet

SMALL: dict[str, Any] = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


class Counting:
    """A backend of torch.compile that runs what was traced as it is, and counts how often it was asked."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        return graph


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()


def context(rows: int) -> Conditioning:
    return Conditioning(torch.randn(rows, 5, 6))


def unet(**others: Any) -> UNet:
    options = {"attention_factors": [2], "num_heads": 2, "context_dim": 6}
    return UNet(4, 4, **SMALL, **(options | others))


def ids(length: int, rows: int = 2) -> Tensor:
    return torch.zeros(rows, length, dtype=torch.long)


def latent(rows: int = 2, side: int = 8) -> Tensor:
    return torch.randn(rows, 4, side, side)


WHOLE: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "UNet, cross-attention": lambda: (unet(), (latent(), torch.zeros(2), context(2))),
    "UNet, classes": lambda: (
        unet(context_dim=None, num_classes=3, use_scale_shift_norm=True, resblock_updown=True),
        (latent(), torch.zeros(2), Conditioning(y=ids(1)[:, 0])),
    ),
    "DiT": lambda: (
        DiT(4, 16, 2, 2, sample_size=8, num_classes=3, context_dim=6, learn_sigma=True),
        (latent(), torch.zeros(2), Conditioning(torch.randn(2, 5, 6), y=ids(1)[:, 0])),
    ),
    "KL autoencoder": lambda: (KLAutoencoder(**SMALL), (torch.randn(2, 3, 16, 16), latent())),
    "VQ autoencoder": lambda: (VQAutoencoder(**SMALL, z_channels=4, codes=16), (torch.randn(2, 3, 16, 16),)),
    "LDM-BERT": lambda: (BERTEmbedder(16, 1, vocab_size=50), (ids(7),)),
    "CLIP": lambda: (
        CLIPTextEmbedder(60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2),
        (ids(7),),
    ),
}


@pytest.mark.slow  # tracing takes seconds each
@pytest.mark.parametrize("name", WHOLE)
def test_nothing_in_a_shipped_model_breaks_the_graph(name: str) -> None:
    model, inputs = WHOLE[name]()
    model.eval().requires_grad_(False)
    with torch.no_grad():
        whole = torch.compile(model, fullgraph=True, backend="eager")(*inputs)
        torch.testing.assert_close(_first(whole), _first(model(*inputs)))


@pytest.mark.slow
def test_what_decodes_does_not_break_the_graph_either() -> None:
    for model in (KLAutoencoder(**SMALL), VQAutoencoder(**SMALL, z_channels=4, codes=16)):
        z = latent()
        made = torch.compile(model.eval().decode, fullgraph=True, backend="eager")(z)
        torch.testing.assert_close(made, model.decode(z))


def test_each_kind_of_block_is_compiled_once_and_again_when_sizes_change_and_then_no_more() -> None:
    model, counting = unet(attention_factors=[]).eval().requires_grad_(False), Counting()
    plain = copy.deepcopy(model)
    model.compile(backend=counting)
    counts = []
    with torch.no_grad():
        for rows, side in ((2, 8), (2, 8), (3, 8), (5, 8), (4, 16), (7, 12), (6, 20)):
            z, told = latent(rows, side), context(rows)
            torch.testing.assert_close(model(z, torch.zeros(rows), told), plain(z, torch.zeros(rows), told))
            counts.append(counting.graphs)
        copied = copy.deepcopy(model)
        copied(z, torch.zeros(6), told)
    blocks = [part for part in model.modules() if isinstance(part, UNet.regions)]
    kinds = {tuple(weight.shape for weight in block.parameters()) for block in blocks}
    assert counts[0] == counts[1] == len(kinds) < len(blocks)
    assert counts[-1] <= 3 * len(kinds)
    assert counts[-1] == counts[-2] == counting.graphs, "the copy's blocks use what the original's did"


def test_a_compiled_model_has_the_names_of_the_model_and_goes_through_pickle() -> None:
    model = unet()
    names = list(model.state_dict())
    model.compile(backend="eager")
    assert list(model.state_dict()) == names
    assert type(model)(**model.config).load_state_dict(model.state_dict())
    model = pickle.loads(pickle.dumps(model))
    assert model.compiled_with == {"backend": "eager"}
    compiled = {part for part in model.modules() if part._compiled_call_impl is not None}
    assert compiled == {part for part in model.modules() if isinstance(part, UNet.regions)}


class Fickle(nn.Module):
    """A block that has to be compiled anew at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Unsteady(Regional):
    regions = (Fickle,)

    def __init__(self) -> None:
        super().__init__()
        self.block = Fickle()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


def test_what_would_be_compiled_without_end_is_an_error() -> None:
    model = Unsteady()
    model.compile(backend="eager", dynamic=False)

    def call() -> None:
        for _ in range(4 * RECOMPILE_LIMIT):
            model(torch.ones(2))

    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        call()


def _first(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else value[0]
