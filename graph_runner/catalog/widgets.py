"""Which widget a parameter gets, decided by its JSON Schema alone: the canvas and the forms draw the same."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads those of `typing` from Python 3.12 on

PathKind = Literal["file", "folder", "file or folder"]
WIDEST_SLIDER = 1000
"""A wider range is typed: on a slider it could not be hit."""


class NumberWidget(TypedDict):
    """A number; null is no bound. slider: whether its range can be hit with a hand."""

    kind: Literal["number"]
    integer: bool
    min: int | float | None
    max: int | float | None
    slider: bool


class ChoiceWidget(TypedDict):
    """One of several values."""

    kind: Literal["choice"]
    choices: list[Any]


class PathWidget(TypedDict):
    """A file or folder of the workspace."""

    kind: Literal["path"]
    path: PathKind


class ListWidget(TypedDict):
    """Values between commas. fixed: how many there must be, null is any number."""

    kind: Literal["list"]
    item: Literal["integer", "number", "string"]
    fixed: int | None


class PlainWidget(TypedDict):
    """What needs no more than its kind. lines: texts, one on each line. json: whatever has no widget of its own."""

    kind: Literal["seed", "toggle", "text", "multiline", "lines", "json"]


Widget = NumberWidget | ChoiceWidget | PathWidget | ListWidget | PlainWidget


def widget_of(name: str, schema: dict[str, Any], default: Any = None, path: PathKind | None = None) -> Widget:
    """The widget of a parameter, by its name, schema (without "or null"), default, and the kind of path it names."""
    if "enum" in schema or "const" in schema:
        return {"kind": "choice", "choices": schema.get("enum", [schema.get("const")])}
    if path is not None:
        return {"kind": "path", "path": path}
    match schema.get("type"):
        case "boolean":
            return {"kind": "toggle"}
        case "integer" | "number":
            return _number(name, schema, default)
        case "string":
            long = schema.get("format", schema.get("widget")) in ("multiline", "textarea")
            return {"kind": "multiline" if long or (isinstance(default, str) and "\n" in default) else "text"}
        case "array":
            return _list(schema)
    if [option.get("type") for option in schema.get("anyOf", ())] == ["boolean", "number"]:  # a condition
        return {"kind": "toggle"}
    return {"kind": "json"}


def unwrapped(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A schema without its "or null", and whether that was there."""
    options = schema.get("anyOf", [])
    rest = [option for option in options if option.get("type") != "null"]
    if len(rest) == 1 < len(options):
        return {**schema, **rest[0]}, True
    return schema, False


def _number(name: str, schema: dict[str, Any], default: Any) -> Widget:
    integer = schema["type"] == "integer"
    if integer and name == "seed":
        return {"kind": "seed"}
    step = 1 if integer else 0
    low, high = (
        _bound(schema, "minimum", "exclusiveMinimum", step),
        _bound(schema, "maximum", "exclusiveMaximum", -step),
    )
    slider = False
    if low is not None and high is not None:
        usual = default if isinstance(default, int | float) else low
        fine = not integer and low < usual < low + (high - low) / 50  # a rate far below its bound
        slider = high - low <= WIDEST_SLIDER and not fine
    return {"kind": "number", "integer": integer, "min": low, "max": high, "slider": slider}


def _bound(schema: dict[str, Any], within: str, beyond: str, step: int) -> float | None:
    if within in schema:
        bound: float = schema[within]
        return bound
    return schema[beyond] + step if beyond in schema else None


def _list(schema: dict[str, Any]) -> Widget:
    first = (schema.get("prefixItems") or [schema.get("items", {})])[0]
    item = first.get("type")
    if item not in ("integer", "number", "string"):
        return {"kind": "json"}
    if item == "string" and "items" in schema and "enum" not in schema["items"]:
        return {"kind": "lines"}
    counts = schema.get("minItems"), schema.get("maxItems")
    return {"kind": "list", "item": item, "fixed": counts[0] if counts[0] == counts[1] else None}
