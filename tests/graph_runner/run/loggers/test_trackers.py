"""Weights & Biases and MLflow: what each is told of a run. With the packages themselves where they are installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from graph_runner.run.engine import Engine, Result
from tests.graph_runner.conftest import graph
from tests.graph_runner.run.loggers import stand_ins

Run = Callable[..., Result]
ONE = {"type": "number", "params": {"value": 2}}
LOOP = {
    "type": "repeat",
    "params": {"iterations": 2},
    "wires": {"state": {"x": "one"}},
    "body": {
        "nodes": {
            "m": {"type": "measure", "wires": {"x": "loop.state.x"}},
            "look": {"type": "show_pixel", "wires": {"x": "loop.state.x"}},
        },
        "results": {"x": "loop.state.x"},
    },
}
NODES = {"one": ONE, "loop": LOOP, "after": {"type": "measure", "wires": {"x": "loop.x"}}}
MODULES = {"wandb": "weights_and_biases", "mlflow": "mlflow"}


@pytest.fixture(autouse=True)
def fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test imports the loggers anew: with what then stands for their packages."""
    yield
    for module in MODULES.values():
        sys.modules.pop(f"graph_runner.run.loggers.{module}", None)


def test_weights_and_biases_is_told_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_ins.wandb(monkeypatch)
    result = run(NODES, log=["wandb:project=toys,mode=offline"], seed=5)
    (_, begun), *rest = calls
    assert {name: begun[name] for name in ("project", "mode", "name", "dir")} == {
        "project": "toys",
        "mode": "offline",
        "name": result.folder.name,
        "dir": result.folder,
    }
    assert begun["config"] == {"seed": 5, "device": "cpu", "dtype": "float32", "one.value": 2, "loop.iterations": 2}
    logged = [values for name, values in rest if name == "log"]
    assert [values for values in logged if "m/x" in values] == [{"m/x": 2.0, "m/step": 1}, {"m/x": 2.0, "m/step": 2}]
    assert [list(values) for values in logged if "look/picture" in values] == 2 * [["look/picture", "look/step"]]
    assert logged[-1] == {"after/x": 2.0}
    steps = sorted(value for name, value in rest if name == "define_metric")
    assert steps == [("look/*", "look/step"), ("m/*", "m/step")]
    assert rest[-1] == ("finish", 0)


def test_mlflow_is_told_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_ins.mlflow(monkeypatch)
    result = run(NODES, log=["mlflow:uri=file:///there,experiment=toys"])
    told = dict(calls)
    assert (told["client"], told["create_experiment"]) == ("file:///there", "toys")
    assert told["create_run"] == ("7", result.folder.name, {"mlflow.note.content": "untitled"})
    batches = [value for name, value in calls if name == "log_batch"]
    assert ("one.value", "2") in batches[0][1]
    numbers = [(name, value, step) for metrics, _ in batches for name, value, _, step in metrics]
    assert numbers == [("m/x", 2.0, 1), ("m/x", 2.0, 2), ("after/x", 2.0, 0)]
    assert [folder for name, (*_, folder) in calls if name == "log_artifact"] == ["look", "look"]
    assert calls[-1] == ("set_terminated", "FINISHED")


@pytest.mark.parametrize(("logger", "word"), [("wandb", ("finish", 1)), ("mlflow", ("set_terminated", "FAILED"))])
def test_a_run_that_fails_is_told_as_failed(
    run: Run, monkeypatch: pytest.MonkeyPatch, logger: str, word: tuple[str, Any]
) -> None:
    calls = getattr(stand_ins, logger)(monkeypatch)
    nodes = {"one": ONE, "f": {"type": "fail", "wires": {"x": "one"}}, "m": {"type": "measure", "wires": {"x": "f"}}}
    assert run(nodes, log=[logger], raise_errors=False).status == "failed"
    assert calls[-1] == word


@pytest.mark.parametrize("logger", MODULES)
def test_without_its_package_each_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch, logger: str) -> None:
    for name in [logger, *(name for name in sys.modules if name.startswith(f"{logger}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"needs {logger}, which is not installed.*pip install .*{logger}"):
        run(NODES, log=[logger])


@pytest.mark.filterwarnings("ignore")  # the packages' own
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is an optional package")
def test_weights_and_biases_itself_offline(engine: Engine) -> None:
    result = engine.run(graph(NODES), log=["wandb:mode=offline"])
    assert [type(event).__name__ for event in result.events].count("Log") == 0
    assert len(list(result.folder.glob("wandb/offline-run-*/*.wandb"))) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is an optional package")
def test_mlflow_itself_into_files(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "store").as_uri()
    result = engine.run(graph(NODES), log=[f"mlflow:uri={store}"])
    assert [type(event).__name__ for event in result.events].count("Log") == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("latent-loom")
    [there] = client.search_runs([experiment.experiment_id])
    assert (there.info.run_name, there.info.status) == (result.folder.name, "FINISHED")
    assert there.data.params["loop.iterations"] == "2"
    assert [(each.step, each.value) for each in client.get_metric_history(there.info.run_id, "m/x")] == [(1, 2), (2, 2)]
    [picture, _] = client.list_artifacts(there.info.run_id, "look")
    assert Image.open(client.download_artifacts(there.info.run_id, picture.path)).size == (1, 1)
