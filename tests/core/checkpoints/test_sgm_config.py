"""The yaml of Stability AI's single files, in CompVis' words and back."""

from __future__ import annotations

from typing import Any

import pytest

from core.checkpoints.sgm_config import from_compvis_params, to_compvis_params

UNET = {"adm_in_channels": 2816, "context_dim": 2048, "model_channels": 320}
OURS: dict[str, Any] = {
    "unet_config": {"params": UNET},
    "first_stage_config": {"target": "sgm.models.autoencoder.AutoencoderKLInferenceWrapper"},
    "scale_factor": 0.13025,
    "parameterization": "v",
    "timesteps": 1000,
    "linear_start": 0.00085,
    "linear_end": 0.012,
}


def published(**changes: Any) -> dict[str, Any]:
    """What sd_xl_base.yaml says of these, with other sections in place of its own."""
    scaling, discretization = "denoiser_scaling.EpsScaling", "discretizer.LegacyDDPMDiscretization"
    module = "sgm.modules.diffusionmodules"
    return {
        "scale_factor": 0.13025,
        "network_config": {"params": UNET | changes.pop("unet", {})},
        "first_stage_config": OURS["first_stage_config"],
        "denoiser_config": {
            "params": {
                "scaling_config": {"target": f"{module}.{changes.pop('scaling', scaling)}"},
                "discretization_config": {"target": f"{module}.{changes.pop('discretization', discretization)}"},
            }
        },
    }


def test_the_published_yaml_says_what_sdxl_is() -> None:
    told = to_compvis_params(published())
    assert told == OURS | {
        "parameterization": "eps",
        "unet_config": {"params": UNET | {"use_spatial_transformer": True}},
        "cond_stage_config": {"target": "SDXLTextEmbedder"},
    }


@pytest.mark.parametrize("encoders", [1, 2])
def test_it_goes_there_and_back(encoders: int) -> None:
    written = from_compvis_params(OURS, encoders, 256)["params"]
    read = to_compvis_params(written)
    assert read == OURS | {
        "unet_config": {"params": UNET | {"use_spatial_transformer": True}},
        "cond_stage_config": {"target": "SDXLTextEmbedder"},
    }
    names = [each["input_key"] for each in written["conditioner_config"]["params"]["emb_models"]]
    assert names == ["txt"] * encoders + [
        "original_size_as_tuple",
        "crop_coords_top_left",
        "target_size_as_tuple" if encoders == 2 else "aesthetic_score",
    ]


def test_the_refiners_widths_are_one() -> None:
    told = to_compvis_params(published(unet={"context_dim": [1280, 1280]}))
    assert told["unet_config"]["params"]["context_dim"] == 1280


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scaling": "denoiser_scaling.EDMScaling"}, "the scaling EDMScaling is not supported"),
        ({"discretization": "discretizer.EDMDiscretization"}, "the discretization EDMDiscretization is not supported"),
        ({"unet": {"context_dim": [768, 1280]}}, r"context_dim = \[768, 1280\] is not supported"),
    ],
)
def test_another_noise_process_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_compvis_params(published(**changes))


def test_what_sgm_has_no_name_for_is_refused() -> None:
    with pytest.raises(ValueError, match="predicts eps or v, not x0"):
        from_compvis_params(OURS | {"parameterization": "x0"}, 2, 256)
