"""The transformer against diffusers' with the same weights, the paper's sizes, and what a denoiser must do.

Measured: at most 8e-7 of outputs whose mean is about .3.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor

from core.checkpoints.diffusers_dit import (
    NUMBERS,
    dit_from_diffusers,
    dit_from_diffusers_config,
    dit_to_diffusers,
    dit_to_diffusers_config,
)
from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from core.models.dit import DIT, DiT, grid_embedding

PARAMETERS = {"S": 33e6, "B": 130e6, "L": 458e6, "XL": 675e6}
"""Table 4 of the paper, of models with patches of 2."""
TINY = {"in_channels": 4, "hidden_size": 16, "depth": 2, "num_heads": 2, "sample_size": 8}


def theirs(**options: object) -> DiTTransformer2DModel:
    """A model of diffusers', its blocks with one embedder as a published one has."""
    torch.manual_seed(0)
    shape = {
        "num_attention_heads": 4,
        "attention_head_dim": 12,
        "num_layers": 3,
        "sample_size": 8,
        "num_embeds_ada_norm": 10,
    }
    model = DiTTransformer2DModel(**shape | {"out_channels": 8} | options).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    embedder = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(embedder)
    return model


def ours(reference: DiTTransformer2DModel) -> DiT:
    model = DiT(**dit_from_diffusers_config(reference.config)).eval()
    model.load_state_dict(dit_from_diffusers(reference.state_dict(), model.config))
    return model


def awake(**options: object) -> DiT:
    """A model none of whose layers is zero."""
    torch.manual_seed(0)
    model = DiT(**TINY | options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def inputs(b: int = 3, side: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(b, 4, side, side), torch.linspace(1, 999, b).long()


@pytest.mark.parametrize("patch", [1, 2, 4], ids="patches of {}".format)
@pytest.mark.parametrize("side", [8, 16], ids="latents of {}".format)
@torch.no_grad()
def test_it_computes_what_diffusers_does(patch: int, side: int) -> None:
    reference = theirs(patch_size=patch)
    z, t = inputs(side=side)
    y = torch.tensor([0, 4, 10])
    wanted = reference(z, t, y).sample
    found = ours(reference).with_variance(z, t, Conditioning(y=y))
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert torch.equal(ours(reference)(z, t, Conditioning(y=y)), found[:, :4])


@torch.no_grad()
def test_without_a_learned_variance_too() -> None:
    reference = theirs(out_channels=4)
    (z, t), y = inputs(), torch.tensor([1])
    torch.testing.assert_close(
        ours(reference)(z, t, Conditioning(y=y.expand(3))), reference(z, t, y.expand(3)).sample, rtol=0, atol=1e-5
    )


def test_weights_and_configuration_go_there_and_back() -> None:
    reference = theirs()
    model = ours(reference)
    back, wanted = dit_to_diffusers(model.state_dict(), model.config), reference.state_dict()
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[key], wanted[key]) for key in wanted)
    config = dit_to_diffusers_config(model.config)
    assert {name: reference.config[name] for name in config if not name.startswith("_")} == {
        name: value for name, value in config.items() if not name.startswith("_")
    }


def test_what_cannot_be_carried_over_is_said() -> None:
    reference = theirs()
    state = reference.state_dict()
    config = dit_from_diffusers_config(reference.config)
    key = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.weight"
    with pytest.raises(ValueError, match=r"blocks\.1\.norm1.* is not what the first block has"):
        dit_from_diffusers(state | {key: state[key] + 1}, config)
    with pytest.raises(ValueError, match="unknown: colour"):
        dit_from_diffusers(state | {"colour": torch.ones(1)}, config)
    with pytest.raises(ValueError, match="norm_type = layer_norm is not supported"):
        dit_from_diffusers_config({"norm_type": "layer_norm"})
    for options, wrong in (
        ({"num_classes": 3}, "freq_shift 1"),
        (NUMBERS | {"context_dim": 8, "num_classes": 3}, "without a context"),
        (NUMBERS, "only DiTs with classes"),
        (NUMBERS | {"num_classes": 3, "mlp_ratio": 2}, "2 times as wide"),
    ):
        with pytest.raises(ValueError, match=wrong):
            dit_to_diffusers_config(DiT(**TINY | options).config)


@pytest.mark.parametrize("name", DIT)
def test_the_papers_models_are_as_large_as_it_says(name: str) -> None:
    with torch.device("meta"):
        model = DiT(4, **DIT[name], num_classes=1000, learn_sigma=True)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(PARAMETERS[name[4:-2]], rel=0.02)


@torch.no_grad()
def test_it_begins_at_zero_and_its_blocks_as_the_identity() -> None:
    model = DiT(**TINY, context_dim=6)
    z, t = inputs()
    assert not model(z, t, Conditioning(torch.randn(3, 2, 6))).any()
    x = torch.randn(3, 16, 16)
    assert all(torch.equal(block(x, torch.randn(3, 16), torch.randn(3, 2, 6)), x) for block in model.blocks)


@torch.no_grad()
def test_what_it_is_told_counts_and_a_row_does_not_depend_on_its_batch() -> None:
    model = awake(num_classes=5, context_dim=6)
    z, t = inputs()
    told = Conditioning(torch.randn(3, 2, 6), y=torch.tensor([0, 3, 5]))
    found = denoise(model, z, t, told)
    assert found.shape == z.shape
    for other in (Conditioning(torch.zeros(3, 2, 6), y=told.y), Conditioning(told.context, y=torch.tensor([1, 4, 2]))):
        assert (denoise(model, z, t, other) - found).flatten(1).abs().amax(1).min() > 1e-4
    alone = denoise(model, z[1:2], t[1:2], told.map(lambda rows: rows[1:2]))
    torch.testing.assert_close(alone, found[1:2])


@torch.no_grad()
def test_other_heights_and_widths_are_taken() -> None:
    model = awake()
    for h, w in ((8, 12), (4, 8), (16, 6)):
        assert denoise(model, torch.randn(1, 4, h, w), torch.tensor(5)).shape == (1, 4, h, w)
    wide = grid_embedding(2, 8, 4, 16, torch.device("cpu")).view(2, 8, 16)
    square = grid_embedding(4, 4, 4, 16, torch.device("cpu")).view(4, 4, 16)
    torch.testing.assert_close(wide[0, ::2], square[0], msg="positions span the trained range")
    torch.testing.assert_close(wide[:, 0], square[::2, 0])


def test_checkpointing_changes_no_gradient() -> None:
    z, t = inputs()
    gradients = []
    for checkpointing in (False, True):
        model = awake(num_classes=5, gradient_checkpointing=checkpointing)
        model(z, t, Conditioning(y=torch.tensor([0, 3, 5]))).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert a is not None
        torch.testing.assert_close(a, b)


@torch.no_grad()
def test_half_weights_give_the_latents_precision() -> None:
    model = awake(num_classes=5)
    z, t = inputs()
    told = Conditioning(y=torch.tensor([0, 3, 5]))
    whole = denoise(model, z, t, told)
    half = denoise(model.bfloat16(), z, t, told)
    assert half.dtype == torch.float32
    assert (half - whole).abs().max() < 0.1 * whole.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"hidden_size": 6, "num_heads": 1}, "and of 4"),
        ({"sample_size": 7}, r"sample_size 7 must be a multiple of patch_size \(2\)"),
        ({"depth": 0}, "at least 1"),
    ],
)
def test_arguments_that_make_no_model(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiT(**TINY | options)


def test_what_does_not_fit_is_named() -> None:
    z, t = inputs()
    with pytest.raises(ValueError, match="the DiT needs y"):
        denoise(DiT(**TINY, num_classes=5), z, t)
    with pytest.raises(ValueError, match="the DiT takes no y"):
        denoise(DiT(**TINY), z, t, Conditioning(y=torch.zeros(3, dtype=torch.long)))
    with pytest.raises(ValueError, match="multiples of its patches' 2"):
        denoise(DiT(**TINY), z[..., :7], t)
    with pytest.raises(ValueError, match=r"context must be \(b, tokens, 6\)"):
        denoise(DiT(**TINY, context_dim=6), z, t, Conditioning(torch.zeros(3, 1, 5)))
