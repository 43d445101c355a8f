"""Workflows carried inside pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from graph_runner.__main__ import main
from graph_runner.png import KEYWORD, open_workflow
from graph_runner.problems import WorkflowError
from graph_runner.workflow import save, write
from tests.graph_runner.conftest import graph

WORKFLOW = graph({"one": {"type": "number", "params": {"value": 3}}}, title="Größe ≥ 1", about="x" * 100_000)


def picture(path: Path, **texts: str) -> Path:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    Image.new("RGB", (4, 4)).save(path, format="PNG", pnginfo=info)
    return path


def test_a_picture_gives_the_workflow_that_it_carries(tmp_path: Path) -> None:
    save(WORKFLOW, tmp_path / "a.json")
    carrying = picture(tmp_path / "no_suffix", **{"Software": "a camera", KEYWORD: write(WORKFLOW)})
    assert open_workflow(carrying) == open_workflow(tmp_path / "a.json") == WORKFLOW


def test_the_command_line_runs_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = picture(tmp_path / "a.png", **{KEYWORD: write(WORKFLOW)})
    argv = [str(file), "--to", "one", "--workspace", str(tmp_path / "w"), "--nodes", "tests.graph_runner.toys"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph_runner.registry.entry_points", lambda group: ())
        assert main(argv) == 0
    assert "one = 3.0" in capsys.readouterr().out


def test_pictures_that_give_none_are_named(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.png").write_bytes(picture(tmp_path / "a.png").read_bytes()[:40])
    for path, message in [
        (picture(tmp_path / "plain.png"), "carries no workflow"),
        (picture(tmp_path / "other.png", **{KEYWORD: '{"last_node_id": 3}'}), "has no version"),
        (broken, "cannot read the picture"),
        (tmp_path / "absent.png", "cannot read"),
        (tmp_path, "cannot read"),
    ]:
        with pytest.raises(WorkflowError) as caught:
            open_workflow(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)
