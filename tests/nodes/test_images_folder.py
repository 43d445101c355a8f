"""People's own pictures: what cannot be read is named and left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from graph_runner.base.events import Log
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine


def test_unreadable_pictures_are_named_in_the_run_and_left_out(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "red").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (40, 30), (200, 10 * i, 0)).save(folder / "red" / f"{i}.png")
    (folder / "red" / "broken.png").write_bytes(b"no picture")
    nodes: dict[str, Any] = {
        "pictures": {"type": "image_folder", "params": {"path": "pictures", "resolution": 16}},
        "some": {"type": "take_images", "wires": {"data": "pictures"}},
    }
    result = engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=["some"])
    assert result.values["some"].shape == (3, 3, 16, 16)
    assert any("broken.png" in event.message for event in result.events if isinstance(event, Log))
