"""Trees that consist of files: stored around them, with those of others taken in, and forgotten without them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graph_runner.base.files import TEMPORARY
from graph_runner.base.values import content_hash
from graph_runner.store.folders import FILES, TREE, files_of, forget_tree, load_meta, load_tree, save_tree, unfinished
from tests import crashes


def written(folder: Path, text: str) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text(text)
    (folder / "inner" / "b.txt").write_text(text * 2)
    return folder


def texts(folder: Path) -> list[str]:
    return [(folder / "a.txt").read_text(), (folder / "inner" / "b.txt").read_text()]


def test_a_tree_is_stored_around_its_files_and_takes_in_those_of_others(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "entry"
    own, other = written(files_of(entry), "own"), written(tmp_path / "other", "other")
    assert unfinished(entry)
    place = (own / "a.txt").stat().st_ino
    save_tree(entry, {"own": own, "list": [other, 3], "x": torch.ones(2)}, {"about": 1})
    assert not unfinished(entry)
    assert (own / "a.txt").stat().st_ino == place, "no byte is copied"
    tree = load_tree(entry)
    assert tree["own"] == own
    assert tree["list"][0].is_relative_to(entry)
    assert (texts(tree["own"]), texts(tree["list"][0])) == (["own", "ownown"], ["other", "otherother"])
    assert texts(other) == ["other", "otherother"]
    assert load_meta(entry) == {"about": 1}
    (tmp_path / "moved").mkdir()
    (tmp_path / "cache").rename(tmp_path / "moved" / "cache")  # a workspace that is moved as a whole
    assert texts(load_tree(tmp_path / "moved" / "cache" / "entry")["own"]) == ["own", "ownown"]


def test_forgetting_a_tree_keeps_its_files_and_one_without_goes_whole(tmp_path: Path) -> None:
    entry, plain = tmp_path / "cache" / "entry", tmp_path / "cache" / "plain"
    save_tree(entry, [written(files_of(entry), "own")])
    save_tree(plain, [1])
    forget_tree(entry)
    forget_tree(plain)
    assert unfinished(entry)
    assert texts(entry / FILES) == ["own", "ownown"]
    assert not plain.exists()
    assert not unfinished(plain)


def test_what_another_writer_in_the_folder_is_at_is_not_stored(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "entry"
    own = written(files_of(entry), "own")
    (own / ".shard.lock").touch()
    written(own / f"{TEMPORARY}x", "of another")
    save_tree(entry, [own])
    assert sorted(path.name for path in own.iterdir()) == ["a.txt", "inner"]


def test_a_death_while_the_tree_is_stored_loses_no_file(tmp_path: Path) -> None:
    entry = tmp_path / "cache" / "entry"

    def begin_anew() -> None:
        if entry.exists():
            crashes.graph_runner.base.files.remove(entry)
        written(files_of(entry), "own")

    def store() -> None:
        save_tree(entry, [files_of(entry)])

    for how in crashes.every_death(store, begin_anew):
        crashes.graph_runner.base.files.sweep(entry.parent)
        assert texts(entry / FILES) == ["own", "ownown"], how
        if (entry / TREE).exists():
            assert load_tree(entry) == [entry / FILES], how
    assert crashes.leftovers(tmp_path) == []


def test_the_content_of_files_counts_and_not_where_they_lie(tmp_path: Path) -> None:
    same = [content_hash({"at": written(tmp_path / name, "x")}) for name in ("a", "b")]
    assert same[0] == same[1] is not None
    assert content_hash({"at": written(tmp_path / "c", "y")}) != same[0]
    (tmp_path / "b" / "a.txt").rename(tmp_path / "b" / "c.txt")
    assert content_hash({"at": tmp_path / "b"}) != same[0]
    with pytest.raises(OSError, match="gone"):
        content_hash(tmp_path / "gone")
