"""The UNet against diffusers' with the same randomised weights: float32, CPU, largest error ≤ 2e-5 of the output's std.

Measured: 0 to 7e-6. A norm with the other epsilon (1e-5 for 1e-6 or the reverse) would show as 5e-4 at least.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from parity_weights import randomise

from core.checkpoints.diffusers_keys import unet_from_diffusers, unet_to_diffusers
from core.conditioning.conditioning import Conditioning
from core.models.unet import UNet

TOLERANCE = 2e-5

PLAIN = {"in_channels": 3, "out_channels": 3, "model_channels": 32, "channel_mult": (1, 2), "num_head_channels": 16}
CROSS = {"in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": (1, 2), "context_dim": 24}

UNCONDITIONAL = {
    "attention at two factors": (
        PLAIN | {"channel_mult": (1, 2, 3), "attention_factors": (4, 2)},
        {
            "block_out_channels": (32, 64, 96),
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        },
    ),
    "mid attention only, concatenated channels": (
        PLAIN | {"attention_factors": (32, 16, 8), "in_channels": 6},
        {
            "in_channels": 6,
            "down_block_types": ("DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D"),
        },
    ),
    "resblock_updown, one residual block": (
        PLAIN | {"attention_factors": (2,), "resblock_updown": True, "num_res_blocks": 1},
        {
            "layers_per_block": 1,
            "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
            "upsample_type": "resnet",
        },
    ),
    "scale-shift norm, resblock_updown": (
        PLAIN | {"attention_factors": (2, 1), "resblock_updown": True, "use_scale_shift_norm": True},
        {
            "down_block_types": ("AttnDownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D"),
            "downsample_type": "resnet",
            "upsample_type": "resnet",
            "resnet_time_scale_shift": "scale_shift",
            "attn_norm_num_groups": 32,
        },
    ),
    "eight norm groups": (PLAIN | {"attention_factors": (2,), "norm_groups": 8}, {"norm_num_groups": 8}),
    "class embedding": (PLAIN | {"attention_factors": (2,), "num_classes": 5}, {"num_class_embeds": 5}),
}

CONDITIONAL = {
    "num_heads": (CROSS | {"attention_factors": (2, 1), "num_heads": 4}, {"attention_head_dim": 4}),
    "num_head_channels, depth 3": (
        CROSS | {"attention_factors": (2, 1), "num_head_channels": 16, "transformer_depth": 3},
        {"attention_head_dim": (2, 4), "transformer_layers_per_block": 3},
    ),
    "one head, attention at one factor": (
        CROSS | {"attention_factors": (2,), "num_heads": 1},
        {
            "attention_head_dim": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        },
    ),
    "linear projections (Stable Diffusion 2)": (
        CROSS | {"attention_factors": (2, 1), "num_head_channels": 16, "use_linear_in_transformer": True},
        {"attention_head_dim": (2, 4), "use_linear_projection": True},
    ),
    "class embedding": (
        CROSS | {"attention_factors": (2, 1), "num_heads": 4, "num_classes": 5},
        {"attention_head_dim": 4, "num_class_embeds": 5},
    ),
}


def unet_2d(settings):
    defaults = {
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (32, 64),
        "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 16,
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "downsample_padding": 1,
    }
    return UNet2DModel(**(defaults | settings))


def unet_2d_condition(settings):
    defaults = {
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (32, 64),
        "layers_per_block": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 24,
    }
    return UNet2DConditionModel(**(defaults | settings))


CASES = [pytest.param(unet_2d, *case, id=f"unconditional: {name}") for name, case in UNCONDITIONAL.items()]
CASES += [pytest.param(unet_2d_condition, *case, id=f"cross-attention: {name}") for name, case in CONDITIONAL.items()]


@pytest.mark.parametrize(("build", "config", "settings"), CASES)
@torch.no_grad()
def test_same_weights_give_the_same_prediction(build, config, settings):
    ours = randomise(UNet(**config), gain=0.2)
    theirs = build(settings).eval()
    theirs.load_state_dict(unet_to_diffusers(ours.state_dict(), ours.config))

    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, config["in_channels"], 8, 8, generator=generator)
    t = torch.tensor([7, 801])
    context = torch.randn(2, 5, 24, generator=generator) if "context_dim" in config else None
    y = torch.tensor([0, 3]) if "num_classes" in config else None
    latent = config["out_channels"]
    told = Conditioning(context, z[:, latent:] if latent < z.shape[1] else None, y)
    wanted = theirs(z, t, *([] if context is None else [context]), class_labels=y).sample

    torch.testing.assert_close(ours(z[:, :latent], t, told), wanted, rtol=0, atol=TOLERANCE * wanted.std().item())


@pytest.mark.parametrize(("build", "config", "settings"), CASES)
def test_keys_go_to_diffusers_and_back_bit_equal(build, config, settings):
    state = randomise(UNet(**config)).state_dict()
    theirs = unet_to_diffusers(state, config)
    back = unet_from_diffusers(theirs, config)

    assert {key: tensor.shape for key, tensor in theirs.items()} == {
        key: tensor.shape for key, tensor in build(settings).state_dict().items()
    }
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
