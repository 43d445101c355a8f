"""DINOv2's features and CLIP's score from folders, against the transformers library and Pillow."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.pretrained import pretrained_files
from core.data.shapes import Shapes
from core.metrics.pretrained import CLIPScore, DINOv2

sys.path.append(str(Path(__file__).parent))
from tiny_pretrained import WORDS, clip, dinov2

PICTURES = Shapes(resolution=64, size=3).get_batch(range(3))["images"][..., :48]


def pillow(pictures: Tensor) -> list[Image.Image]:
    values = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in values]


def test_dinov2_s_features_are_those_of_transformers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    theirs = dinov2(tmp_path)
    capfd.readouterr()
    ours = DINOv2.load(tmp_path)
    assert capfd.readouterr() == ("", ""), "nothing is drawn on the console"
    pixels = [np.asarray(each.resize((224, 224), Image.Resampling.BICUBIC)) for each in pillow(PICTURES)]
    normed = (np.stack(pixels) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(normed).float().permute(0, 3, 1, 2)).last_hidden_state[:, 0]
    found = ours(PICTURES)
    assert found.shape == (3, ours.num_features) == (3, 16)
    # Pillow computes with whole numbers: some pixels round to their neighbour.
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()
    assert (wanted[0] - wanted[1]).abs().max() > 0.1 * wanted.abs().max()


def test_clip_s_score_is_that_of_transformers(tmp_path: Path) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    theirs = clip(tmp_path)
    ours = CLIPScore.load(tmp_path)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pixels = processor(pillow(PICTURES), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        made = theirs(input_ids=ours.tokenizer(WORDS), pixel_values=pixels)
    wanted = 100 * (made.image_embeds * made.text_embeds).sum(1).clamp(min=0)
    found = ours(PICTURES, WORDS)
    assert torch.allclose(found, wanted, atol=0.5)
    assert float(wanted.max()) > 5, "nothing is measured"
    assert torch.allclose(ours(PICTURES, WORDS[:1])[0], found[0])
    with pytest.raises(ValueError, match="2 texts for 3 images"):
        ours(PICTURES, WORDS[:2])


def test_the_files_that_count_are_told(tmp_path: Path) -> None:
    clip(tmp_path)
    (tmp_path / "modeling.py").write_text("raise SystemExit")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(pretrained_files(tmp_path))
    assert "modeling.py" not in pretrained_files(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    clip(tmp_path / "clip")
    with pytest.raises(CheckpointError, match="describes a 'clip'; a folder of 'dinov2' is wanted"):
        DINOv2.load(tmp_path / "clip")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        DINOv2.load(tmp_path)
    (tmp_path / "clip" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        CLIPScore.load(tmp_path / "clip")


@pytest.mark.slow
def test_a_folder_whose_parts_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    dinov2(tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    for name, change, told in (
        ("wide", {"hidden_size": 32}, "does not fit"),
        ("deep", {"num_hidden_layers": 3}, "does not fit"),
        ("endless", {"num_hidden_layers": 10**7}, "more layers than the file has weights for"),
    ):
        shutil.copytree(tmp_path / "whole", tmp_path / name)
        (tmp_path / name / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(CheckpointError, match=told):
            DINOv2.load(tmp_path / name)
