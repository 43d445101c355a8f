"""Options of diffusers' configurations: each is understood, or refused by its name, never passed over."""

from __future__ import annotations

from typing import Any

import pytest

from core.checkpoints import diffusers_config as configs

UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 16,
}
PLAIN_UNET = UNET | {
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}
del PLAIN_UNET["cross_attention_dim"]
AUTOENCODER: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": 4,
}

REFUSED: list[tuple[Any, dict[str, Any], str, Any]] = [
    *(
        (configs.conditional_unet_from_diffusers, UNET, name, value)
        for name, value in {
            "time_embedding_act_fn": "gelu",
            "timestep_post_act": "silu",
            "time_embedding_dim": 64,
            "time_embedding_type": "fourier",
            "class_embed_type": "identity",
            "class_embeddings_concat": True,
            "encoder_hid_dim": 32,
            "encoder_hid_dim_type": "text_proj",
            "addition_embed_type": "text",
            "transformer_layers_per_block": [[1, 2], 1],
            "resnet_skip_time_act": True,
            "resnet_out_scale_factor": 2.0,
            "resnet_time_scale_shift": "ada_group",
            "attention_type": "gated",
            "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
            "mid_block_only_cross_attention": True,
            "only_cross_attention": [True, True, True, True, True],
            "dual_cross_attention": True,
            "cross_attention_norm": "layer_norm",
            "reverse_transformer_layers_per_block": [1, 2],
            "time_cond_proj_dim": 8,
            "conv_in_kernel": 5,
            "act_fn": "gelu",
            "norm_eps": 1e-6,
            "freq_shift": 1,
            "center_input_sample": True,
            "layers_per_block": [1, 2],
            "cross_attention_dim": [16, 32],
            "up_block_types": ["UpBlock2D", "UpBlock2D"],
            "an_option_of_next_year": 3,
        }.items()
    ),
    *(
        (configs.unconditional_unet_from_diffusers, PLAIN_UNET, name, value)
        for name, value in {
            "attn_norm_num_groups": 8,
            "class_embed_type": "identity",
            "time_embedding_type": "learned",
            "time_embedding_dim": 64,
            "resnet_time_scale_shift": "spatial",
            "upsample_type": "resnet",
            "mid_block_type": None,
            "add_attention": False,
            "an_option_of_next_year": "on",
        }.items()
    ),
    *(
        (configs.autoencoder_from_diffusers_config, AUTOENCODER, name, value)
        for name, value in {
            "act_fn": "relu",
            "lookup_from_codebook": True,
            "norm_type": "spatial",
            "layers_per_block": [1, 2],
            "up_block_types": ["UpDecoderBlock2D", "AttnUpDecoderBlock2D"],
            "an_option_of_next_year": 1,
        }.items()
    ),
]


@pytest.mark.parametrize(("read", "config", "name", "value"), REFUSED, ids=[f"{r[0].__name__}-{r[2]}" for r in REFUSED])
def test_an_option_that_we_have_in_one_form_only_is_refused_by_its_name(
    read: Any, config: dict[str, Any], name: str, value: Any
) -> None:
    read(config)
    with pytest.raises(ValueError, match=f"the option {name} = "):
        read(config | {name: value})


@pytest.mark.parametrize(
    ("kind", "read", "config"),
    [
        ("UNet2DConditionModel", configs.conditional_unet_from_diffusers, UNET),
        ("UNet2DModel", configs.unconditional_unet_from_diffusers, PLAIN_UNET),
        ("AutoencoderKL", configs.autoencoder_from_diffusers_config, AUTOENCODER),
        ("VQModel", configs.autoencoder_from_diffusers_config, AUTOENCODER),
    ],
)
def test_every_option_that_diffusers_writes_is_known(kind: str, read: Any, config: dict[str, Any]) -> None:
    """All options of the installed version, at their defaults: nothing is refused for being new."""
    import diffusers

    read(dict(getattr(diffusers, kind)(**config).config))


def test_attention_without_the_norm_that_ours_has_is_refused() -> None:
    shifted = PLAIN_UNET | {"resnet_time_scale_shift": "scale_shift"}
    with pytest.raises(ValueError, match="attn_norm_num_groups = None"):
        configs.unconditional_unet_from_diffusers(shifted)
    assert configs.unconditional_unet_from_diffusers(shifted | {"attn_norm_num_groups": 32})["use_scale_shift_norm"]
