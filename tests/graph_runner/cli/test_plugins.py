"""`nodes WORD…` and `plugins`: what there is, found and listed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from graph_runner.__main__ import main


def test_nodes_are_found_by_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "ddim", "inversion"]) == 0
    assert "invert" in capsys.readouterr().out
    assert main(["nodes", "sample"]) == 0
    assert capsys.readouterr().out.startswith("# sample")
    assert main(["nodes", "qqxyz"]) == 2
    assert "there is no node 'qqxyz'" in capsys.readouterr().err


def test_packages_are_listed_and_a_broken_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_trial.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["plugins"]) == 0
    assert "latent-loom" in capsys.readouterr().out
    assert main(["plugins", "--json", "--nodes", "broken_trial"]) == 1
    found = {plugin["module"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    assert "sample" in found["nodes"]["nodes"]
    assert found["nodes"]["error"] == ""
    assert found["broken_trial"]["nodes"] == []
    assert "nothing_of_that_name" in found["broken_trial"]["error"]
    assert found["broken_trial"]["folder"] == str(tmp_path)
    assert "broken_trial" not in sys.modules


def test_a_package_whose_parent_raises_is_told_with_the_folder_to_look_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "broken_parent"
    package.mkdir()
    (package / "__init__.py").write_text("nothing_of_that_name\n")
    (package / "nodes.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["plugins", "--json", "--nodes", "broken_parent.nodes"]) == 1
    found = {plugin["module"]: plugin for plugin in json.loads(capsys.readouterr().out)}["broken_parent.nodes"]
    assert "nothing_of_that_name" in found["error"]
    assert found["folder"] == str(package)
