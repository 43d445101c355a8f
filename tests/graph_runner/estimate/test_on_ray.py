"""Sweeps on two machines of a Ray cluster, which are two nodes of one processor each on this one."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.run.failures import NodeError
from tests.nodes.sweeps import RATES, sweep

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]  # Ray's own warnings
ray = pytest.importorskip("ray")

TARGETS = ["sweep.unet", "sweep.ema"]
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, which this program has joined; or the cluster of RAY_ADDRESS, where one is there already."""
    from ray.cluster_utils import Cluster

    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        yield None
        ray.shutdown()
        return
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    ray.init(found.address, log_to_driver=False, logging_level=logging.ERROR)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def run(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a sweep on the cluster, or here, each in a workspace of its own."""
    from graph_runner.estimate.on_ray import Ray

    registry = Registry.installed()

    def call(rates: list[float], steps: int, on: Any = "ray", workspace: Path | None = None, **options: Any) -> Result:
        engine = Engine(registry, workspace or tmp_path_factory.mktemp("workspace"))
        executor = Ray() if on == "ray" else on
        workflow = Workflow.model_validate(sweep(rates, steps))
        return engine.run(workflow, targets=TARGETS, only=True, on=executor, **options)

    return call


def weights(result: Result) -> list[torch.Tensor]:
    return [value for target in TARGETS for model in result.values[target] for value in model.state_dict().values()]


def told(result: Result) -> set[str]:
    return {repr(event) for event in result.events if isinstance(event, events.Metric)}


def measured(result: Result) -> list[dict[str, float]]:
    return [event.values for event in result.events if isinstance(event, events.Metric)]


def said(result: Result) -> list[str]:
    return [event.message for event in result.events if isinstance(event, events.Log)]


def same(a: Result, b: Result) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_twelve_trainings_on_two_machines_equal_the_serial_ones_and_go_on_to_more_steps(
    run: Run, tmp_path: Path
) -> None:
    here, there = run(RATES, 6, on="here"), run(RATES, 6, workspace=tmp_path)
    assert len(there.values["sweep.unet"]) == 12
    assert same(here, there)
    assert told(here) == told(there)
    longer = run(RATES, 8, workspace=tmp_path)
    assert said(longer).count("goes on from step 6 of an earlier run") == 12


def test_a_killed_process_loses_nothing(run: Run) -> None:
    killed: list[int] = []

    def kill(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.node == "fit" and 3 <= event.done < 40 and not killed:
            title = f"ray::sweep {event.path[0]}"
            killed.extend(each.pid for each in psutil.process_iter() if " ".join(each.cmdline()).strip() == title)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    there = run(RATES[:2], 60, checkpoint_seconds=0, listeners=[kill])
    assert killed
    assert same(run(RATES[:2], 60, on="here"), there)
    sentences = said(there)
    assert any("whose process was lost" in sentence for sentence in sentences), sentences
    assert any(sentence.startswith("goes on from step") for sentence in sentences)


def test_a_stop_keeps_what_was_done_and_the_same_command_goes_on(run: Run, tmp_path: Path) -> None:
    stop = threading.Event()

    def at_once(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.node == "fit" and event.done >= 2:
            stop.set()

    assert run(RATES[:2], 200, stop=stop, listeners=[at_once], workspace=tmp_path).status == "stopped"
    steps = [int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("*/step-*")]
    assert steps
    assert max(steps) < 200
    shorter = run(RATES[:2], max(steps) + 1, workspace=tmp_path)
    assert any(sentence.startswith("goes on from step") for sentence in said(shorter))


def test_items_that_two_processes_share_train_as_one_does(run: Run) -> None:
    from graph_runner.estimate.on_ray import Ray

    here, there = run(RATES[:1], 4, on="here"), run(RATES[:1], 4, on=Ray(processes=2))
    for one, two in zip(measured(here), measured(there), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    assert not same(here, there)  # two halves of a batch add up in another order: two processes it was


def test_what_no_machine_has_room_for_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from graph_runner.estimate import on_ray
    from graph_runner.estimate.needs import Needs

    monkeypatch.setattr(on_ray, "needs", lambda job, _: Needs(job.threads, 0, 10**15))
    with pytest.raises(NodeError, match=r"sweep: .*an item needs 0 GPUs and 1000000\.0 GB of memory"):
        run(RATES[:2], 2)
