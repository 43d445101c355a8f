"""Every node in a world of two processes: at the top of a graph, on the first process alone, and on shares of a batch.

At the top each process computes the whole thing. Beside a training (`every`) and where something is saved or shown one
process works and nobody answers. In a training each holds half of the rows, and what all hold is one process' result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.models.autoencoder import DiagonalGaussian
from graph_runner.context import Rng
from graph_runner.contract.processes import Processes
from graph_runner.contract.spec import NodeSpec
from graph_runner.run.shares import put_together
from tests.nodes.samples import B
from tests.nodes.test_contract import ELSEWHERE, REGISTRY, arguments, plain
from tests.world import in_two, watched

TOLERANCE = 1e-5  # of the rounding in a decoder; what is wrong is wrong by far more
ARRANGED = "arranges a picture: `every` and nodes that show hand it the whole batch"
# Why a node's result on shares of a batch, put together, is not that on the whole batch.
SHARES = {
    "image_grid": ARRANGED,
    "side_by_side": ARRANGED,
    "stack_images": "the rows of one batch come before those of the next, here in each process' share",
    "cat": "the rows of one batch come before those of the next, here in each process' share",
    "rows": "takes rows by their number, here in each process' share",
    "langevin_step": "all rows are at the level of the first, and the sample's differ",
}


def called() -> list[NodeSpec]:
    return [REGISTRY[name] for name in sorted(REGISTRY) if name not in ELSEWHERE]


def call(spec: NodeSpec, folder: Path, processes: Processes | None = None) -> tuple[Any, bool]:
    """The node's result on the sample batch, or on this process' share of it; and whether it was handed a share."""
    torch.manual_seed(0)
    kwargs = arguments(spec, folder)
    whole = dict(kwargs)
    if processes is not None:
        own = {"rng": Rng(7, part=processes.rank), "processes": processes}
        kwargs |= {name: own[kind] for name, kind in spec.injected.items() if kind in own}
        kwargs |= {name: _share(kwargs[name], processes) for name in spec.input if name not in spec.params}
    shared = any(kwargs[name] is not whole[name] for name in spec.input if name in kwargs)
    if "discriminator" in kwargs:
        kwargs["discriminator"].train()  # as in a training: it has statistics of its batch
    torch.manual_seed(1)
    with torch.no_grad():
        return spec.function(**kwargs), shared


def _share(value: Any, processes: Processes) -> Any:
    """This process' rows of whatever has as many as the sample batch; anything else as it is."""
    if isinstance(value, Tensor) and value.ndim and len(value) == B:
        return value.chunk(processes.world)[processes.rank]
    if isinstance(value, list) and len(value) == B and all(isinstance(item, str) for item in value):
        return [value[processes.rank]]
    if isinstance(value, dict):
        parts: Any = {key: _share(item, processes) for key, item in value.items()}
        return parts if any(parts[key] is not value[key] for key in value) else value
    if isinstance(value, Conditioning):
        return value.map(lambda part: _share(part, processes))
    if isinstance(value, DiagonalGaussian):
        return DiagonalGaussian(*(_share(part, processes) for part in value))
    if isinstance(value, list):
        parts = [_share(item, processes) for item in value]
        return parts if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    return value


def leaves(value: Any) -> Iterator[Any]:
    """The numbers and texts in a result, in order."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, Tensor | int | float | str):
        yield value.detach().clone() if isinstance(value, Tensor) else value


def in_a_world(processes: Processes) -> dict[str, dict[str, list[Any]]]:
    """Each node's results in this process, by where it was called."""
    found: dict[str, dict[str, list[Any]]] = {"top": {}, "first": {}, "share": {}}
    for spec in called():
        with TemporaryDirectory() as folder, watched(f"{spec.type}, at the top of process {processes.rank},"):
            found["top"][spec.type] = list(leaves(plain(call(spec, Path(folder))[0])))
    for spec in called() if processes.rank == 0 else []:
        with TemporaryDirectory() as folder, watched(f"{spec.type}, in the first process alone,"):
            found["first"][spec.type] = list(leaves(plain(call(spec, Path(folder))[0])))
    processes.agree(None)
    for spec in called():
        if spec.effect:
            continue  # the first process saves and shows, alone
        with TemporaryDirectory() as folder, watched(f"{spec.type}, on a share in process {processes.rank},"):
            with processes.together():
                value, shared = call(spec, Path(folder), processes)
            (whole,) = put_together([value], processes) if shared else (value,)
            found["share"][spec.type] = list(leaves(plain(whole)))
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, list[Any]]]]:
    return in_two("tests.nodes.test_world:in_a_world", tmp_path_factory.mktemp("world"))


def differs(found: list[Any], wanted: list[Any]) -> bool:
    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Tensor):
            return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=TOLERANCE, atol=TOLERANCE)
        return bool(a == pytest.approx(b, rel=TOLERANCE) if isinstance(a, float) else a == b)

    return len(found) != len(wanted) or not all(map(same, found, wanted))


@pytest.mark.slow
def test_every_node_gives_in_two_processes_what_it_gives_in_one(
    both: list[dict[str, dict[str, list[Any]]]], tmp_path: Path
) -> None:
    wrong = []
    for spec in called():
        (tmp_path / spec.type).mkdir()
        alone = list(leaves(plain(call(spec, tmp_path / spec.type)[0])))
        for rank in range(2):
            if differs(both[rank]["top"][spec.type], alone):
                wrong.append(f"{spec.type} at the top, process {rank}")
        if differs(both[0]["first"][spec.type], alone):
            wrong.append(f"{spec.type} in the first process alone")
        if not spec.effect and (spec.type in SHARES) != differs(both[0]["share"][spec.type], alone):
            wrong.append(f"{spec.type} on shares of a batch")
    assert not wrong, wrong
