"""The command line, run in this process: what it does, what it says, and its exit codes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from graph_runner.__main__ import main
from graph_runner.cli.arguments import program
from tests.graph_runner import slow_toys, toys

PACKAGES = ("tests.graph_runner.toys", "tests.graph_runner.slow_toys", "graph_runner.zones")


class Said(NamedTuple):
    code: int
    out: str
    err: str


Loom = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, no terminal, no installed node packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
    monkeypatch.setattr("sys.argv", ["__main__.py"])
    slow_toys.TURNS.clear()
    return tmp_path


@pytest.fixture
def loom(here: Path, capsys: pytest.CaptureFixture[str]) -> Loom:
    def call(*argv: str, nodes: tuple[str, ...] = PACKAGES) -> Said:
        code = main([*argv, *(word for package in nodes for word in ("--nodes", package))])
        return Said(code, *capsys.readouterr())

    return call


def write(path: Path, nodes: dict[str, Any], **rest: Any) -> str:
    path.write_text(json.dumps({"loom": 1, "title": "Sums", "nodes": nodes, **rest}))
    return path.name


def outputs(here: Path) -> list[float]:
    return [float(path.read_text()) for path in sorted(here.glob("workspace/runs/*/outputs/*.txt"))]


SUM = {
    "one": {"type": "number", "params": {"value": 1}},
    "kept": {"type": "kept", "wires": {"x": "one"}},
    "scaled": {"type": "scale", "params": {"by": 2}, "wires": {"x": "kept"}},
    "save": {"type": "save_number", "wires": {"x": "scaled"}},
}


def gathering(**body: Any) -> dict[str, Any]:
    return {
        "one": {"type": "number", "params": {"value": 2}},
        "gathered": {
            "type": "gather",
            "params": {"n": 6},
            "wires": {"x": "one"},
            "body": {"nodes": {"inner": body}, "results": {"number": "inner"}},
        },
        "save": {"type": "save_number", "wires": {"x": "gathered"}},
    }


@pytest.mark.parametrize("command", [["run"], [], ["--device", "cpu"]], ids=["run", "plain", "options first"])
def test_a_run_saves_and_says_where(command: list[str], loom: Loom, here: Path) -> None:
    said = loom(*command, write(here / "sums.json", SUM))
    assert said.code == 0
    assert outputs(here) == [2.0]
    (saved,) = here.glob("workspace/runs/*/outputs/*.txt")
    assert str(saved.relative_to(here)) in said.out, "the path as one would type it here"
    assert "4 nodes computed" in said.out
    assert "Sums" in said.err


def test_a_second_run_tells_what_the_cache_gave(loom: Loom, here: Path) -> None:
    file = write(here / "sums.json", SUM)
    loom(file)
    said = loom(file, "--set", "scaled.by=5")
    assert outputs(here) == [2.0, 5.0]
    assert toys.CALLS == ["kept"], "what the disk kept is not computed again"
    assert "from the cache: kept" in said.err
    assert "2 nodes computed, 1 from the cache" in said.out
    loom(file, "--fresh")
    assert toys.CALLS == ["kept", "kept"]


def test_the_summary_names_what_can_be_set(loom: Loom, here: Path) -> None:
    file = write(here / "sums.json", SUM, exposed={"params": {"factor": "scaled.by", "label": "kept.label"}})
    assert "factor=2  label=kept" in loom(file).out
    assert "factor=3  label=kept" in loom(file, "--set", "factor=3").out


def test_a_seed_for_the_whole_run(loom: Loom, here: Path) -> None:
    file = write(
        here / "draw.json",
        {"draw": {"type": "random_number"}, "save": {"type": "save_number", "wires": {"x": "draw"}}},
    )
    for seed in ("0", "0", "1"):
        loom(file, "--seed", seed)
    first, second, other = outputs(here)
    assert first == second != other


def test_seeds_of_64_bits_are_taken_to_the_last_digit(loom: Loom, here: Path) -> None:
    nodes = {"draw": {"type": "random_number"}, "save": {"type": "save_number", "wires": {"x": "draw"}}}
    file = write(here / "draw.json", nodes)
    largest = 2**64 - 1
    for seed in (largest, largest - 1):
        assert loom(file, "--seed", str(seed)).code == 0
        assert loom(file, "--set", f"draw.seed={seed}").code == 0
    assert len(set(outputs(here))) == 4
    recorded = [json.loads(path.read_text())["seed"] for path in here.glob("workspace/runs/*/environment.json")]
    assert sorted(recorded) == [0, 0, largest - 1, largest]
    for wrong in ("-1", str(2**64), "1.5", "9" * 5000):
        with pytest.raises(SystemExit):
            loom(file, f"--seed={wrong}")
        said = loom(file, "--set", f"draw.seed={wrong}")
        assert (said.code, said.out) == (2, "")
        assert "draw.seed" in said.err


def test_a_number_without_end_is_refused_in_a_sentence(loom: Loom, here: Path) -> None:
    text = json.dumps({"loom": 1, "nodes": {"draw": {"type": "random_number", "params": {"seed": 1}}}})
    (here / "long.json").write_text(text.replace('"seed": 1', '"seed": ' + "1" * 5000))
    for command in ("run", "check"):
        said = loom(command, "long.json")
        assert said.code == 2
        assert "holds the whole number 1111" in said.err


def test_only_the_targets_are_computed_and_their_values_printed(loom: Loom, here: Path) -> None:
    file = write(
        here / "sums.json",
        {
            **SUM,
            "recorded": {"type": "record", "wires": {"x": "scaled"}},
            "parts": {"type": "halves", "wires": {"x": "scaled"}},
            "model": {"type": "scalar_model"},
        },
        exposed={"outputs": {"result": "scaled"}},
    )
    said = loom(file, "--to", "result", "--to", "parts", "--to", "model")
    assert said.code == 0
    for line in ("result = 2", "parts.low = 1", "parts.high = 1", "model = Scalar, 1 parameter"):
        assert f"  {line}\n" in said.out
    assert toys.RECORDED == {}
    assert outputs(here) == []
    assert loom(file, "--to", "recorded").code == 0
    assert toys.RECORDED == {"x": [2.0]}, "a node that gives nothing can be a target too"
    said = loom(file, "--to", "scalled")
    assert said.code == 2
    assert "Did you mean 'scaled'" in said.err


def test_every_problem_of_a_workflow_is_told_before_anything_runs(loom: Loom, here: Path) -> None:
    file = write(
        here / "bad.json",
        {
            "one": {"type": "number", "params": {"value": 1000}},
            "two": {"type": "nummber"},
            "save": {"type": "save_number", "wires": {"x": "onne"}},
        },
    )
    for command in ("run", "check"):
        said = loom(command, file)
        assert said.code == 2
        assert "one.value" in said.err
        assert "Did you mean 'number'" in said.err
        assert "Did you mean 'one'?" in said.err
    assert not (here / "workspace" / "runs").exists()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["absent.json"], "absent.json"),
        (["sums.json", "--device", "abacus"], "'abacus'"),
        (["sums.json", "--nodes", "no_such_package"], "no_such_package"),
    ],
)
def test_wrong_arguments_are_named(argv: list[str], told: str, loom: Loom, here: Path) -> None:
    write(here / "sums.json", SUM)
    said = loom(*argv)
    assert said.code == 2
    assert told in said.err


@pytest.mark.parametrize("argv", [[], ["run", "--colour", "x.json"], ["run", "x.json", "--dtype", "int3"]])
def test_usage_errors_exit_with_2(argv: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_failure_is_one_sentence_that_names_the_node(loom: Loom, here: Path) -> None:
    file = write(here / "fails.json", gathering(type="fail", wires={"x": "gathered.x"}))
    said = loom(file)
    assert said.code == 1
    sentence = next(line for line in said.err.splitlines() if "broke" in line)
    assert sentence == "inner: the toy broke"
    assert "Traceback (most" not in said.err
    record = re.search(r"\S+events.jsonl", said.err)[0]
    assert "Traceback (most" in (here / record).read_text(), "it says where the traceback is"
    said = loom(file, "--traceback")
    assert "Traceback (most" in said.err
    assert "in fail\n" in said.err, "from the node's own code"


def test_values_can_be_looked_at_from_the_start(loom: Loom, here: Path) -> None:
    nodes = {
        "a": {"type": "number", "params": {"value": 7}},
        "large": {"type": "scale", "wires": {"x": "a"}, "params": {"by": 1e30}},
        "over": {"type": "scale", "wires": {"x": "large"}, "params": {"by": 1e30}},
        "shown": {"type": "show_number", "wires": {"x": "over"}},
    }
    file = write(here / "over.json", nodes)
    assert loom(file).code == 0, "nobody refused it"
    said = loom(file, "--check-numbers", "--fresh")
    assert said.code == 1
    assert "over: 1 of 1 values are infinite in what it gives; all that it was given are numbers" in said.err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_goes_on_where_it_stood(name: str, loom: Loom, here: Path) -> None:
    file = write(
        here / "stops.json",
        gathering(type="press_ctrl_c", wires={"x": "gathered.x"}, params={"turn": 3, "name": name}),
    )
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    said = loom(file)
    assert said.code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert "gathered at step 3 of 6" in said.out
    assert f"python -m graph_runner {file}" in said.out, "the command that goes on"
    assert "Ctrl-C again" in said.err
    assert outputs(here) == []
    said = loom(file)
    assert said.code == 0
    assert "goes on from step 3" in said.err
    assert slow_toys.TURNS == [0, 1, 2, 3, 4, 5], "no turn is done twice"
    assert outputs(here) == [2.0 * 15]


def test_check_counts_nodes_and_finds_missing_files(loom: Loom, here: Path) -> None:
    said = loom("check", write(here / "sums.json", gathering(type="square", wires={"x": "gathered.x"})))
    assert said.out.startswith("sums.json: 4 nodes, ready to run\n")
    assert "floating-point operations in all" in said.out
    assert (said.code, said.err) == (0, "")
    assert loom("check", "sums.json", "--graph-only") == (0, "sums.json: 4 nodes, ready to run\n", "")
    said = loom("check", write(here / "fails.json", gathering(type="fail", wires={"x": "gathered.x"})))
    assert (said.code, "the toy broke" in said.err) == (2, True)
    file = write(here / "reads.json", {"l": {"type": "length", "params": {"path": "absent.txt"}}})
    said = loom("check", file)
    assert said.code == 2
    assert "absent.txt" in said.err
    (here / "there.txt").write_text("abc")
    assert loom("check", file, "--set", "l.path=there.txt").code == 0


def test_nodes_lists_and_explains(loom: Loom, here: Path) -> None:
    said = loom("nodes")
    assert said.out.splitlines()[0] == "slow", "categories in order"
    assert "The sum of two numbers." in said.out
    said = loom("nodes", "number")
    assert "-100 … 100" in said.out
    said = loom("nodes", "nummber")
    assert (said.code, "Did you mean 'number'" in said.err) == (2, True)


def test_the_reference_is_written_and_checked(loom: Loom, here: Path) -> None:
    argv = ("nodes", "--markdown", "nodes.md")
    assert loom(*argv, "--check").code == 1, "it is not there yet"
    assert loom(*argv).code == 0
    assert loom(*argv, "--check").code == 0
    (here / "nodes.md").write_text((here / "nodes.md").read_text().replace("-100 … 100", "anything"))
    said = loom(*argv, "--check")
    assert said.code == 1
    assert "out of date" in said.err


def test_runs_lists_the_newest_first(loom: Loom, here: Path) -> None:
    assert "Nothing was run" in loom("runs", nodes=()).out
    loom(write(here / "sums.json", SUM))
    loom(write(here / "fails.json", gathering(type="fail", wires={"x": "gathered.x"}), title="Broken"))
    (killed := here / "workspace/runs/20990101-101010-killed").mkdir()
    (killed / "events.jsonl").write_text('{"time": 4070908800, "event": "planned", "run": "killed"}\n{"time": 40709')
    lines = loom("runs", nodes=()).out.splitlines()
    heads = [line.split() for line in lines if not line.startswith("  ")]
    assert [head[2] for head in heads] == ["unfinished", "failed", "done"]
    assert heads[2][-1] == "Sums"
    assert "  inner: the toy broke" in lines
    assert any(line.startswith("  workspace/runs/") and line.endswith("  1 file") for line in lines)
    assert len(loom("runs", "--most", "1", nodes=()).out.splitlines()) == 3


def test_locks_are_checked_and_recorded(loom: Loom, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package := here / "locked_toys").mkdir()
    (package / "__init__.py").write_text(
        "from graph_runner.contract import node\n\n@node(category='toy')\ndef locked() -> int:\n    'One.'\n    return 1\n"
    )
    monkeypatch.syspath_prepend(here)
    nodes = ("locked_toys",)
    assert loom("lock", "check", nodes=nodes).out == "0 nodes locked, all as recorded; 1 without a lock\n"
    assert loom("lock", "update", nodes=nodes).code == 0
    assert loom("lock", "check", nodes=nodes).out == "1 node locked, all as recorded; 0 without a lock\n"
    lock = package / "lock.json"
    lock.write_text(lock.read_text().replace('"source": "', '"source": "other'))
    from graph_runner.compile.lock import _read_lock

    _read_lock.cache_clear()
    said = loom("lock", "check", nodes=nodes)
    assert said.code == 1
    assert "locked: its source changed" in said.err
    assert loom("lock", "update", nodes=nodes).code == 1, "somebody has to say that the result is the same"
    assert loom("lock", "update", "--same-result", nodes=nodes).code == 0
    assert loom("lock", "check", nodes=nodes).code == 0


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/there/graph_runner/__main__.py", "python -m graph_runner"),
        ("./loom", "./loom"),
        ("/somewhere/bin/sh", "sh"),
        ("/somewhere/bin/latent-loom-of-nowhere", "/somewhere/bin/latent-loom-of-nowhere"),
    ],
)
def test_the_command_that_is_told_can_be_typed(typed: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the path by its name, else as it was called."""
    monkeypatch.setattr("sys.argv", [typed])
    assert program() == told
