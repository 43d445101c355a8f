"""The options of one run, described for the page, and checked before a run waits for them: those of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from graph_runner.cli import engine_options
from graph_runner.run.acceleration import OFF, Acceleration
from graph_runner.run.attention import AUTO
from graph_runner.run.devices import choose_device
from ui.refusal import RefusedError
from ui.schemas import Option

FIRST = ("device", "dtype")
"""What the page shows at first sight; the rest is folded."""
ALONE = "leave it out, or start the server without --on: the cluster decides where a run is done"


def described(started: Mapping[str, Any]) -> list[Option]:
    """Every option of a run. started: what the server was started with, which holds where a run says nothing."""
    table = {**engine_options.OF_A_RUN, **engine_options.OPTIONS}
    return [
        _described(name, table[name], started.get(name))
        for name in (*FIRST, *(set_ for set_ in table if set_ not in FIRST))
    ]


def _described(name: str, told: Mapping[str, Any], default: Any) -> Option:
    choices = [str(choice) for choice in told.get("choices", _devices() if name == "device" else ())]
    return Option(
        name=name,
        kind=_kind(told, choices),
        choices=choices,
        help=told["help"],
        default=told.get("default") if default is None else default,
        folded=name not in FIRST,
    )


def _kind(told: Mapping[str, Any], choices: Sequence[str]) -> Literal["choice", "flag", "number", "text"]:
    if engine_options.is_flag(told):
        return "flag"
    if choices:
        return "choice"
    return "number" if told.get("type") is engine_options.count else "text"


def _devices() -> list[str]:
    """What runs can be asked to be done on, on this machine."""
    cards = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return ["auto", "cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]


def checked(given: Mapping[str, Any], *, on_cluster: bool, confined: bool) -> dict[str, Any]:
    """The options that say something. Raises RefusedError where one cannot be.

    on_cluster: a cluster does the runs. confined: others reach this server, and may not say whom it connects to.
    """
    said = {name: value for name, value in given.items() if value is not None}
    try:
        read = engine_options.read(said)
        if "device" in read:
            choose_device(read["device"])
        Acceleration(read.get("compile", OFF), read.get("attention", AUTO))
    except ValueError as error:
        raise RefusedError(400, f"options: {error}") from error
    if on_cluster and ("devices" in read or "device" in read):
        raise RefusedError(400, f"options: device and devices: {ALONE}")
    if read.get("shard") and "devices" not in read:
        raise RefusedError(400, "options: shard splits a model among several processes; say how many with devices")
    if confined and read.get("on", "here") != "here":
        raise RefusedError(400, "options: on names another machine, which only the owner of this server may do (--on)")
    if "devices" in read and read.get("on", "here") != "here":
        raise RefusedError(400, "options: devices and on would share the run twice; leave out one")
    return said
