"""What files hold, as a part of keys: over random trees of files, links and loops; told, stopped, and changed meanwhile."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from graph_runner.base import contents, events, hashes
from graph_runner.base.contents import Contents, all_files
from graph_runner.base.hashes import FileState, Hashes
from graph_runner.contract import File, Folder, PathTo, Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.run.engine import HASHES, Engine
from graph_runner.run.failures import NodeError
from tests.effort import cases
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.toys import CALLS, Number

DEPTH = 5


def numbers(folder: Path) -> dict[str, Path]:
    """The files of a folder and of its own sub-folders that hold numbers."""
    return {str(file.relative_to(folder)): file for file in [*folder.glob("*.number"), *folder.glob("*/*.number")]}


@node(category="toy")
def numbers_in(path: Annotated[str, PathTo("folder", numbers)]) -> Number:
    """The sum of the numbers in a folder."""
    CALLS.append("numbers")
    return torch.tensor(sum(float(file.read_text()) for file in numbers(Path(path)).values()))


@node(category="toy")
def files_at(folder: Folder) -> Number:
    """How many files a folder holds."""
    return torch.tensor(float(sum(1 for _ in Path(folder).iterdir())))


@node(category="toy")
def read_and_change(path: File) -> Number:
    """Somebody writes to a file while it is read."""
    value = float(Path(path).read_text())
    Path(path).write_text(f"{value + 1}")
    return torch.tensor(value)


@node(category="toy")
def change_file(x: Number, path: str) -> Number:
    """Somebody writes to a file that was read before."""
    Path(path).write_text(f"{float(x) + 1}")
    return x + 0


class Opened:
    """A data set as loaders make them: it reads when it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


Lazy = Annotated[Opened, Wire("lazy")]


@node(category="toy")
def open_folder(path: Folder) -> Lazy:
    """A folder, opened."""
    return Opened(Path(path))


@node(category="toy")
def look_into(data: Lazy, scale: float = 1.0) -> Number:
    """What an opened folder holds now."""
    return scale * torch.tensor(float((data.folder / "x").read_text()))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Registry.scan([*TOYS, __name__]), tmp_path)


def view(path: Path, depth: int = DEPTH) -> dict[str, Any]:
    """All that can be read at a path, through every link, some way into loops: what a key must follow."""
    seen: dict[str, Any] = {}
    for entry in sorted(inner.name for inner in path.iterdir()):
        inner = path / entry
        if inner.is_dir():
            seen[f"{entry}/"] = view(inner, depth - 1) if depth else "…"
        elif inner.is_file():
            seen[entry] = inner.read_text()
    return seen


def grow(root: Path, rng: random.Random) -> None:
    """A tree of folders, files and links of all kinds, in it and beside it."""
    folders = [root, root.parent / "elsewhere"]
    for folder in folders:
        folder.mkdir(parents=True)
    for i in range(rng.randint(3, 9)):
        folder = rng.choice(folders) / f"{rng.choice(['', '.'])}d{i}"
        folder.mkdir()
        folders.append(folder)
    for i in range(rng.randint(4, 12)):
        (rng.choice(folders) / f"{rng.choice(['', '.'])}f{i}").write_text(rng.choice("xyz"))
    for i in range(rng.randint(2, 8)):
        link, target = rng.choice(folders) / f"l{i}", rng.choice(folders)
        if rng.random() < 0.4:
            target = target / rng.choice([*sorted(inner.name for inner in target.iterdir()), "nothing"])
        link.symlink_to(os.path.relpath(target, link.parent) if rng.random() < 0.5 else target)


def change(base: Path, rng: random.Random) -> None:
    """One change somewhere: a file written, made, renamed or removed, a link led elsewhere."""
    entries = [Path(folder) / name for folder, folders, files in os.walk(base) for name in (*folders, *files)]
    files = [entry for entry in entries if entry.is_file() and not entry.is_symlink()]
    links = [entry for entry in entries if entry.is_symlink()]
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    match rng.randrange(5):
        case 0 if files:
            rng.choice(files).write_text(rng.choice("xyz"))
        case 1 if files:
            rng.choice(files).unlink()
        case 2 if files:
            file = rng.choice(files)
            file.rename(file.with_name(f"r{file.name}"))
        case 3 if links:
            link = rng.choice(links)
            link.unlink()
            link.symlink_to(rng.choice(folders))
        case _:
            (rng.choice(folders) / "new").write_text("x")


@pytest.mark.parametrize("seed", range(cases(40, 2000)))
def test_a_key_follows_all_that_can_be_read(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    root = tmp_path / "root"
    grow(root, rng)
    for _ in range(5):
        before, key = view(root), Contents().key("n", root)
        assert Contents().key("n", root) == key
        os.utime(next(iter(all_files(root).values())), ns=(1, 1), follow_symlinks=False)
        assert Contents().key("n", root) == key, "times alone are no content"
        change(tmp_path, rng)
        if view(root) != before:
            assert Contents().key("n", root) != key


def test_where_a_folder_lies_does_not_count_and_what_it_holds_does(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x.txt").write_text("1")
    a, b = tmp_path / "a", tmp_path / "b"
    key = Contents().key("n", a)
    assert Contents().key("n", b) == key
    assert Contents().key("n", a / "deep" / "x.txt") == Contents().key("n", b / "deep" / "x.txt")
    (b / "empty").mkdir()
    assert Contents().key("n", b) != key
    (b / "empty").rmdir()
    (b / "deep" / "x.txt").rename(b / "deep" / "y.txt")
    assert Contents().key("n", b) != key
    os.mkfifo(a / "pipe")
    assert Contents().key("n", a) != key, "nobody waits at a pipe"


def test_a_node_that_says_what_it_reads_is_keyed_by_that_alone(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "a.number").write_text("1.5")
    nodes = {"n": {"type": "numbers_in", "params": {"path": "numbers"}}}

    def value() -> tuple[float, bool]:
        CALLS.clear()
        return float(engine.run(graph(nodes), targets=["n"]).values["n"]), bool(CALLS)

    assert value() == (1.5, True)
    (folder / "Thumbs.db").write_text("foreign")
    assert value() == (1.5, False)
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    assert value() == (1.5, False)
    (tmp_path / "outside" / "b.number").write_text("2")
    assert value() == (3.5, True)
    (tmp_path / "outside" / "b.number").write_text("3")
    assert value() == (4.5, True)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written in a test are as good as old."""
    monkeypatch.setattr(hashes, "YOUNG_SECONDS", 0)


@pytest.mark.usefixtures("old")
def test_hashes_are_kept_from_start_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    hash_file = contents._hash
    monkeypatch.setattr(contents, "_hash", lambda file, *rest: read.append(file) or hash_file(file, *rest))
    file = tmp_path / "f"
    file.write_text("1")
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    known = Hashes(tmp_path / ".own" / "hashes.db")
    key = Contents(known).key("n", tmp_path, lambda path: {n: path / n for n in ("f", "link", "hard")})
    assert read == [file], "three names, one file"
    read.clear()
    assert Contents(known).key("n", file) == Contents().key("n", file)
    assert len(read) == 1, "only the one that knows nothing reads"
    read.clear()
    moved = file.rename(tmp_path / "g")
    assert Contents(known).key("n", moved) == Contents().key("n", moved) != key
    status = moved.stat()
    moved.write_text("2")
    os.utime(moved, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Contents(known).key("n", moved) == Contents().key("n", moved), "the same size and time, another content"


def test_what_changed_just_now_is_not_taken_for_known(tmp_path: Path) -> None:
    file, known = tmp_path / "f", Hashes(tmp_path / "hashes.db")
    file.write_text("1")
    Contents(known).key("n", file)
    assert known.known([FileState.of(file.stat())]) == {}
    assert FileState.of(file.stat()).young
    assert not FileState.of(Path(os.__file__).stat()).young


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("seed", range(cases(20, 500)))
def test_a_damaged_store_of_hashes_costs_time_and_nothing_else(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(30):
        (folder / f"{i}").write_text(str(i))
    store = tmp_path / "hashes.db"
    right = Contents(Hashes(store)).key("n", folder)
    whole = bytearray(store.read_bytes())
    match rng.randrange(3):
        case 0:
            whole = whole[: rng.randrange(len(whole))]
        case 1:
            whole = bytearray(rng.randbytes(rng.randrange(1, 5000)))
        case _:
            for _ in range(rng.choice([1, 20, 400])):
                whole[rng.randrange(len(whole))] = rng.randrange(256)
    store.write_bytes(bytes(whole))
    for _ in range(2):
        assert Contents(Hashes(store)).key("n", folder) == right


@pytest.mark.usefixtures("old")
def test_many_may_use_the_store_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(50):
        (folder / f"{i}").write_text(str(i))
    right, found = Contents().key("n", folder), list[str]()
    work = [
        threading.Thread(target=lambda: found.append(Contents(Hashes(tmp_path / "hashes.db")).key("n", folder)))
        for _ in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert found == [right] * 8
    states = [FileState.of(file.stat()) for file in folder.iterdir()]
    assert len(Hashes(tmp_path / "hashes.db").known(states)) == 50


def test_a_place_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "hashes.db").mkdir()
    file = tmp_path / "f"
    file.write_text("1")
    assert Contents(Hashes(tmp_path / "hashes.db")).key("n", file) == Contents().key("n", file)


@pytest.fixture
def slow_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "CHUNK", 10**6)
    monkeypatch.setattr(contents, "FIRST_SECONDS", 0)
    monkeypatch.setattr(contents, "TELL_SECONDS", 0)


@pytest.mark.usefixtures("slow_reading")
def test_long_reading_is_told_and_can_be_stopped(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "a.number").write_text("1" + "0" * 5 * 10**6)
    nodes = {"n": {"type": "files_at", "params": {"folder": "numbers"}}}
    told: list[events.Event] = []
    engine.run(graph(nodes), targets=["n"], listeners=[told.append])
    at = next(i for i, event in enumerate(told) if isinstance(event, events.Planned))
    logs = [event for event in told[:at] if isinstance(event, events.Log)]
    assert [(log.node, log.message) for log in logs] == [
        ("n", f"reads {folder} (5 MB new or changed) to know whether its result is known")
    ]
    steps = [(event.node, event.done, event.total) for event in told[:at] if isinstance(event, events.Progress)]
    assert steps == [("n", i, 6) for i in (1, 2, 3, 4, 5, 5)]
    stop, told = threading.Event(), []

    def hear(event: events.Event) -> None:
        told.append(event)
        if isinstance(event, events.Progress):
            stop.set()

    result = engine.run(graph(nodes), targets=["n"], listeners=[hear], stop=stop)
    assert (result.status, isinstance(told[-1], events.Ended)) == ("stopped", True)
    assert sum(isinstance(event, events.Progress) for event in told) == 1
    assert not any(isinstance(event, events.Planned) for event in told)


def test_files_that_change_while_a_run_reads_them(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("1")
    nodes = {"n": {"type": "read_and_change", "params": {"path": "n.txt"}}}
    with pytest.raises(NodeError, match=r"^n: .*n\.txt changed while it was read; run again once it is at rest"):
        engine.run(graph(nodes), targets=["n"])
    nodes = {
        "n": {"type": "read_number", "params": {"path": "n.txt"}},
        "late": {"type": "change_file", "wires": {"x": "n"}, "params": {"path": str(tmp_path / "n.txt")}},
        "k": {"type": "kept", "wires": {"x": "late"}},
    }
    for _ in range(2):
        told: list[events.Event] = []
        CALLS.clear()
        engine.run(graph(nodes), targets=["k"], listeners=[told.append])
        assert "kept" in CALLS, "what was made of files that changed is not kept"
        assert any(isinstance(e, events.Log) and "n.txt changed while the run used it" in e.message for e in told)


def test_what_goes_on_reading_reads_where_it_is_told(engine: Engine, tmp_path: Path) -> None:
    """Equal folders have one key; a data set opened in one of them is not handed out for the other."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("1")
    nodes = {"o": {"type": "open_folder", "params": {"path": "a"}}, "n": {"type": "look_into", "wires": {"data": "o"}}}

    def value(path: str, scale: float) -> float:
        nodes["o"]["params"], nodes["n"]["params"] = {"path": path}, {"scale": scale}
        return float(engine.run(graph(nodes), targets=["n"]).values["n"])

    assert value("a", 1) == value("b", 1) == 1
    (tmp_path / "a" / "x").write_text("5")
    assert value("b", 2) == 2
    (tmp_path / "a" / "x").unlink()
    assert value("b", 3) == 3


def test_a_link_that_leads_nowhere_is_told(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "gone").symlink_to("nothing")
    told: list[events.Event] = []
    nodes = {"n": {"type": "files_at", "params": {"folder": "numbers"}}}
    engine.run(graph(nodes), targets=["n"], listeners=[told.append])
    assert [e.message for e in told if isinstance(e, events.Log)] == [f"n: links in {folder} lead nowhere: gone"]


@pytest.mark.usefixtures("old")
def test_what_is_kept_lies_in_the_workspace(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("1")
    engine.run(graph({"n": {"type": "read_number", "params": {"path": "n.txt"}}}), targets=["n"])
    assert len(Hashes(tmp_path / HASHES).known([FileState.of((tmp_path / "n.txt").stat())])) == 1
