"""Memory runs out in a call: room is made and it is called again with the same random numbers; then the error says what helps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor, nn

from graph_runner.base.events import Log
from graph_runner.context import Rng
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError, asked_for, ran_out
from tests.graph_runner.conftest import TOYS, graph
from tests.graph_runner.drawing import repeat
from tests.pretend import DEVICE, engine_there
from tests.pretend_memory import memory

Numbers = Annotated[Tensor, Wire("numbers", "n")]
Layer = Annotated[nn.Linear, Wire("layer")]

ASKED: list[float] = []
FAILS: list[BaseException] = []
"""What the next calls raise."""


def fail(x: float) -> None:
    ASKED.append(x)
    if FAILS:
        raise FAILS.pop(0)


@node(category="toy")
def drawn(rng: Rng) -> Numbers:
    """Random numbers, of an Rng and of torch's own generator."""
    numbers = rng.randn(3) + torch.randn(3).to(rng.device)
    fail(float(numbers.sum()))
    return numbers


@node(category="toy")
def doubled(x: Numbers) -> Numbers:
    """Twice the numbers."""
    fail(0.0)
    return 2 * x


@node(category="toy")
def ones() -> Numbers:
    """Ones."""
    return torch.ones(3)


@node(category="toy", mutates=("x",))
def changed(x: Numbers) -> Numbers:
    """The numbers, changed in place."""
    x += 1
    fail(0.0)
    return x


@node(category="toy")
def layer(inputs: int = 10) -> Layer:
    """A linear layer."""
    made = nn.Linear(inputs, 10, bias=False)
    nn.init.constant_(made.weight, 0.5)
    return made


@node(category="toy")
def through(layer: Layer, rows: int = 1) -> Numbers:
    """Ones through a layer, summed up."""
    return layer(torch.ones(rows, layer.in_features, device=layer.weight.device)).sum(0)


MADE = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has 80 GiB of which 1.00 GiB is free."
)
HOST = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes."
)
MPS = RuntimeError("MPS backend out of memory (MPS allocated: 17 GB). Tried to allocate 512.00 MB on private pool.")


@pytest.fixture(autouse=True)
def fresh() -> None:
    ASKED.clear()
    FAILS.clear()


@pytest.fixture
def nodes() -> Registry:
    return Registry.scan([*TOYS, __name__])


def ran(nodes: Registry, folder: Path, drawing: dict[str, Any], *targets: str, **options: Any) -> Result:
    made = engine_there if options.pop("device", "cpu") == DEVICE.type else Engine
    return made(nodes, folder, **options).run(graph(drawing), targets=targets, fresh=True)


def warned(result: Result) -> list[str]:
    return [event.message for event in result.events if isinstance(event, Log) and event.level == "warning"]


@pytest.mark.parametrize(("error", "size"), [(MADE, 2.5 * 2**30), (HOST, 4e9), (MPS, 512e6), (MemoryError(), None)])
def test_every_allocators_words_are_known(error: BaseException, size: float | None) -> None:
    assert ran_out(error)
    assert asked_for(error) == size


@pytest.mark.parametrize("error", [RuntimeError("the shapes differ"), ValueError("out of range")])
def test_other_errors_are_others(nodes: Registry, tmp_path: Path, error: BaseException) -> None:
    assert not ran_out(error)
    FAILS.append(error)
    with pytest.raises(NodeError, match=str(error)):
        ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a")
    assert len(ASKED) == 1


@pytest.mark.parametrize("error", [MADE, HOST, MPS, MemoryError()])
def test_a_call_is_repeated_once_with_the_same_random_numbers(
    nodes: Registry, tmp_path: Path, error: BaseException
) -> None:
    wanted = ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a").values["a"]
    FAILS.append(error)
    result = ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a")
    assert torch.equal(result.values["a"], wanted)
    assert len(set(ASKED)) == 1
    assert len(ASKED) == 3
    assert [told for told in warned(result) if "ran out of memory" in told and "called again" in told]


def test_a_plain_node_inside_of_a_loop_is_repeated_too(nodes: Registry, tmp_path: Path) -> None:
    drawing = {
        "start": {"type": "drawn"},
        "loop": repeat(3, {"next": {"type": "doubled", "wires": {"x": "loop.state.x"}}}, "next", "start"),
    }
    wanted = ran(nodes, tmp_path, drawing, "loop.x").values["loop.x"]
    ASKED.clear()
    FAILS.append(MADE)
    result = ran(nodes, tmp_path, drawing, "loop.x")
    assert torch.equal(result.values["loop.x"], wanted)
    assert len(ASKED) == 5
    assert len(warned(result)) == 1


def test_the_second_failure_names_the_node_its_need_and_what_was_free(nodes: Registry, tmp_path: Path) -> None:
    FAILS.extend([MADE, MADE])
    with pytest.raises(
        NodeError, match=r"^a: cpu ran out of memory: it asked for 2\.50 GiB of memory, and .* are free"
    ) as caught:
        ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a")
    assert caught.value.node == "a"
    assert len(ASKED) == 2


def test_what_changes_its_input_is_not_repeated(nodes: Registry, tmp_path: Path) -> None:
    FAILS.extend([MADE])
    with pytest.raises(NodeError, match="b: cpu ran out of memory"):
        ran(nodes, tmp_path, {"a": {"type": "ones"}, "b": {"type": "changed", "wires": {"x": "a"}}}, "b")
    assert len(ASKED) == 1


def test_models_leave_where_a_call_finds_no_room(nodes: Registry, tmp_path: Path) -> None:
    """Two layers of 40 kB, and 90 kB of ones: with 128 kB and no budget both layers come, and one of them has to go."""
    drawing = {
        "first": {"type": "layer", "params": {"inputs": 1000}},
        "second": {"type": "layer", "params": {"inputs": 1001}},
        "a": {"type": "through", "wires": {"layer": "first"}},
        "b": {"type": "through", "wires": {"layer": "second"}, "params": {"rows": 15}},
    }
    wanted = ran(nodes, tmp_path, drawing, "a", "b").values
    with memory(128_000) as allocator:
        result = ran(nodes, tmp_path, drawing, "a", "b", device=DEVICE.type)
        assert allocator.refused == 1
        assert any("of models and cached values left pretend" in told for told in warned(result))
        assert all(torch.allclose(result.values[name].cpu(), wanted[name]) for name in wanted)
    with memory(60_000), pytest.raises(NodeError, match="b: pretend:0 ran out of memory: it asked for"):
        ran(nodes, tmp_path, drawing, "b", device=DEVICE.type)


def test_the_error_tells_what_would_help(nodes: Registry, tmp_path: Path) -> None:
    def advise(workflow: Workflow, dtype: torch.dtype) -> list[str]:
        assert list(workflow.nodes) == ["a"]
        return [f"--set a.rows=2 (1 GB at most instead of 2 GB, in {dtype})"]

    FAILS.extend([MADE, MADE])
    with pytest.raises(
        NodeError, match=r"What helps: --set a\.rows=2 \(1 GB at most instead of 2 GB, in torch\.float32\)$"
    ):
        ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a", advise=advise)


def test_advice_that_fails_hides_no_failure(nodes: Registry, tmp_path: Path) -> None:
    FAILS.extend([MADE, MADE])
    with pytest.raises(NodeError, match=r"a: cpu ran out of memory: it asked for 2\.50 GiB"):
        ran(nodes, tmp_path, {"a": {"type": "drawn"}}, "a", advise=lambda *_: [][0])
