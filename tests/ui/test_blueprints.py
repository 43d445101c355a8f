"""Blueprints by the server's calls."""

from __future__ import annotations

from pathlib import Path

from tests.ui.conftest import RunningServer

ONE = {"inputs": ["z"], "nodes": {}, "results": {"z": "inputs.z"}}


def test_saved_listed_and_deleted(server: RunningServer, tmp_path: Path) -> None:
    workflow = {"loom": 1, "definitions": {"kept": ONE, "left": ONE}}
    saved = server.call("save_blueprint", name="kept", workflow=workflow)
    assert (saved["name"], "left" in saved["text"]) == ("kept", False)
    assert "kept" in [one["name"] for one in server.call("blueprints")]
    other = {"loom": 1, "definitions": {"kept": {**ONE, "about": "Another."}}}
    assert server.refused("save_blueprint", name="kept", workflow=other)[0] == 409
    assert server.call("save_blueprint", name="kept", workflow=other, overwrite=True)["about"] == "Another."
    assert server.refused("save_blueprint", name="none", workflow=other)[0] == 400
    assert server.refused("save_blueprint", name="../out", workflow=other)[0] == 400
    outside = tmp_path / "outside.json"
    outside.write_text('{"loom": 1}')
    (server.workspace / "blueprints" / "linked.json").symlink_to(outside)
    assert "linked" not in [one["name"] for one in server.call("blueprints")]
    assert server.refused("discard_blueprint", name="linked")[0] == 400
    assert server.call("discard_blueprint", name="kept") is True
    assert server.refused("discard_blueprint", name="kept")[0] == 404
