"""References, as wires and exposed names write them: `node`, `node.port` or `node.port.name`; and the forms of wires.

A wire is written as one reference, as a list of them, or as a mapping where the user names them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def split(reference: str) -> tuple[str, str]:
    """The first part of a reference, and all that follows it: node and port, or of what follows port and name."""
    head, _, rest = reference.partition(".")
    return head, rest


def joined(*parts: str) -> str:
    """The reference of these parts; those that are empty are left out."""
    return ".".join(filter(None, parts))


def references_in(wired: Any) -> list[str]:
    """Every reference in a wire of any form."""
    return [wired] if isinstance(wired, str) else [*(wired.values() if isinstance(wired, dict) else wired)]


def nodes_in(wired: Any) -> list[str]:
    """The node of every reference in a wire of any form."""
    return [split(reference)[0] for reference in references_in(wired)]


def mapped(wired: Any, follow: Callable[[str], Any]) -> Any:
    """A wire of the same form, with what `follow` gives for each reference; None leaves one out of a list or mapping."""
    if isinstance(wired, str):
        return follow(wired)
    if isinstance(wired, dict):
        return {name: kept for name, reference in wired.items() if (kept := follow(reference)) is not None}
    return [kept for reference in wired if (kept := follow(reference)) is not None]
