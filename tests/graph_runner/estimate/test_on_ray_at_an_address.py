"""A sweep on two nodes of a Ray cluster that share no folder: the workspace lies at an address, and each has a copy of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph_runner.base.home import COPIES
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.graph_runner.estimate.test_on_ray import TARGETS, same, told
from tests.nodes.sweeps import RATES, sweep
from tests.remote import CREDENTIALS, server

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(1800)]  # Ray's own warnings
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """An address that this process and two nodes reach, each through copies in a folder of its own."""
    from ray.cluster_utils import Cluster

    folders = tmp_path_factory.mktemp("copies")
    with server() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("sweeps")
        nodes = {name: {**os.environ, COPIES: str(folders / name)} for name in ("one", "two")}
        found = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "env_vars": nodes["one"]}
        )
        found.add_node(num_cpus=1, env_vars=nodes["two"])
        patch.setenv(COPIES, str(folders / "here"))
        ray.init(found.address, log_to_driver=False, logging_level=logging.ERROR)
        yield "s3://sweeps/work"
        ray.shutdown()
        found.shutdown()


def copies() -> set[str]:
    return {path.parent.name for path in Path(os.environ[COPIES]).parent.glob("*/s3-*")}


def test_a_sweep_on_nodes_that_share_no_folder_equals_the_serial_one(address, tmp_path):
    registry = Registry.installed()
    workflow = Workflow.model_validate(sweep(RATES[:4], 3))
    serial = Engine(registry, tmp_path / "plain").run(workflow, targets=TARGETS, only=True, threads=1)
    engine = Engine(registry, address)
    spread = engine.run(workflow, targets=TARGETS, only=True, on="ray", threads=1)
    assert same(serial, spread)
    assert told(serial) == told(spread)
    assert {"one", "two", "here"} >= copies() > {"here"}
    # Further steps go on from checkpoints that nodes wrote, wherever an item lands.
    longer = Workflow.model_validate(sweep(RATES[:4], 5))
    onward = Engine(registry, address).run(longer, targets=TARGETS, only=True, on="ray", threads=1)
    assert same(Engine(registry, tmp_path / "plain").run(longer, targets=TARGETS, only=True, threads=1), onward)
    assert sum("goes on from step 3" in repr(event) for event in onward.events) == 4
