"""Every shipped graph is valid, canonical and explained; those of the first day run tiny, one after the other as a user would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import skimage

from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load, read, write
from graph_runner.run.engine import Engine, Result
from tests.workflows.changing import change_what_they_have
from tests.workflows.conftest import Check

WORKFLOWS = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
SMALL: dict[str, dict[str, Any]] = {
    "shapes": {"size": 128},
    "pictures": {"resolution": 32},
    "autoencoder": {"steps": 2, "batch_size": 2},
    "diffusion": {"steps": 2, "batch_size": 2},
    "first_stage": {"samples": 2},
    "sample": {"steps": 2},
    "walk": {"iterations": 3},
}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_canonical_and_explained(name: str, registry: Registry) -> None:
    text = (WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")
    workflow = read(text)
    assert write(under_current_names(workflow, registry)) == text
    assert validate(workflow, registry)[1] == [], "neither errors nor warnings"
    assert workflow.title
    assert len(workflow.about) > 100
    assert workflow.exposed.params


def small(name: str) -> Workflow:
    """A shipped workflow, small; what lies in zones is as it is."""
    workflow = load(WORKFLOWS / f"{name}.json")
    change_what_they_have(workflow.nodes.items(), SMALL)
    return workflow


def files(result: Result) -> set[str]:
    return {Path(shown.path).name for shown in result.shown if not shown.preview}


def test_train_then_sample_then_walk_as_a_user_would(registry: Registry, tmp_path: Path, golden: Check) -> None:
    engine = Engine(registry, tmp_path)
    for name, saves in {
        "quickstart": "quickstart.png",
        "rectified_flow": "rectified_flow.png",
        "sample": "samples.png",
        "langevin": "langevin.png",
        "train_autoencoder": "reconstructions.png",
        "train_unconditional": "unconditional.png",
    }.items():
        result = engine.run(small(name))
        assert files(result) == {saves}
        golden(name, result)
    saved = {path.relative_to(tmp_path / "models").as_posix() for path in (tmp_path / "models").rglob("*.safetensors")}
    assert {
        "rectified_flow/unet.safetensors",
        "quickstart/unet.safetensors",
        "shapes/autoencoder.safetensors",
        "unconditional/unet.safetensors",
    } <= saved


def photographs(folder: Path) -> list[Path]:
    """The photographs that ship inside scikit-image's wheel."""
    folder.mkdir()
    found = sorted((Path(skimage.__file__).parent / "data").glob("*.png"))
    return [Path(shutil.copy(picture, folder)) for picture in found]


def test_captioned_pictures_of_any_shape(registry: Registry, tmp_path: Path, golden: Check) -> None:
    for picture in photographs(tmp_path / "captioned"):
        picture.with_suffix(".txt").write_text(f"a photograph of {picture.stem.replace('_', ' ')}")
    workflow = small("captioned_pictures")
    workflow.nodes["buckets"].params["resolution"] = 32
    workflow.nodes["noise"].params["shape"] = [4, 4, 6, 10]
    result = Engine(registry, tmp_path).run(workflow)
    assert files(result) == {"captioned.png"}
    golden("captioned_pictures", result)


def test_own_pictures(registry: Registry, tmp_path: Path, golden: Check) -> None:
    photographs(tmp_path / "pictures")
    workflow = small("images_folder")
    workflow.nodes["noise"].params["shape"] = [2, 4, 8, 8]
    zone = workflow.nodes["diffusion"].body
    assert zone is not None
    look = zone.nodes["look_at_samples"].body
    assert look is not None
    look.nodes["preview_noise"].params["shape"] = [2, 4, 8, 8]
    result = Engine(registry, tmp_path).run(workflow)
    assert files(result) == {"pictures.png"}
    golden("images_folder", result)
