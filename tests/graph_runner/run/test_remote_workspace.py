"""Runs of several machines in one workspace at an address."""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from graph_runner.__main__ import main
from graph_runner.base import events, remote
from graph_runner.base.home import HomeError
from graph_runner.contract.registry import Registry
from graph_runner.run import surroundings
from graph_runner.run.continuing import from_checkpoints
from graph_runner.run.engine import Engine
from graph_runner.run.history import history
from graph_runner.store import space
from graph_runner.store.folders import load_tree, save_tree
from tests.graph_runner import slow_toys, toys
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.run.test_elsewhere import Near, sweep
from tests.remote import Machines, objects


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, "tests.graph_runner.slow_toys"])


@pytest.fixture
def machines(tmp_path, monkeypatch) -> Machines:
    return Machines(f"memory://{uuid.uuid4().hex}/work", tmp_path, monkeypatch)


@pytest.fixture
def engine(machines, registry):
    def made(machine: str) -> Engine:
        machines.workspace(machine)
        return Engine(registry, machines.address)

    slow_toys.TURNS.clear()
    return made


KEPT = {
    "a": {"type": "number", "params": {"value": 3}},
    "k": {"type": "kept", "wires": {"x": "a"}},
    "show": {"type": "show_number", "wires": {"x": "k"}},
}


def trained(n: int) -> dict:
    body = {"nodes": {"y": {"type": "scale", "wires": {"x": "g.x"}}}, "results": {"number": "y"}}
    return {
        "a": {"type": "number", "params": {"value": 2}},
        "g": {"type": "gather", "params": {"n": n}, "wires": {"x": "a"}, "body": body},
        "show": {"type": "show_number", "wires": {"x": "g"}},
    }


def said(result) -> str:
    return "\n".join(event.message for event in result.events if isinstance(event, events.Log))


def test_what_one_machine_computed_another_takes_from_the_cache(engine):
    engine("a").run(graph(KEPT))
    toys.CALLS.clear()
    result = engine("b").run(graph(KEPT), targets=["k"])
    assert toys.CALLS == []
    assert float(result.values["k"]) == 3


def test_a_training_goes_on_where_another_machine_left_it(engine):
    engine("a").run(graph(trained(3)))
    b = engine("b")
    result = b.run(graph(trained(5)), targets=["g"])
    assert slow_toys.TURNS == [0, 1, 2, 3, 4]
    assert "goes on from step 3" in said(result)
    assert float(result.values["g"]) == 2 * (0 + 1 + 2 + 3 + 4)


def test_a_damaged_checkpoint_is_passed_over_on_every_machine(engine):
    a = engine("a")
    a.run(graph(trained(3)))
    [lineage] = {name.split("/")[1] for name in objects(a.home) if name.startswith("checkpoints/") and "step-3" in name}
    for name in objects(a.home):
        if f"checkpoints/{lineage}/step-3/" in name and name.endswith("tree.json"):
            a.home.bucket.fs.pipe_file(
                f"{a.home.bucket.root}/{name}",
                b"{" + b" " * (a.home.bucket.fs.size(f"{a.home.bucket.root}/{name}") - 1),
            )
    result = engine("b").run(graph(trained(5)))
    assert "passes over its checkpoint of step 3" in said(result)
    assert slow_toys.TURNS == [0, 1, 2, 0, 1, 2, 3, 4]


def test_an_earlier_run_of_another_machine_can_be_gone_on_from(engine, registry):
    engine("a").run(graph(trained(3)))
    b = engine("b")
    nodes = trained(5)
    nodes["a"]["params"]["value"] = 4
    b.run(from_checkpoints(graph(nodes), registry, b.workspace, "last"))
    assert slow_toys.TURNS == [0, 1, 2, 3, 4]


def test_a_run_is_at_home_with_all_that_it_wrote(engine, machines):
    a = engine("a")
    run = a.run(graph(KEPT)).folder.name
    there = {name.removeprefix(f"runs/{run}/") for name in objects(a.home) if name.startswith(f"runs/{run}/")}
    assert there >= {"workflow.json", "environment.json", "events.jsonl", "outputs/number.txt"}
    b = machines.home("b")
    b.bring_below(b.workspace / "runs", ["*.json", "events.jsonl"])
    [found] = history(b.workspace)
    assert (found.folder.name, found.status) == (run, "done")


def test_two_machines_take_no_name_of_a_run_twice(engine, monkeypatch):
    a, b = engine("a"), engine("b")
    moment = datetime(2026, 1, 1, 12)
    monkeypatch.setattr(surroundings, "datetime", type("Frozen", (), {"now": staticmethod(lambda: moment)}))
    assert a.run(graph(KEPT)).folder.name != b.run(graph(KEPT)).folder.name


def test_files_that_a_cached_zone_showed_come_from_where_they_lie(engine):
    nodes = trained(3)
    nodes["g"]["body"]["nodes"]["look"] = {"type": "show_number", "wires": {"x": "y"}}
    engine("a").run(graph(nodes))
    b = engine("b")
    result = b.run(graph(nodes))
    shown = [event.path for event in result.shown if event.node == "look"]
    assert len(shown) == 3
    assert all((b.workspace / path).exists() for path in shown)
    assert slow_toys.TURNS == [0, 1, 2]


def test_a_file_at_home_can_be_read_by_a_node(engine, monkeypatch):
    a = engine("a")
    now = time.time()
    monkeypatch.setattr(remote, "written", lambda info: now)  # two objects of one second, as a store tells them
    a.home.bucket.fs.pipe_file(f"{a.home.bucket.root}/uploads/n.txt", b"7")
    nodes = {"r": {"type": "read_number", "params": {"path": "uploads/n.txt"}}}
    assert float(a.run(graph(nodes), targets=["r"]).values["r"]) == 7
    a.home.bucket.fs.pipe_file(f"{a.home.bucket.root}/uploads/n.txt", b"8")
    assert float(a.run(graph(nodes), targets=["r"]).values["r"]) == 8


def test_where_the_store_refuses_the_run_goes_on_here(engine, monkeypatch):
    a = engine("a")

    def refused(*_):
        raise HomeError("memory://x: refused; see that it can be reached from here")

    monkeypatch.setattr(a.home, "_keep_folder", refused)
    result = a.run(graph(trained(3)), targets=["g"])
    assert float(result.values["g"]) == 2 * 3
    assert "has its checkpoint of step 3 on this machine alone" in said(result)
    assert "is not kept on disk" in said(result)
    [step] = (a.workspace / "checkpoints").glob("*/step-3")
    assert load_tree(step)


def test_a_run_keeps_its_record_as_it_ended(engine):
    a = engine("a")
    result = a.run(
        graph(
            {
                "a": {"type": "number"},
                "f": {"type": "fail", "wires": {"x": "a"}},
                "show": {"type": "show_number", "wires": {"x": "f"}},
            }
        ),
        raise_errors=False,
    )
    name = f"{a.home.bucket.root}/runs/{result.folder.name}/events.jsonl"
    last = json.loads(a.home.bucket.fs.cat_file(name).splitlines()[-1])
    assert (last["event"], last["status"]) == ("ended", "failed")


def test_fresh_runs_discard_what_is_at_home(engine):
    engine("a").run(graph(KEPT))
    engine("b").run(graph(KEPT), fresh=True)
    toys.CALLS.clear()
    engine("c").run(graph(KEPT))
    assert toys.CALLS == []


def test_a_plain_folder_asks_nobody(registry, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    engine = Engine(registry, tmp_path)
    engine.run(graph(KEPT))
    assert not (tmp_path / ".home").exists()
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".manifest.json")]
    assert isinstance(engine.workspace, Path)


def test_the_copy_is_kept_small_and_brings_again_what_it_let_go(engine, monkeypatch):
    a = engine("a")
    a.run(graph(trained(3)))
    [lineage] = (a.workspace / "checkpoints").iterdir()
    [entry] = [path for path in (a.workspace / "cache").iterdir() if path.is_dir()]
    monkeypatch.setattr(space, "RECENT_SECONDS", -1.0)
    monkeypatch.setenv(space.COPY_SIZE, "0")
    save_tree(a.workspace / "cache" / "unkept", {})  # home does not have it
    space.keep_copy_small(a.workspace)
    assert not lineage.exists()
    assert not entry.exists()
    assert (a.workspace / "cache" / "unkept").exists()
    engine("a").run(graph(trained(5)))
    assert slow_toys.TURNS == [0, 1, 2, 3, 4]
    monkeypatch.setenv(space.COPY_SIZE, "much")
    with pytest.raises(ValueError, match=f"{space.COPY_SIZE}: 'much' is no size; write"):
        engine("a")


def test_cleaning_makes_room_at_home(engine, monkeypatch, capsys):
    a = engine("a")
    a.run(graph(trained(3)))
    a.home.bucket.fs.pipe_file(
        f"{a.home.bucket.root}/cache/half/generation-0123456789ab/tensors", b"of a killed writer"
    )
    assert main(["clean", "--workspace", a.home.address, "--keep", "0"]) == 0
    assert "used in the last hour" in capsys.readouterr().out
    monkeypatch.setattr(space, "RECENT_SECONDS", -10.0)
    monkeypatch.setattr(space, "ABANDONED_SECONDS", -10.0)
    assert main(["clean", "--workspace", a.home.address, "--keep", "0"]) == 0
    told = capsys.readouterr().out
    assert "Forgot 2 entries" in told
    assert "runs" in told
    assert {name.partition("/")[0] for name in objects(a.home)} == {"latent-loom.json", "runs"}


def test_runs_of_other_machines_are_listed(engine, machines, capsys):
    engine("a").run(graph(KEPT))
    machines.workspace("b")
    assert main(["runs", "--workspace", machines.address]) == 0
    assert "done" in capsys.readouterr().out


class Far(Near):
    """Does items as another machine would, with a copy of its own."""

    def __init__(self, machines: Machines) -> None:
        super().__init__()
        self.machines = machines

    def __call__(self, job, hear, stop, at_once):
        self.machines.workspace("far")
        yield from super().__call__(job, hear, stop, at_once)


def test_items_of_a_sweep_come_from_machines_with_copies_of_their_own(engine, machines, registry, tmp_path):
    nodes = {
        "y": {"type": "scale", "wires": {"x": "one", "by": "sweep.item.by"}},
        "k": {"type": "kept", "wires": {"x": "y"}},
        "show": {"type": "show_number", "wires": {"x": "k"}},
    }
    drawn = graph(sweep([1.0, 2.0, 3.0], nodes, {"sums": "k"}))
    serial = Engine(registry, tmp_path / "plain").run(drawn, targets=["sweep"], only=True)
    here = engine("here")
    result = here.run(drawn, targets=["sweep"], only=True, on=Far(machines))
    assert repr(result.values) == repr(serial.values)
    assert machines.workspace("far") != here.workspace
    assert len(result.shown) == 3
    assert all((here.workspace / shown.path).exists() for shown in result.shown)
