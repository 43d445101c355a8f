"""The kinds of noise process that files may name: those of `core`, and those of packages that were imported."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from core.diffusion.edm import EDM
from core.diffusion.flow import RectifiedFlow
from core.diffusion.process import Process
from core.diffusion.schedule import NoiseSchedule

OURS: tuple[type[Process], ...] = (NoiseSchedule, RectifiedFlow, EDM)
FIRST = NoiseSchedule.__name__
"""The kind that files without one mean: there was no other at first."""


def from_dict(data: dict[str, Any]) -> Process:
    """Inverse of `Process.to_dict`. Nothing is imported for it.

    Raises ValueError for a kind that nobody brought, and for fields that are missing, unknown or no values for it.
    """
    kinds = {kind.__name__: kind for kind in (*_below(Process), *OURS)}
    if not isinstance(data, dict):
        raise ValueError(f"a noise process is kept as its fields by name, not as {type(data).__name__}")
    name = data.get("process", FIRST)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(
            f"unknown noise process {name!r}: there are {', '.join(sorted(kinds))}; is its package missing?"
        )
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "process"}
    known = [each.name for each in fields(kind)]
    if set(given) != set(known):
        raise ValueError(f"the fields of a {name} are {', '.join(known)}, not {', '.join(map(str, given)) or 'none'}")
    try:
        process: Process = kind(**given)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"a field of a {name} is no value for it: {error}") from error
    return process


def _below(kind: type[Any]) -> list[type[Any]]:
    return [found for each in kind.__subclasses__() for found in (each, *_below(each))]
