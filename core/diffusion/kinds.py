"""Noise processes out of files: the kinds of `core`, and those of packages that were scanned for nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import PROCESSES, Process, Scheduler
from core.diffusion.schedule import NoiseSchedule

FIRST = PROCESSES.name_of(NoiseSchedule)
"""The kind that files without one mean: there was no other at first."""

for kind in (NoiseSchedule, RectifiedFlow, EDM):
    PROCESSES.add(kind)


def from_dict(data: dict[str, Any]) -> Process:
    """Inverse of `Process.to_dict`. Nothing is imported for it.

    Raises ValueError for a kind that is not listed, and for fields that are missing, unknown or no values for it.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a noise process is kept as its fields by name, not as {type(data).__name__}")
    name = str(data.get("process", FIRST))
    kind = PROCESSES.find(name)
    given = {key: _frozen(value) for key, value in data.items() if key not in ("process", "scheduler")}
    known = [each.name for each in fields(kind) if each.name != "scheduler"]  # type: ignore[arg-type]  # each subclass is a dataclass
    if set(given) != set(known):
        raise ValueError(f"the fields of a {name} are {', '.join(known)}, not {', '.join(map(str, given)) or 'none'}")
    if "scheduler" in data:
        given["scheduler"] = scheduler(data["scheduler"])
    try:
        return kind(**given)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"a field of a {name} is no value for it: {error}") from error


def scheduler(config: Any) -> Scheduler:
    """A configuration of a scheduler as a process keeps it; numbers that are none, which stand for defaults, are left out.

    Raises ValueError for what is no table of options.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise ValueError("a scheduler is kept as its options by name")
    return tuple((name, _frozen(value)) for name, value in config.items() if not _endless(value))


def _endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
