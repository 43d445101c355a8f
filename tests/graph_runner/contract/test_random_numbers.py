"""Random numbers: keyed by seeds and turns, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base.problems import WorkflowError
from graph_runner.context import Processes, Rng
from graph_runner.contract import LARGEST_SEED, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import read, write
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import ONE, noted, record, repeat, scale, sweep
from tests.graph_runner.toys import RECORDED, Model, Number

Run = Callable[..., Result]


@node(category="toy")
def global_draw(rng: Rng) -> Number:
    """A draw from torch's global generator."""
    return torch.randn(())


@node(category="toy")
def own_seed(rng: Rng, seed: int = 0) -> Number:
    """A node that reads its seed itself."""
    return torch.tensor(float(seed))


ROWS: list[float] = []
"""What `random_row` nodes drew."""


@node(category="toy")
def random_row(rng: Rng, rows: int = 1) -> Number:
    """Normal draws for a batch of rows; the last one is handed on."""
    drawn = rng.randn(rows)
    ROWS.extend(drawn.tolist())
    return drawn[-1]


APART: list[float] = []
"""What `note_apart` nodes saw."""


@node(category="toy")
def note_apart(x: Number) -> Number:
    """Remember a number, on every process."""
    APART.append(float(x.detach()))
    return x


@node(category="toy", effect=True)
def all_rows(after: Model) -> None:
    """What waits for a training."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan([*TOYS, __name__])


def draws(run: Run, nodes: dict[str, Any], *labels: str, **options: Any) -> list[list[float]]:
    RECORDED.clear()
    run(nodes, fresh=True, **options)
    return [RECORDED[label] for label in labels]


def test_draws_depend_on_seeds_and_turns_and_not_on_names_order_or_company(run: Run) -> None:
    def nodes(name: str, **more: Any) -> dict[str, Any]:
        inner = {**more, name: {"type": "random_number", "params": {"seed": 3}}, "r": record(name)}
        return {"one": ONE, "loop": repeat(3, {**inner, "next": noted("loop.state.x", "n")}, "next")}

    [first] = draws(run, nodes("a"), "x")
    assert len(set(first)) == 3
    other = {"zzz": {"type": "random_number", "params": {"seed": 9}}, "r2": record("zzz", "y")}
    assert draws(run, nodes("renamed", **other), "x") == [first]
    assert draws(run, nodes("a"), "x", seed=1) != [first]


def test_draws_in_two_levels_of_loops_are_all_different_and_the_same_again(run: Run) -> None:
    inmost = {
        "deep": {"type": "random_number", "params": {"seed": 1}},
        "sum": {"type": "add", "wires": {"a": "inner.state.x", "b": "deep"}},
        "r": record("deep", "deep"),
    }
    inner = repeat(3, inmost, "sum", x="outer.state.x")
    shallow = {"shallow": {"type": "random_number", "params": {"seed": 1}}, "r2": record("shallow", "shallow")}
    nodes = {"one": ONE, "outer": repeat(2, {"inner": inner, **shallow}, "inner.x")}
    deep, shallow_draws = draws(run, nodes, "deep", "shallow")
    assert len(set(deep)) == 6
    assert len(set(shallow_draws)) == 2
    assert draws(run, nodes, "deep", "shallow") == [deep, shallow_draws]
    more = {"one": ONE, "outer": repeat(3, {"inner": inner, **shallow}, "inner.x")}
    assert draws(run, more, "deep")[0][:6] == deep, "more turns change no earlier one"


def test_micro_batches_draw_anew_within_a_turn(run: Run) -> None:
    inner = {
        "chance": {"type": "random_number"},
        "w": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
        "loss": {"type": "add", "wires": {"a": "w", "b": "chance"}},
        "r": record("chance"),
    }
    nodes = {
        "model": {"type": "scalar_model"},
        "fit": {
            "type": "learn",
            "wires": {"models": {"m": "model"}},
            "params": {"n": 2, "accumulate": 3},
            "body": {"nodes": inner, "results": {"number": "loss"}},
        },
        "w2": {"type": "weight_of", "wires": {"model": "fit.m"}},
        "r2": record("w2", "weight"),
    }
    [first] = draws(run, nodes, "x")
    assert len(first) == len(set(first)) == 6
    assert RECORDED["weight"] == pytest.approx([1 - 2 * 0.1 * 3])


def test_torchs_global_generators_are_seeded_around_a_call(run: Run) -> None:
    nodes = {
        "a": {"type": "global_draw", "params": {"seed": 1}},
        "b": {"type": "global_draw", "params": {"seed": 2}},
        "r": record("a", "a"),
        "s": record("b", "b"),
    }
    torch.manual_seed(1)
    first = draws(run, nodes, "a", "b")
    torch.manual_seed(2)
    assert draws(run, nodes, "a", "b") == first
    assert first[0] != first[1]


def test_dropout_draws_anew_each_turn_of_training_and_the_same_again(run: Run) -> None:
    inner = {
        "y": {"type": "applied_with_dropout", "wires": {"model": "fit.models.m", "x": "one"}},
        "r": record("y"),
        "m": {"type": "measure", "wires": {"x": "y"}},
    }
    body = {"nodes": inner, "results": {"number": "y"}}
    nodes = {
        "one": ONE,
        "model": {"type": "scalar_model", "params": {"weight": 100}},
        "fit": {"type": "learn", "wires": {"models": {"m": "model"}}, "params": {"n": 6}, "body": body},
        "still": {"type": "applied_with_dropout", "wires": {"model": "model", "x": "one"}},
        "s": record("still", "still"),
    }
    [first, still] = draws(run, nodes, "x", "still")
    assert len({round(y / 25) for y in first}) > 1, "eighths of the weight are dropped at random"
    assert draws(run, nodes, "x") == [first]
    assert still == [100], "outside of training nothing is dropped"


def test_a_seed_may_be_wired_or_read_by_the_node_itself(run: Run) -> None:
    inner = {
        "chance": {"type": "random_number", "wires": {"seed": "z.item.seed"}},
        "read": {"type": "own_seed", "wires": {"seed": "z.item.seed"}},
    }
    values = run({"z": sweep(inner, {"draws": "chance", "seeds": "read"}, {"seed": [4, 4, 5]})}, "z").values
    assert [float(x) for x in values["z.seeds"]] == [4, 4, 5]
    assert len({float(x) for x in values["z.draws"]}) == 3, "the turn counts as well"


class One(Processes):
    """One of two processes, without the other."""

    def __init__(self, rank: int, folder: Path) -> None:
        super().__init__(rank, world=2)
        self.folder = folder

    def agree(self, value: Any) -> Any:
        return self.folder if value is None else value

    def any(self, flag: bool) -> bool:
        return flag


def test_of_several_processes_only_the_first_saves_and_shows(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "one": ONE,
        "r": record("one"),
        "loop": repeat(2, {"next": scale("loop.state.x", 2), "inside": record("next", "inside")}, "next"),
    }
    second = Engine(registry, tmp_path, processes=One(1, tmp_path / "runs" / "r"))
    values = second.run(graph(nodes), targets=["loop.x"]).values
    assert float(values["loop.x"]) == 4
    assert RECORDED == {}


def test_many_processes_see_the_noise_that_one_would() -> None:
    whole = Rng(5).randn(6, 2)
    parts = [Rng(5, part=rank).randn(2, 2) for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(Rng(5).randint(10, 4), torch.cat([Rng(5, part=rank).randint(10, 2) for rank in range(2)]))


@pytest.mark.parametrize("kind", ["randn", "rand", "randint", "bits", "randn_like"])
def test_a_row_alone_is_that_row_of_any_batch(kind: str) -> None:
    def drawn(rng: Rng, rows: int) -> list[torch.Tensor]:
        shape = (rows, 3, 5)
        draw = {"randint": lambda: rng.randint(50, *shape), "randn_like": lambda: rng.randn_like(torch.zeros(shape))}
        return [draw.get(kind, lambda: getattr(rng, kind)(*shape))() for _ in range(2)]

    first, second = drawn(Rng(9), 7)
    assert not torch.equal(first, second), "asked again, it draws anew"
    for n in range(7):
        one, other = drawn(Rng(9).from_row(n), 1)
        assert torch.equal(one[0], first[n])
        assert torch.equal(other[0], second[n])
    a, b = (drawn(Rng(9, part=part).from_row(1), 3)[0] for part in range(2))
    assert torch.equal(torch.cat([a, b]), first[1:])


def test_numbers_have_the_type_that_is_asked_for_and_any_shape() -> None:
    rng = Rng(3)
    assert rng.randn().shape == rng.rand().shape == rng.randint(4).shape == ()
    assert rng.randn(0, 4).shape == (0, 4)
    assert rng.randn(2, 0).shape == (2, 0)
    assert rng.randn_like(torch.zeros(2, 3, dtype=torch.float16)).dtype == torch.float16
    assert rng.randn(2).dtype == rng.rand(2).dtype == torch.float32
    with pytest.raises(ValueError, match="at least 1"):
        rng.randint(0, 3)


def test_micro_batches_draw_what_one_batch_of_all_their_rows_would(run: Run) -> None:
    def nodes(rows: int, accumulate: int) -> dict[str, Any]:
        inner = {
            "chance": {"type": "random_row", "params": {"rows": rows}},
            "again": {"type": "random_row", "params": {"rows": rows, "seed": 1}},
            "weight": {"type": "weight_of", "wires": {"model": "fit.models.m"}},
            "loss": {"type": "total", "wires": {"numbers": ["chance", "again", "weight"]}},
        }
        body = {"nodes": inner, "results": {"number": "loss"}}
        params = {"n": 2, "accumulate": accumulate}
        fit = {"type": "learn", "wires": {"models": {"m": "model"}}, "params": params, "body": body}
        return {"model": {"type": "scalar_model"}, "fit": fit, "r": {"type": "all_rows", "wires": {"after": "fit.m"}}}

    found = []
    for rows, accumulate in ((6, 1), (3, 2), (1, 6)):
        ROWS.clear()
        run(nodes(rows, accumulate), fresh=True)
        found.append(sorted(ROWS))
    assert len(set(found[0])) == 2 * 2 * 6
    assert found[0] == found[1] == found[2]


def test_seeds_of_64_bits_count_to_the_last_digit_and_no_others_are_taken(run: Run) -> None:
    nodes = {"d": {"type": "random_number", "params": {"seed": LARGEST_SEED}}}
    drawn = {
        (seed, own): float(run({"d": {"type": "random_number", "params": {"seed": own}}}, "d", seed=seed).values["d"])
        for seed in (0, LARGEST_SEED, LARGEST_SEED - 1)
        for own in (0, LARGEST_SEED, LARGEST_SEED - 1)
    }
    assert len(set(drawn.values())) == 9
    assert read(write(graph(nodes))).nodes["d"].params["seed"] == LARGEST_SEED
    for wrong, said in ((-1, "greater than or equal to 0"), (2**64, f"less than or equal to {LARGEST_SEED}")):
        with pytest.raises(WorkflowError, match=said):
            run({"d": {"type": "random_number", "params": {"seed": wrong}}}, "d")
        with pytest.raises(WorkflowError, match=f"seed {wrong} must be a whole number from 0 to"):
            run(nodes, "d", seed=wrong)
        inner = {"chance": {"type": "random_number", "wires": {"seed": "z.item.seed"}}}
        with pytest.raises(NodeError, match=f"chance: the seed {wrong} must be a whole number from 0 to"):
            run({"z": sweep(inner, {"draws": "chance"}, {"seed": [wrong]})}, "z")


def test_processes_seed_pytorchs_generators_alike_and_share_a_batch(registry: Registry, tmp_path: Path) -> None:
    inner = {
        "y": {"type": "applied_with_dropout", "wires": {"model": "fit.models.m", "x": "one"}},
        "chance": {"type": "random_row", "params": {"rows": 4}},
        "noted": {"type": "note_apart", "wires": {"x": "y"}},
        "both": {"type": "add", "wires": {"a": "noted", "b": "chance"}},
    }
    nodes = {
        "one": ONE,
        "made": {"type": "global_draw", "params": {"seed": 5}},
        "model": {"type": "scalar_model", "params": {"weight": 100}},
        "fit": {
            "type": "learn",
            "wires": {"models": {"m": "model"}},
            "params": {"n": 6},
            "body": {"nodes": inner, "results": {"number": "both"}},
        },
    }
    made, dropped, drawn = [], [], []
    for rank in range(2):
        ROWS.clear()
        APART.clear()
        engine = Engine(registry, tmp_path / str(rank), processes=One(rank, tmp_path / "runs" / "r"))
        made.append(engine.run(graph(nodes), targets=["made", "fit.m"], fresh=True).values["made"])
        dropped.append(list(APART))
        drawn.append(torch.tensor(ROWS).view(6, 4))
    assert torch.equal(*made)
    assert dropped[0] == dropped[1]
    alone = Engine(registry, tmp_path / "alone")
    ROWS.clear()
    wide = graph(json.loads(json.dumps(nodes).replace('"rows": 4', '"rows": 8')))
    alone.run(wide, targets=["fit.m"], fresh=True)
    assert torch.equal(torch.cat(drawn, dim=1), torch.tensor(ROWS).view(6, 8))
