"""Widgets follow from schemas."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from graph_runner.catalog.describe import Catalog, describe, describe_all
from graph_runner.catalog.widgets import unwrapped, widget_of
from graph_runner.contract.registry import Registry


@pytest.mark.parametrize(
    ("schema", "default", "wanted"),
    [
        ({"type": "number", "minimum": 0, "maximum": 30}, 7.5, {"kind": "number", "slider": True, "integer": False}),
        ({"type": "integer", "minimum": 1}, 3, {"slider": False, "min": 1, "max": None}),
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 10}, None, {"min": 1, "slider": True}),
        ({"type": "integer", "minimum": 0, "maximum": 1001}, None, {"slider": False}),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 1e-4, {"slider": False, "min": 0, "max": 1}),
        ({"type": "number"}, None, {"kind": "number", "min": None, "max": None, "slider": False}),
        ({"enum": ["a", "b"], "type": "string"}, "a", {"kind": "choice", "choices": ["a", "b"]}),
        ({"const": 3}, None, {"kind": "choice", "choices": [3]}),
        ({"type": "boolean"}, False, {"kind": "toggle"}),
        ({"type": "string"}, "", {"kind": "text"}),
        ({"type": "string"}, "two\nlines", {"kind": "multiline"}),
        ({"type": "string", "format": "multiline"}, "", {"kind": "multiline"}),
        ({"type": "array", "items": {"type": "integer"}}, [], {"kind": "list", "item": "integer", "fixed": None}),
        ({"type": "array", "prefixItems": [{"type": "number"}] * 2, "minItems": 2, "maxItems": 2}, None,
         {"kind": "list", "item": "number", "fixed": 2}),
        ({"type": "array", "items": {"type": "string"}}, [], {"kind": "lines"}),
        ({"type": "array", "items": {"type": "string", "enum": ["a"]}}, [], {"kind": "list", "item": "string"}),
        ({"type": "array", "items": {"type": "object"}}, [], {"kind": "json"}),
        ({}, None, {"kind": "json"}),
    ],
)  # fmt: skip
def test_widgets_follow_from_schemas(schema: dict[str, Any], default: Any, wanted: dict[str, Any]) -> None:
    assert wanted.items() <= widget_of("p", schema, default).items()


def test_seeds_and_paths_are_known_by_their_name_and_their_mark() -> None:
    assert widget_of("seed", {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}) == {"kind": "seed"}
    assert widget_of("p", {"type": "string"}, "", "file") == {"kind": "path", "path": "file"}


def test_or_null_is_told_apart() -> None:
    either = {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}], "default": None}
    schema, nullable = unwrapped(either)
    assert (schema["type"], schema["minimum"], nullable) == ("integer", 2, True)
    union = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert unwrapped(union) == (union, False)


def test_every_parameter_of_every_node_has_its_widget() -> None:
    ports = [port for spec in Registry.installed().values() for port in describe(spec)["inputs"] if "schema" in port]
    kinds = {port["widget"]["kind"] for port in ports}
    assert {"number", "seed", "choice", "toggle", "text", "path", "list"} <= kinds
    assert all("nullable" in port for port in ports)


def test_the_catalogue_is_written_as_its_types_say() -> None:
    """Pydantic warns where a value is not of its type (an integer where a union says float): a server's log was full of it."""
    TypeAdapter(Catalog).dump_json(describe_all(Registry.installed().values()))
