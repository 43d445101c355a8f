"""A training goes on from another one's checkpoint with other settings, and with its optimizer's state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graph_runner.base import events
from graph_runner.base.problems import WorkflowError
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.continuing import from_checkpoints
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.graph_runner import toys
from tests.graph_runner.conftest import graph
from tests.nodes.test_train_zone import setting, training

PACKAGES = [
    "tests.graph_runner.toys",
    "tests.nodes.toy_data",
    "graph_runner.zones",
    "nodes.training",
    "nodes.optimizers",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(PACKAGES)


@pytest.fixture
def make_engine(registry: Registry, tmp_path: Path) -> Callable[[], Engine]:
    toys.CALLS.clear()
    return lambda: Engine(registry, workspace=tmp_path)


def fit(steps: int, lr: float = 0.1, adam: dict[str, Any] | None = None, **params: Any) -> Workflow:
    zone = training(steps=steps)
    zone["params"] |= params
    optimizer = adam or {"type": "adamw", "params": {"lr": lr, "weight_decay": 0}}
    return graph(setting(fit=zone, adam=optimizer, weight={"type": "weight_of", "wires": {"model": "fit.models.m"}}))


def ran(engine: Engine, workflow: Workflow) -> Result:
    return engine.run(workflow, targets=["weight"])


def told(result: Result) -> str:
    return " | ".join(each.message for each in result.events if isinstance(each, events.Log))


def by_hand(rates: list[float]) -> float:
    """The one weight of the toy model, trained by PyTorch alone at these rates."""
    weight = torch.nn.Parameter(torch.ones(()))
    adam = torch.optim.AdamW([weight], weight_decay=0)
    for rate in rates:
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad()
        ((weight * 2.0) ** 2).backward()
        adam.step()
    return float(weight.detach())


def test_another_rate_goes_on_with_the_state_of_the_optimizer(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    first = ran(make_engine(), fit(3))
    changed = from_checkpoints(fit(6, lr=0.02), registry, tmp_path, first.folder.name)
    result = ran(make_engine(), changed)
    assert toys.CALLS.count("step") == 6, "three, and three more"
    assert float(result.values["weight"]) == pytest.approx(by_hand([0.1] * 3 + [0.02] * 3), rel=1e-6)
    assert f"goes on from step 3 of {first.folder.name}" in told(result)
    assert "adam.lr 0.1 → 0.02" in told(result)
    assert "fit.steps 3 → 6" in told(result)


def test_what_went_on_is_another_value_than_what_began_so_and_is_kept_as_one(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    changed = from_checkpoints(fit(6, lr=0.02), registry, tmp_path, "last")
    went_on = float(ran(make_engine(), changed).values["weight"])
    steps = toys.CALLS.count("step")
    assert float(ran(make_engine(), changed).values["weight"]) == went_on
    assert toys.CALLS.count("step") == steps, "the second time it is taken from the cache"
    assert float(ran(make_engine(), fit(6, lr=0.02)).values["weight"]) == pytest.approx(by_hand([0.02] * 6), rel=1e-6)


def test_what_went_on_goes_on_itself_and_further(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    second = from_checkpoints(fit(5, lr=0.02), registry, tmp_path, "last")
    ran(make_engine(), second)
    second.nodes["fit"].params["steps"] = 7
    result = ran(make_engine(), second)
    assert "goes on from step 5 of an earlier run" in told(result), "more steps find its own checkpoint"
    third = from_checkpoints(fit(9, lr=0.5), registry, tmp_path, result.folder.name)
    result = ran(make_engine(), third)
    assert "goes on from step 7" in told(result)
    assert float(result.values["weight"]) == pytest.approx(by_hand([0.1] * 3 + [0.02] * 4 + [0.5] * 2), rel=1e-6)


@pytest.mark.parametrize("params", [{"batch_size": 1, "accumulate": 2}, {"ema": 0.0}, {"ema": 0.5}, {"seed": 9}])
def test_the_zone_itself_may_be_set_otherwise(
    params: dict[str, Any], make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    result = ran(make_engine(), from_checkpoints(fit(6, **params), registry, tmp_path, "last"))
    assert "goes on from step 3" in told(result)
    assert float(result.values["weight"]) == pytest.approx(by_hand([0.1] * 6), rel=1e-6)


def test_an_average_that_there_was_not_begins_at_the_weights_taken_over(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3, ema=0.0))
    workflow = from_checkpoints(fit(4, ema=0.9), registry, tmp_path, "last")
    average = make_engine().run(workflow, targets=["fit.ema.m"]).values["fit.ema.m"].weight
    before, after = by_hand([0.1] * 3), by_hand([0.1] * 4)
    share = 2 / 11  # of the first update: (1 + 1) / (10 + 1)
    assert float(average) == pytest.approx(share * before + (1 - share) * after, rel=1e-5)


def test_no_steps_left_to_do_is_an_error(make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path) -> None:
    ran(make_engine(), fit(3))
    with pytest.raises(NodeError, match=r"fit: .*step-3 has done 3 steps, and 3 are asked for in all; ask for more"):
        ran(make_engine(), from_checkpoints(fit(3, lr=0.02), registry, tmp_path, "last"))


def test_another_optimizer_is_refused_by_name(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    changed = from_checkpoints(fit(6, adam={"type": "sgd"}), registry, tmp_path, "last")
    with pytest.raises(NodeError, match="objective 'loss' was trained by AdamW, and here by SGD"):
        ran(make_engine(), changed)


def test_another_model_is_refused_by_name(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    other = fit(6)
    other.nodes["fit"].wires["models"] = {"n": "model0"}
    text = other.model_dump_json(exclude_none=True).replace("models.m", "models.n")
    changed = from_checkpoints(Workflow.model_validate_json(text), registry, tmp_path, "last")
    with pytest.raises(NodeError, match="it trained the models 'm', and here they are 'n'"):
        make_engine().run(changed, targets=["fit.models.n"])


def test_a_checkpoint_may_be_named_itself(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    (checkpoint,) = tmp_path.glob("checkpoints/*/step-3")
    for named in (str(checkpoint), checkpoint.relative_to(tmp_path).as_posix()):
        changed = from_checkpoints(fit(6, lr=0.02), registry, tmp_path, named)
        assert changed.nodes["fit"].params["continue_from"] == checkpoint.relative_to(tmp_path).as_posix()


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("last", "no run in .* has trained anything"),
        ("2026", "there is no run and no checkpoint '2026'"),
        ("a\0b", "there is no run and no checkpoint"),
        ("runs/plain", "plain has trained nothing"),
    ],
)
def test_what_names_nothing_to_go_on_from_is_told(
    named: str, sentence: str, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "plain").mkdir(parents=True)
    with pytest.raises(WorkflowError, match=sentence):
        from_checkpoints(fit(6), registry, tmp_path, named)


def test_a_run_of_other_trainings_is_told(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    nodes = setting(other=training("other", steps=3))
    with pytest.raises(WorkflowError, match=r"trained fit, which is not here. Here is other"):
        from_checkpoints(graph(nodes), registry, tmp_path, "last")


def test_a_damaged_checkpoint_is_told_and_never_used(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    changed = from_checkpoints(fit(6, lr=0.02), registry, tmp_path, "last")
    tensors = tmp_path / changed.nodes["fit"].params["continue_from"] / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(NodeError, match="damaged"):
        ran(make_engine(), changed)


def two(rates: tuple[float, float], steps: int) -> Workflow:
    """A training, and one after it that trains the first's model on."""
    first, second = training("first", steps=3), training("second", steps=steps, model="first.models.m")
    for zone, name in ((first, "first"), (second, "second")):
        zone["body"]["nodes"] = {f"{name}_{id}": node for id, node in zone["body"]["nodes"].items()}
        text = json.dumps(zone)
        for id in ("x", "y", "loss", "counted", "seen", "aim"):
            text = text.replace(f': "{id}"', f': "{name}_{id}"').replace(f'["{id}"]', f'["{name}_{id}"]')
        zone |= json.loads(text.replace('"adam"', f'"adam_{name}"'))
    nodes = setting(first=first, second=second, weight={"type": "weight_of", "wires": {"model": "second.models.m"}})
    del nodes["adam"]
    for name, rate in zip(("first", "second"), rates, strict=True):
        nodes[f"adam_{name}"] = {"type": "adamw", "params": {"lr": rate, "weight_decay": 0}}
    return graph(nodes)


def test_of_several_trainings_those_that_are_not_changed_stay_what_they_were(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), two((0.1, 0.1), steps=2))
    steps = toys.CALLS.count("step")
    changed = from_checkpoints(two((0.1, 0.02), steps=4), registry, tmp_path, "last")
    assert "continue_from" in changed.nodes["first"].params
    result = ran(make_engine(), changed)
    assert toys.CALLS.count("step") == steps + 2, "the first is taken from the cache"
    assert "with second.steps 2 → 4, adam_second.lr 0.1 → 0.02" in told(result)


def test_with_more_steps_alone_it_is_the_training_that_it_would_have_been(
    make_engine: Callable[[], Engine], registry: Registry, tmp_path: Path
) -> None:
    ran(make_engine(), fit(3))
    ran(make_engine(), from_checkpoints(fit(5), registry, tmp_path, "last"))
    steps = toys.CALLS.count("step")
    ran(make_engine(), fit(5))
    assert toys.CALLS.count("step") == steps, "it has the same key with and without"
