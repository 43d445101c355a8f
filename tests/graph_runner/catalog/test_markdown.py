"""The node reference, made from specifications alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import TypeAdapter

from graph_runner import zones
from graph_runner.catalog.describe import ports_of
from graph_runner.catalog.markdown import entry, limits, reference
from graph_runner.contract import Field
from graph_runner.contract.registry import Registry
from tests.graph_runner import slow_toys, toys


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (float, ""),
        (Annotated[float, Field(ge=0, le=30)], "0 … 30"),
        (Annotated[int, Field(ge=1)], "≥ 1"),
        (Annotated[float, Field(gt=0, lt=1)], "> 0, < 1"),
        (Annotated[float, Field(gt=0, le=1)], "> 0, ≤ 1"),
        (Annotated[int, Field(ge=0, le=2**63 - 1)], "≥ 0"),
        (Literal["ddim", "ddpm"], "`ddim`, `ddpm`"),
        (Literal["only"], "`only`"),
        (Annotated[int, Field(ge=1)] | None, "≥ 1"),
        (str | None, ""),
        (int | Literal["auto"], "integer or `auto`"),
        (list[int], ""),
        (tuple[int, int], "2 values"),
        (Annotated[list[Literal["a", "b"]], Field(min_length=1)], "≥ 1 values, each `a`, `b`"),
    ],
)
def test_limits_are_said_shortly(kind: object, said: str) -> None:
    assert limits(TypeAdapter(kind).json_schema()) == said


def test_an_entry_tells_everything_once() -> None:
    text = entry(slow_toys.gather.__node__)
    assert "| `n` | int | `3` | how many turns. |" in text
    assert text.count("how many turns") == 1, "the docstring's line stands in the table alone"
    assert "A zone" in text
    assert "more `n` it goes on" in text
    assert "tests/graph_runner/slow_toys.py" in text
    assert "| `path` | file |" in entry(slow_toys.length.__node__)


def test_the_reference_names_every_node_and_port(registry: Registry, tmp_path: Path) -> None:
    text = reference(registry.values(), tmp_path / "nodes.md")
    for spec in registry.values():
        section = text.partition(f"\n### {spec.type}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert spec.summary in section
        for port in ports_of(spec):
            assert f"| `{port.name}` |" in section or (port.name == "" and "| any names |" in section)
    assert "| `model` |" in text.partition("## Wires")[2].partition("## ")[0]


def test_sources_are_links_from_the_page(tmp_path: Path) -> None:
    docs = Path(zones.__file__).parents[1] / "docs" / "nodes.md"
    assert "[graph_runner/zones.py](../graph_runner/zones.py)" in entry(zones.repeat.__node__, docs)
    assert "Source: `tests/graph_runner/toys.py`." in entry(toys.add.__node__, tmp_path / "nodes.md")
