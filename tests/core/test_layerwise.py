"""Weights in fewer bytes, cast layer by layer: what is kept, what is computed, and that the way back is open."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import core.layerwise
import graph_runner.base.layerwise
from core.checkpoints.model_io import load_model, save_model
from core.conditioning.clip import CLIPTextEmbedder
from core.layerwise import NARROW, is_narrow, narrow, narrowed, widen
from core.models.denoiser import denoise
from core.models.dit import DiT
from tests.nodes.samples import WIRES

DTYPES = pytest.mark.parametrize("dtype", NARROW, ids=str)


def awake(model: nn.Module) -> nn.Module:
    """With weights that all matter: fresh models end in zeros."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.1
    return model.eval().requires_grad_(False)


def latents(model: nn.Module) -> Tensor:
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return denoise(model, z, torch.tensor([10, 700]))


TOKENS = torch.tensor([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0]])
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], Tensor]]] = {
    "UNet": (WIRES["unet"], latents),
    "DiT": (lambda: DiT(4, 32, 2, 2, 2, 8), latents),
    "autoencoder": (WIRES["autoencoder"], lambda model: model.decode(torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1)))),
    "BERT": (WIRES["text_encoder"], lambda model: model(TOKENS)),
    "CLIP": (lambda: CLIPTextEmbedder(64, 16, 32, 2, 2, 12), lambda model: model(TOKENS)),
    "classes": (WIRES["class_embedder"], lambda model: model(torch.tensor([1, 3]))),
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("name", MODELS)
def test_it_computes_in_float32_with_rounded_weights(name: str, dtype: torch.dtype) -> None:
    make, call = MODELS[name]
    model = awake(make())
    small = narrowed(model, dtype)
    plain = copy.deepcopy(small)
    widen(plain)
    assert is_narrow(small)
    assert not is_narrow(plain)
    assert {each.dtype for each in small.parameters()} - {torch.float32} == {dtype}
    assert {each.dtype for each in plain.parameters()} == {each.dtype for each in model.parameters()} == {torch.float32}
    found, wanted = call(small), call(model)
    assert found.dtype == torch.float32
    assert torch.equal(found, call(plain)), "a cast is all there is"
    assert not torch.equal(found, wanted)
    error = float((found - wanted).norm() / wanted.norm())
    assert error < (0.15 if dtype == torch.float8_e4m3fn else 0.02), error


@DTYPES
def test_in_autocast_layers_are_cast_to_its_dtype(dtype: torch.dtype) -> None:
    layer = nn.Linear(4, 4)
    narrow(layer, dtype)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(1, 4)).dtype == torch.bfloat16
    assert layer(torch.ones(1, 4)).dtype == torch.float32
    assert layer.weight.dtype == dtype, "for as long as it ran"


def test_what_cannot_be_rounded_stays_float32() -> None:
    unet = narrowed(WIRES["unet"](), torch.bfloat16)
    wide = {name.partition(".")[0] for name, each in unet.named_parameters() if each.dtype == torch.float32}
    assert {"time_embed", "out"} <= wide
    for name, module in unet.named_modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            assert module.weight.dtype == torch.float32, name
    attention = nn.MultiheadAttention(8, 2)
    narrow(attention, torch.bfloat16)
    attention(*[torch.ones(2, 1, 8)] * 3)  # reads its layers' weights by itself


def test_an_error_inside_a_layer_leaves_its_weights_as_they_are_kept() -> None:
    layer = nn.Linear(4, 4)
    narrow(layer, torch.float16)
    with pytest.raises(RuntimeError, match="shapes"):
        layer(torch.ones(1, 3))
    assert layer.weight.dtype == torch.float16


def test_what_float8_cannot_hold_becomes_its_largest() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[1e4, -1e4]])
    narrow(layer, torch.float8_e4m3fn)
    assert layer.weight.float().tolist() == [[448, -448]]


def test_shared_weights_stay_shared_and_a_copy_shares_none() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    model[1].weight = model[0].weight
    small = narrowed(model, torch.bfloat16)
    assert small[0].weight is small[1].weight
    assert model[0].weight.dtype == torch.float32
    again = narrowed(small, torch.bfloat16)
    assert again[0].weight.data_ptr() != small[0].weight.data_ptr()
    again[1].bias.data.zero_()
    assert model[1].bias.abs().sum() > 0


@DTYPES
def test_a_file_of_such_a_model_is_read_as_float32_or_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    small = narrowed(awake(WIRES["unet"]()), dtype)
    save_model(small, tmp_path / "unet.safetensors")
    as_it_is = load_model(tmp_path / "unet.safetensors", None).model
    narrow(as_it_is, None)
    assert {each.dtype for each in as_it_is.parameters()} == {dtype, torch.float32}
    assert torch.equal(latents(as_it_is), latents(small))
    wide = load_model(tmp_path / "unet.safetensors").model
    assert {each.dtype for each in wide.parameters()} == {torch.float32}
    assert torch.equal(latents(wide), latents(small))


def test_the_library_and_the_engine_have_the_same_module() -> None:
    assert Path(core.layerwise.__file__).read_bytes() == Path(graph_runner.base.layerwise.__file__).read_bytes()


TWINS = (core.layerwise, graph_runner.base.layerwise)


@pytest.mark.parametrize(("first", "second"), [TWINS, TWINS[::-1]], ids=["library, engine", "engine, library"])
def test_what_one_of_them_made_narrow_the_other_knows(first: ModuleType, second: ModuleType) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    first.narrow(model, torch.bfloat16)
    assert second.is_narrow(model)
    second.narrow(model, torch.float16)
    model(torch.ones(1, 4))
    assert model[0].weight.dtype == torch.float16, "the layer is as narrow after a call as before"
    assert len(model[0]._forward_pre_hooks) == 1
    second.widen(model)
    assert not first.is_narrow(model)
    assert model[0].weight.dtype == torch.float32
