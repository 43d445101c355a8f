"""Every parameter of every node with odd values: refused by its annotation, or by the node in a sentence."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.diffusion.solvers import SOLVERS
from graph_runner.base.problems import WorkflowError
from graph_runner.context import Rng
from graph_runner.contract.spec import NodeSpec, Param
from graph_runner.format.workflow import read
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.bounds import memory
from tests.nodes.samples import WIRES
from tests.nodes.test_contract import ELSEWHERE, REGISTRY, arguments

ODD: list[Any] = [
    *(0, -1, -8, 1, 2, 7, 1_000_000, 2**31, 2**63 - 1, 2**64 - 1, 10**30),
    *(0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, math.nan, math.inf, -math.inf),
    *("", " ", "a", "/", "..", "a/../../b", "\0", "x" * 10_000, "ä\u202e", "[[[("),
    *(True, None, [], {}, [0], [-1], [1_000_000], [2**63], [""], [[]], [None], ["x" * 10_000]),
    *([0, 0, 0, 0], [1, 4, -8, 8], [1, 1_000_000, 1_000_000, 1_000_000], [1] * 20, [0.5] * 4, [[0.1] * 3], {"a": 1}),
]
"""What is typed by mistake, or on purpose."""

UNTRIED = {
    ("wordpiece_tokenizer", "samples"): "draws as many pictures",
    ("shapes_dataset", "size"): "a number that is never counted up to",
}


@pytest.fixture
def bounded() -> Iterator[None]:
    """At most 4 GiB more than what is in use: what asks for more fails at once."""
    with memory(4):
        yield


def accepted(param: Param) -> list[Any]:
    """The odd values that a parameter's annotation lets in."""
    values = []
    for value in ODD:
        try:
            values.append(param.adapter.validate_json(json.dumps(value), strict=True))
        except ValidationError:
            continue
    return values


def is_sentence(spec: NodeSpec, error: Exception) -> bool:
    told = str(NodeError(spec.type, error)).partition(": ")[2]
    return not told.startswith(f"{type(error).__name__}:") and len(told.split()) >= 4


@pytest.mark.parametrize("type_name", sorted(set(REGISTRY) - set(ELSEWHERE)))
def test_odd_values_end_in_a_sentence(type_name: str, tmp_path: Path, bounded: None) -> None:
    spec = REGISTRY[type_name]
    wrong = []
    for name, param in spec.params.items():
        if param.path_kind or (type_name, name) in UNTRIED or name not in inspect.signature(spec.function).parameters:
            continue
        for value in accepted(param):
            try:
                spec.function(**arguments(spec, tmp_path) | {name: value})
            except Exception as error:
                if not is_sentence(spec, error):
                    wrong.append(f"{name}={value!r:.60}: {type(error).__name__}: {error!s:.200}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("type_name", ["sample", "invert"])
def test_odd_values_of_solvers_end_in_a_sentence(type_name: str, bounded: None) -> None:
    """Of zones, with a body that predicts nothing, and three turns at most."""
    spec = REGISTRY[type_name]
    given = {name: WIRES[wire]() for name, wire in (("schedule", "schedule"), ("noise", "latent"), ("z0", "latent"))}
    given |= {"denoise": lambda z, *_: z * 0, "rng": Rng(7), "loop": lambda n, *_, **__: iter(range(min(n, 3)))}
    given |= {"tell": lambda *_: None}
    taken = {name: value for name, value in given.items() if name in inspect.signature(spec.function).parameters}
    wrong = []
    for solver in SOLVERS if type_name == "sample" else [None]:
        for name, param in spec.params.items():
            if name not in inspect.signature(spec.function).parameters:
                continue
            for value in accepted(param):
                chosen = {name: value} if solver is None else {"solver": solver, name: value}
                try:
                    spec.function(**taken | chosen)
                except Exception as error:
                    if not is_sentence(spec, error):
                        wrong.append(f"{chosen}: {type(error).__name__}: {error!s:.200}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (
            {"n": {"type": "gaussian_noise", "params": {"shape": [65_536] * 4}}},
            "n: (this asks for .* more memory than|cpu ran out of memory: it asked for)",
        ),
        ({"n": {"type": "gaussian_noise", "params": {"shape": [1, 4, -8, 8]}}}, "n.shape: input should be greater"),
        ({"u": {"type": "unet", "params": {"channel_mult": []}}}, "u.channel_mult: list should have at least 1"),
        ({"u": {"type": "unet", "params": {"num_heads": 5}}}, "u: 448 channels cannot be split by num_heads=5"),
    ],
)
def test_what_cannot_be_made_is_told_by_its_node(
    nodes: dict[str, Any], told: str, tmp_path: Path, bounded: None
) -> None:
    workflow = read(json.dumps({"loom": 1, "nodes": nodes}))
    with pytest.raises((NodeError, WorkflowError), match=told):
        Engine(REGISTRY, tmp_path).run(workflow, targets=list(nodes), only=True)
