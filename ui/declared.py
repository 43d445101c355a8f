"""How a call is declared: the mark on its method, the types of arguments that many share, and examples for the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from ui.schemas import Number

F = TypeVar("F", bound=Callable[..., Any])
AnyWorkflow = dict[str, Any] | str
RunNumber = Number
Name = Annotated[str, Field(max_length=4096)]
"""A path, or less; half characters are no part of it."""
Paths = Annotated[list[Name], Field(max_length=200)]
EXAMPLE = {"loom": 1, "nodes": {"noise": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8]}}}}
"""A workflow as small as one can be."""
BLUEPRINT = {"loom": 1, "definitions": {"guided": {"inputs": ["z"], "nodes": {}, "results": {"z": "inputs.z"}}}}
"""A workflow with a definition as small as one can be."""


def call(*, reads: bool = False, **example: Any) -> Callable[[F], F]:
    """Mark a method as a call. reads: it changes nothing, so GET will do. example: arguments, as the documentation shows them."""

    def mark(method: F) -> F:
        method.__call_reads__ = reads  # type: ignore[attr-defined]
        method.__call_example__ = example  # type: ignore[attr-defined]
        return method

    return mark
