"""What is asked for one run: its options, its place in the queue, what it does otherwise than the one before."""

from __future__ import annotations

import json

from graph_runner.cli import engine_options
from tests.ui.conftest import RunningServer, looping
from ui.changes import MOST, Asked, changed
from ui.options import described

NODES = {"a": {"type": "number", "params": {"value": 1}}, "keep": {"type": "show_number", "wires": {"x": "a"}}}


def environment(server: RunningServer, run: int) -> dict[str, object]:
    told = server.call("run", run=run)["environment"]
    return {**told, **told.get("settings", {})}


def test_every_option_of_the_command_line_is_told_with_its_words_and_what_the_server_was_started_with() -> None:
    told = {option.name: option for option in described({"dtype": "bfloat16", "device": "cpu"})}
    assert set(told) == {*engine_options.OPTIONS, *engine_options.OF_A_RUN}
    assert (told["dtype"].default, told["device"].default, told["attention"].default) == ("bfloat16", "cpu", "auto")
    for name, known in {**engine_options.OPTIONS, **engine_options.OF_A_RUN}.items():
        assert told[name].help == known["help"]
        assert [*known.get("choices", ())] in ([], told[name].choices)


def test_a_run_computes_as_it_was_asked_and_the_next_as_the_server_was_started(server: RunningServer) -> None:
    runs = [
        server.submit(looping(1, 0.0), targets=["loop"], fresh=True, options=options)
        for options in ({"dtype": "bfloat16", "threads": 1, "device": "cpu"}, {})
    ]
    for run in runs:
        assert server.over(run)["status"] == "done"
    half, whole = (environment(server, run) for run in runs)
    assert (half["dtype"], half["threads_chosen"]) == ("bfloat16", "as asked for")
    assert (whole["dtype"], whole["threads_chosen"] == "as asked for") == ("float32", False)
    assert server.call("run", run=runs[0])["options"] == {"dtype": "bfloat16", "threads": 1, "device": "cpu"}


def test_options_that_cannot_be_are_refused_with_what_can(server: RunningServer) -> None:
    for options, told in (
        ({"dtype": "float15"}, "it can be float32, bfloat16, float16"),
        ({"devise": "cpu"}, "there is no option 'devise'"),
        ({"vram": "much"}, "write 20GB"),
        ({"threads": 0}, "no whole number above 0"),
        ({"channels_last": "yes"}, "it can be true or false"),
        ({"device": "cuda:99"}, "CUDA"),
        ({"attention": "none"}, "none"),
        ({"shard": True}, "say how many with devices"),
        ({"devices": "0,0"}, "names a device twice"),
    ):
        status, said = server.refused("submit", workflow={"loom": 1, "nodes": NODES}, options=options)
        assert (status, told in said) == (400, True), said


def test_the_queue_is_put_in_another_order_and_cleared(server: RunningServer) -> None:
    first = server.submit(looping(10_000, 0.01), targets=["loop"], fresh=True)
    server.until(first, lambda summary: summary["status"] == "running")
    waiting = [server.submit(looping(n, 0.0), targets=["loop"]) for n in (1, 2, 3)]
    moved = server.call("reorder", run=waiting[2], position=1)
    assert [run["run"] for run in moved] == [waiting[2], waiting[0], waiting[1]]
    assert [run["position"] for run in server.call("queue")["queued"]] == [1, 2, 3]
    assert [run["run"] for run in server.call("reorder", run=first, position=9)] == [run["run"] for run in moved]
    cleared = server.call("clear")
    assert {run["status"] for run in cleared} == {"stopped"}
    assert len(cleared) == 3
    assert server.call("queue")["queued"] == []
    server.call("cancel", run=first, force=True)
    server.over(first)


def test_memory_is_told_of_the_machine_and_of_a_worker_that_is_at_work(server: RunningServer) -> None:
    run = server.submit(looping(10_000, 0.01), targets=["loop"], fresh=True)
    server.until(run, lambda summary: summary["status"] == "running")
    told = server.call("memory")
    [worker] = told["workers"]
    assert 0 < worker["resident"] < told["total"]
    assert 0 < told["free"] <= told["total"]
    server.call("cancel", run=run, force=True)
    server.over(run)


def test_what_a_run_does_otherwise_is_told_by_name(server: RunningServer) -> None:
    server.over(int(server.call("submit", workflow={"loom": 1, "title": "compared", "nodes": NODES})["run"]))
    other = json.loads(json.dumps({"loom": 1, "title": "compared", "nodes": NODES}))
    other["nodes"]["a"]["params"]["value"] = 3
    run = server.call("submit", workflow=other, seed=4, options={"dtype": "bfloat16"})
    assert run["changes"] == ["a.value 1 → 3", "seed 0 → 4", "dtype default → bfloat16"]


def test_changes_are_found_inside_of_zones_and_definitions_and_are_few_and_short() -> None:
    old = {
        "nodes": {
            "z": {"type": "zone", "body": {"nodes": {"n": {"type": "t", "params": {"text": "a"}}}}},
            "gone": {"type": "t"},
        },
        "definitions": {"d": {"nodes": {"inner": {"type": "t", "params": {"scale": 2}}}}},
    }
    new = {
        "nodes": {
            "z": {"type": "zone", "body": {"nodes": {"n": {"type": "t", "params": {"text": "b" * 99}}}}},
            "come": {"type": "t"},
        },
        "definitions": {"d": {"nodes": {"inner": {"type": "t", "params": {"scale": 3}}}}},
    }
    told = changed(Asked(old, 0, {}), Asked(new, 0, {}))
    assert told[1:] == ["inner.scale 2 → 3", "with come", "without gone"]
    assert told[0].startswith("n.text a → bbb")
    assert len(told[0]) < 60
    many = {"nodes": {f"n{i}": {"type": "t"} for i in range(20)}}
    assert changed(Asked({}, 0, {}), Asked(many, 0, {}))[MOST:] == ["12 more"]
