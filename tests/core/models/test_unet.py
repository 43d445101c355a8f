"""What holds for every UNet, whatever its weights."""

import pytest
import torch
from parity_weights import randomise
from torch import nn

from core.conditioning.conditioning import Conditioning
from core.models.blocks import timestep_embedding
from core.models.unet import UNet

TINY = {
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 16,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_factors": (2,),
    "num_heads": 2,
    "norm_groups": 4,
}
VARIANTS = {
    "unconditional": TINY,
    "cross-attention": TINY | {"context_dim": 6, "transformer_depth": (1, 2)},
    "labels": TINY | {"num_classes": 3, "resblock_updown": True, "use_scale_shift_norm": True},
    "vectors": TINY | {"adm_in_channels": 5, "conv_resample": False},
    "channels": TINY | {"in_channels": 7},
}


def inputs(config, size=8):
    generator = torch.Generator().manual_seed(2)
    given = {"z": torch.randn(2, 4, size, size, generator=generator), "t": torch.tensor([3, 500])}
    if config["in_channels"] > 4:
        given["concat"] = torch.randn(2, config["in_channels"] - 4, size, size, generator=generator)
    if "context_dim" in config:
        given["context"] = torch.randn(2, 3, config["context_dim"], generator=generator)
    if "num_classes" in config:
        given["y"] = torch.tensor([2, 0])
    if "adm_in_channels" in config:
        given["y"] = torch.randn(2, config["adm_in_channels"], generator=generator)
    return given


def call(model, given):
    condition = Conditioning(given.get("context"), given.get("concat"), given.get("y"))
    return model(given["z"], given["t"], condition)


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def config(request):
    return request.param


def test_config_rebuilds_the_model(config):
    model = UNet(**config)
    again = UNet(**model.config)
    assert again.config == model.config
    assert model.config["channel_mult"] == [1, 2]
    assert model.config["conv_resample"] is (not config.get("adm_in_channels"))
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_a_fresh_model_predicts_zero_because_its_blocks_end_in_zeros(config):
    model = UNet(**config)
    assert call(model, inputs(config)).abs().max() == 0
    last_convs = [block.out_layers[3] for block in model.modules() if hasattr(block, "out_layers")]
    projections = [block.proj_out for block in model.modules() if hasattr(block, "proj_out")]
    assert len(last_convs) >= 7
    assert len(projections) == 4
    assert all(not p.any() for layer in last_convs + projections for p in layer.parameters())


@torch.no_grad()
def test_every_input_matters_and_samples_do_not_mix(config):
    model = randomise(UNet(**config))
    given = inputs(config)
    prediction = call(model, given)
    for name, value in given.items():
        changed = value.clone()
        changed[1] = changed[1] - 1 if name == "y" and value.dim() == 1 else changed[1] + 1
        if name == "y" and value.dim() == 1:
            changed[1] = 1
        other = call(model, given | {name: changed})
        assert torch.allclose(other[0], prediction[0], atol=1e-5), name
        assert (other[1] - prediction[1]).abs().max() > 1e-2, name


@torch.no_grad()
def test_timesteps_may_be_fractional_whole_or_one_for_all():
    model = randomise(UNet(**TINY))
    z = inputs(TINY)["z"]
    whole = model(z, torch.tensor([500, 500]))
    assert torch.equal(whole, model(z, torch.tensor([500.0, 500.0])))
    assert torch.allclose(whole, model(z, torch.tensor(500)), atol=1e-6)
    assert (whole - model(z, torch.tensor([500.5, 500.5]))).abs().max() > 1e-3


def test_time_embedding_is_cosines_then_sines():
    embedding = timestep_embedding(torch.tensor([2.0]), 5)
    wanted = torch.tensor([[2.0, 2 * 10_000**-0.5]])
    torch.testing.assert_close(embedding, torch.cat([wanted.cos(), wanted.sin(), torch.zeros(1, 1)], dim=1))


def test_gradient_checkpointing_changes_no_gradient(config):
    plain = randomise(UNet(**config, dropout=0.1))
    frugal = UNet(**config, dropout=0.1, gradient_checkpointing=True)
    frugal.load_state_dict(plain.state_dict())
    gradients = []
    for model in (plain, frugal):
        torch.manual_seed(5)
        call(model.train(), inputs(config)).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0].values())


@torch.no_grad()
def test_half_precision_weights_take_and_give_float32():
    model = randomise(UNet(**VARIANTS["cross-attention"]))
    given = inputs(VARIANTS["cross-attention"])
    wanted = call(model, given)
    low = call(model.to(torch.bfloat16), given)
    assert low.dtype == torch.float32
    assert (low - wanted).abs().mean() < 0.1 * wanted.abs().mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_head_channels": 8}, "exactly one of num_heads and num_head_channels"),
        ({"num_heads": None}, "exactly one of num_heads and num_head_channels"),
        ({"num_heads": 3}, "32 channels cannot be split by num_heads=3"),
        ({"num_heads": None, "num_head_channels": 5}, "32 channels cannot be split by num_head_channels=5"),
        ({"num_classes": 2, "adm_in_channels": 2}, "not both"),
        ({"transformer_depth": (1, 1, 1)}, "3 entries for the 2 levels"),
        ({"dropout": torch.tensor(0.5)}, "'dropout' is a Tensor"),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        UNet(**TINY | change)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (TINY, {"z": torch.zeros(2, 3, 8, 8)}, r"latent of 4 channels, not 3: \(2, 3, 8, 8\)"),
        (TINY, {"z": torch.zeros(2, 4, 8)}, r"takes \(b, 4, h, w\)"),
        (TINY, {"z": torch.zeros(2, 4, 8, 7)}, "multiples of 2"),
        (TINY, {"context": torch.zeros(2, 3, 6)}, "takes no context"),
        (TINY, {"y": torch.zeros(2)}, "takes no y"),
        (TINY, {"concat": torch.zeros(2, 3, 8, 8)}, "takes no concat"),
        (VARIANTS["cross-attention"], {"context": None}, "needs context"),
        (VARIANTS["cross-attention"], {"context": torch.zeros(2, 3, 7)}, r"\(b, tokens, 6\)"),
        (VARIANTS["labels"], {"y": None}, "needs y"),
        (
            VARIANTS["labels"],
            {"y": torch.zeros(2, 5)},
            "needs y .class numbers., and the condition's parts are: vector",
        ),
        (VARIANTS["vectors"], {"y": torch.tensor([0, 1])}, "needs vector .* are: y"),
        (VARIANTS["channels"], {"concat": None}, r"needs concat \(channels beside the latent\), .* are: none"),
        (VARIANTS["channels"], {"concat": torch.zeros(2, 2, 8, 8)}, r"takes \(b, 7, h, w\), .* got \(2, 6, 8, 8\)"),
        (VARIANTS["channels"], {"concat": torch.zeros(2, 3, 4, 4)}, "resize the condition"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        call(UNet(**config), inputs(config) | change)


def test_norm_groups_fit_any_width():
    narrow = UNet(**TINY | {"model_channels": 12, "num_heads": 4, "norm_groups": 8})
    groups = {(norm.num_groups, norm.num_channels) for norm in narrow.modules() if isinstance(norm, nn.GroupNorm)}
    assert groups == {(4, 12), (8, 24), (4, 36), (8, 48)}
