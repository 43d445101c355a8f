"""docs/models.md covers what its command tries; one family is tried here, and a difference is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models() -> ModuleType:
    spec = importlib.util.spec_from_file_location("models", ROOT / "benchmarks/models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_is_on_the_page_and_none_is_wrong(models: ModuleType) -> None:
    page = models.PAGE.read_text(encoding="utf-8")
    families, _ = map(rows, page.split("## What is refused"))
    assert [name.split(" | ")[0] for name in families[2:]] == list(models.families())
    assert "**" not in page


def test_what_the_page_says_of_files_that_are_refused_is_what_is_said(models: ModuleType) -> None:
    _, refused = map(rows, models.PAGE.read_text(encoding="utf-8").split("## What is refused"))
    assert set(refused[2:]) == {row[0] for row in models.refusals()}


def rows(text: str) -> list[str]:
    """The lines of a text's table, without their borders; the head's two come first."""
    return [line.removeprefix("| ").removesuffix(" |") for line in text.splitlines() if line.startswith("| ")]


def test_a_row_is_measured(models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "InstructPix2Pix"
    first, *cells, advice = models.tried(name, models.families()[name])
    assert first == name
    assert all(cell.startswith("equal (") for cell in cells), cells
    assert "instruct_pix2pix" in advice
    load = models.load_checkpoint

    def spoilt(*given: object) -> object:
        model = load(*given)
        with torch.no_grad():
            model.unet.out[2].bias.add_(1)
        return model

    monkeypatch.setattr(models, "load_checkpoint", spoilt)
    monkeypatch.setattr(models, "FORMS", ("diffusers' folder",))
    assert models.tried(name, models.families()[name])[1] == "**wrong** (1e+00)"
