"""Stand-ins for the packages of Weights & Biases and MLflow: they write down what they are called with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

Calls = list[tuple[str, Any]]


def wandb(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put a `wandb` in place that knows what the logger uses of it."""
    calls: Calls = []

    def init(**given: Any) -> Any:
        calls.append(("init", given))
        return SimpleNamespace(
            log=lambda values: calls.append(("log", values)),
            define_metric=lambda name, step_metric: calls.append(("define_metric", (name, step_metric))),
            finish=lambda exit_code: calls.append(("finish", exit_code)),
        )

    module = ModuleType("wandb")
    module.init = init  # type: ignore[attr-defined]
    module.Image = lambda path, caption: ("image", Path(path).name, caption)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def mlflow(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put an `mlflow` in place that knows what the logger uses of it."""
    calls: Calls = []

    class Client:
        def __init__(self, uri: str | None) -> None:
            calls.append(("client", uri))

        def get_experiment_by_name(self, name: str) -> Any:
            return None

        def create_experiment(self, name: str) -> str:
            calls.append(("create_experiment", name))
            return "7"

        def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
            calls.append(("create_run", (experiment, run_name, tags)))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
            calls.append(("log_batch", (list(metrics), list(params))))

        def log_artifact(self, run: str, path: str, folder: str) -> None:
            calls.append(("log_artifact", (Path(path).name, folder)))

        def set_terminated(self, run: str, status: str) -> None:
            calls.append(("set_terminated", status))

    for name, values in {
        "mlflow": {},
        "mlflow.entities": {"Metric": lambda *values: values, "Param": lambda *values: values},
        "mlflow.tracking": {"MlflowClient": Client},
    }.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return calls
