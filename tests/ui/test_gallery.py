"""The pictures of all runs: found by what made them, marked, thrown away and brought back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import RunningServer, graph
from ui.gallery import KEPT_SECONDS, LOOKED_AT, Gallery
from ui.ledger import Ledger
from ui.refusal import RefusedError
from ui.workspace import Workspace


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    workspace = Workspace(tmp_path)
    return Gallery(workspace, Ledger(workspace.own / "server.db"))


def painted(gallery: Gallery, title: str, prompt: str, seed: int, previews: int = 0, status: str = "done") -> str:
    """A run that showed a picture, and previews before; the picture's path."""
    nodes: dict[str, Any] = {
        "prompt": {"type": "encode_text", "params": {"text": prompt}},
        "draw": {"type": "repeat", "body": {"nodes": {"noise": {"type": "gaussian_noise", "params": {"seed": seed}}}}},
        "keep": {"type": "save_image", "wires": {"images": "draw"}},
    }
    text = json.dumps(graph(nodes, title=title))
    run = gallery.ledger.add(title, text, [], False, seed, False, "")
    gallery.ledger.update(run, status=status, device="cpu", folder=f"runs/{run}")
    folder = gallery.workspace.root / "runs" / str(run)
    folder.mkdir(parents=True)
    for n in range(1, previews + 2):
        path = folder / f"{n}.png"
        path.write_bytes(b"picture")
        shown = {"time": 1.0, "event": "shown", "node": "keep", "path": f"runs/{run}/{n}.png", "media": "image/png"}
        gallery.ledger.append(run, n, {**shown, "preview": n <= previews})
    return f"runs/{run}/{previews + 1}.png"


def found(gallery: Gallery, query: str = "", **how: Any) -> list[str]:
    how = {"favourites": False, "previews": False, "limit": 60, "before": 0, **how}
    return [picture.path for picture in gallery.find(query, **how).pictures]


def test_pictures_are_found_by_prompt_title_node_parameter_and_seed(gallery: Gallery) -> None:
    cat = painted(gallery, "Cats", "a grey cat, Katze", 7)
    sea = painted(gallery, "The sea", "waves at night", 70)
    assert found(gallery) == [sea, cat]
    for query in ("grey", "KATZE cat", "cats", "seed=7", "noise.seed=7", "prompt grey", "#1"):
        assert found(gallery, query) == [cat], query
    assert found(gallery, "save image") == [sea, cat]
    assert found(gallery, "encode_text night") == [sea]
    assert found(gallery, "grey night") == []
    assert found(gallery, "seed=700") == []


def test_previews_and_runs_that_go_on_are_told_apart(gallery: Gallery) -> None:
    painted(gallery, "a", "x", 1, status="running")
    last = painted(gallery, "b", "x", 2, previews=2)
    assert found(gallery) == [last]
    assert found(gallery, previews=True) == [last, "runs/2/2.png", "runs/2/1.png"]
    (gallery.workspace.root / last).unlink()
    assert found(gallery) == []


def test_pages_meet_without_a_gap_and_a_rare_picture_is_found_far_back(gallery: Gallery) -> None:
    rare = painted(gallery, "rare", "unicorn", 1)
    paths = [painted(gallery, "common", "horse", n) for n in range(LOOKED_AT + 30)]
    got: list[str] = []
    before, pages = 0, 0
    while pages == 0 or before:
        page = gallery.find("", False, False, 50, before)
        got += [picture.path for picture in page.pictures]
        before, pages = page.before, pages + 1
    assert got == [*reversed(paths), rare]
    first = gallery.find("unicorn", False, False, 50, 0)
    assert first.pictures == []
    assert first.before
    assert [picture.path for picture in gallery.find("unicorn", False, False, 50, first.before).pictures] == [rare]


def test_favourites_outlive_the_server_and_a_damaged_record_is_none(gallery: Gallery, tmp_path: Path) -> None:
    cat, sea = painted(gallery, "a", "x", 1), painted(gallery, "b", "x", 2)
    gallery.mark(cat, True)
    again = Gallery(Workspace(tmp_path), gallery.ledger)
    assert found(again, favourites=True) == [cat]
    again.mark(sea, True)
    again.mark(cat, False)
    again.mark("runs/never/there.png", False)
    assert found(again, favourites=True) == [sea]
    with pytest.raises(RefusedError):
        again.mark("runs/never/there.png", True)
    for damage in ("", "{", "[1, null]", '{"a": 1}', "\0"):
        (again.workspace.own / "favourites.json").write_text(damage)
        assert found(again, favourites=True) == []
        assert len(found(again)) == 2


def test_what_is_thrown_away_comes_back_as_it_was_for_thirty_days(gallery: Gallery, tmp_path: Path) -> None:
    cat = painted(gallery, "a", "x", 1)
    gallery.mark(cat, True)
    gallery.throw_away(cat)
    assert found(gallery) == []
    assert not (tmp_path / cat).exists()
    with pytest.raises(RefusedError) as gone:
        gallery.throw_away(cat)
    assert gone.value.status == 404
    gallery.bring_back(cat)
    assert found(gallery, favourites=True) == [cat]
    assert (tmp_path / cat).read_bytes() == b"picture"
    with pytest.raises(RefusedError, match="thrown away"):
        gallery.bring_back(cat)

    gallery.throw_away(cat)
    (tmp_path / cat).write_bytes(b"another")
    with pytest.raises(RefusedError) as taken:
        gallery.bring_back(cat)
    assert taken.value.status == 409
    (tmp_path / cat).unlink()
    (old,) = (gallery.workspace.own / "bin").iterdir()
    Gallery(Workspace(tmp_path), gallery.ledger).bring_back(cat)

    gallery.throw_away(cat)
    (old,) = (gallery.workspace.own / "bin").iterdir()
    old.rename(old.with_name(f"{int((time.time() - KEPT_SECONDS - 60) * 1e9):x}"))
    Gallery(Workspace(tmp_path), gallery.ledger)
    assert list((gallery.workspace.own / "bin").iterdir()) == []


@pytest.mark.parametrize("path", ["workflows/x.json", "../x.png", ".server/server.db", "runs", "", "cat.png", "/etc/x"])
def test_only_pictures_of_runs_and_uploads_are_thrown_away(gallery: Gallery, tmp_path: Path, path: str) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows/x.json").write_text("{}")
    (tmp_path / "runs").mkdir()
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(RefusedError):
        gallery.throw_away(path)
    assert (tmp_path / "workflows/x.json").exists()
    assert (tmp_path / "cat.png").exists()


def test_odd_workflows_are_searched_and_break_nothing(gallery: Gallery) -> None:
    for text in (
        "",
        "{",
        "[]",
        '{"nodes": 3}',
        '{"nodes": {"a": 1, "b": {"params": []}}}',
        '{"definitions": {"d": 1}}',
    ):
        run = gallery.ledger.add("odd", text, [], False, 0, False, "")
        gallery.ledger.update(run, status="done")
        event = {"time": 1.0, "event": "shown", "node": "a", "path": "../x.png", "media": "image/png", "preview": False}
        gallery.ledger.append(run, 1, event)
        assert found(gallery, "odd") == []


def test_the_calls_answer(server: RunningServer) -> None:
    made = server.submit({
        "x": {"type": "number", "params": {"value": 3}},
        "of_gallery": {"type": "save_picture", "wires": {"x": "x"}},
    }, seed=11)  # fmt: skip
    server.over(made)
    (told,) = server.call("gallery", query=f"seed=11 #{made} value=3 of gallery")["pictures"]
    path = told["path"]
    assert (told["run"], told["favourite"]) == (made, False)
    assert server.http.get(f"/{told['url']}").status_code == 200
    server.call("favour", path=path)
    assert path in [each["path"] for each in server.call("gallery", favourites=True)["pictures"]]
    server.call("throw_away", path=path)
    assert server.http.get(f"/{told['url']}").status_code == 404
    assert server.call("bring_back", path=path)["size"] == told["size"]
    assert server.call("gallery", query="no such words at all") == {"pictures": [], "before": 0}
    assert server.refused("favour", path="../x.png")[0] == 400
    assert server.refused("throw_away", path="runs/x.png")[0] == 404
    assert server.refused("bring_back", path="runs/x.png")[0] == 404
