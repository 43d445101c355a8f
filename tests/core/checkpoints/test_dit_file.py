"""The paper's single files of DiT: read by their names and shapes, and computing what diffusers' folder of the same weights does but for its two other numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import randomise
from torch import Tensor

from core.checkpoints.diffusers_dit import dit_from_diffusers_config
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.load import load_checkpoint
from core.checkpoints.weights import write_weights
from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise
from core.models.dit import DiT, grid_embedding

SMALL: dict[str, Any] = {"in_channels": 4, "hidden_size": 384, "depth": 1, "num_heads": 6, "num_classes": 10}


def made(**options: Any) -> DiT:
    return randomise(DiT(**SMALL | options), 1)


def in_one_file(model: DiT) -> dict[str, Tensor]:
    """As the repository's files have it: with the positions, of the model's grid."""
    side = model.trained_grid
    return model.state_dict() | {"pos_embed": grid_embedding(side, side, side, 384, torch.device("cpu"))[None]}


@pytest.mark.parametrize("options", [{"sample_size": 32, "learn_sigma": True}, {"sample_size": 64, "patch_size": 4}])
@torch.no_grad()
def test_a_single_file_is_read_by_its_names_and_shapes(options: dict[str, Any], tmp_path: Path) -> None:
    model = made(**options)
    torch.save(in_one_file(model), tmp_path / "DiT.pt")
    found = load_checkpoint(tmp_path / "DiT.pt")
    assert isinstance(found.unet, DiT)
    assert found.unet.config == model.config
    z, told = torch.randn(2, 4, 8, 8), Conditioning(y=torch.tensor([3, 10]))
    t = torch.tensor([5, 900])
    assert torch.equal(denoise(found.unet, z, t, told), denoise(model, z, t, told))
    assert found.schedule is not None
    [sentence] = found.untold
    assert "SiT" in sentence
    assert [found.schedule.betas[i] for i in (0, -1)] == pytest.approx([0.0001, 0.02])
    known = identify(tmp_path / "DiT.pt")
    assert known is not None
    assert (known.name, known.use) == ("a DiT of the paper's code", "checkpoint")


def test_a_file_without_positions_does_not_say_its_size(tmp_path: Path) -> None:
    write_weights(made(sample_size=64).state_dict(), tmp_path / "DiT.safetensors")
    found = load_checkpoint(tmp_path / "DiT.safetensors")
    assert found.unet is not None
    assert found.unet.config["sample_size"] == 32
    assert "256 pixels" in found.untold[1]


def test_what_is_incomplete_or_of_another_width_is_said(tmp_path: Path) -> None:
    state = in_one_file(made())
    del state["blocks.0.mlp.fc2.weight"]
    write_weights(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"blocks\.0\.mlp\.fc2\.weight is missing"):
        load_checkpoint(tmp_path / "a.safetensors")
    write_weights(DiT(**SMALL | {"hidden_size": 24}).state_dict(), tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="24 channels, and the paper's 384, 768, 1024, 1152"):
        load_checkpoint(tmp_path / "b.safetensors")


def test_an_option_of_diffusers_that_is_not_known_is_named() -> None:
    published = {
        "num_vector_embeds": None,
        "only_cross_attention": False,
        "norm_num_groups": 32,
        "upcast_attention": False,
    }
    assert dit_from_diffusers_config(published)["num_classes"] == 1000
    with pytest.raises(ValueError, match="the option interpolation_scale = 2 is not known"):
        dit_from_diffusers_config(published | {"interpolation_scale": 2})
