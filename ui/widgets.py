"""From a parameter's JSON Schema to the component of a form, and from what is typed there to the parameter's value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio

from graph_runner.catalog.describe import describe
from graph_runner.contract import NodeSpec
from ui.refusal import RefusedError
from ui.workspace import Workspace, media_of

LONG_TEXT = 40
"""Characters from which a text gets several lines."""
SLIDER_SPAN = 1000
"""A wider range is typed: on a slider it could not be hit."""


EXACT = 2**53
"""Beyond it a browser's numbers are rounded: where a larger one may be meant, as a seed, digits are typed as a text."""


@dataclass(frozen=True)
class Widget:
    """One parameter of a form: `reference` is "node.param"."""

    reference: str
    component: Any
    read: Callable[[Any, Workspace], Any]


def widget_for(name: str, reference: str, spec: NodeSpec, param: str, typed: Any) -> Widget:
    """The component that fits a parameter. Must be called inside a Blocks."""
    port = next(port for port in describe(spec)["inputs"] if port["name"] == param)
    schema = _plain(port["schema"])
    value = typed if typed is not None else port.get("default")
    label, help = name.replace("_", " "), port["help"] or schema.get("description")
    shared: dict[str, Any] = {"label": label, "info": help}
    if port.get("path") in ("file", "file or folder"):
        picture = media_of(str(value or "")).startswith("image/")
        component: Any = (
            gradio.Image(label=label, type="filepath") if picture else gradio.File(label=label, type="filepath")
        )
        return Widget(reference, component, lambda given, workspace: _kept(given, value, workspace))
    choices = schema.get("enum")
    if choices:
        return Widget(reference, gradio.Dropdown(choices, value=value, **shared), _as_is)
    match schema.get("type"):
        case "boolean":
            return Widget(reference, gradio.Checkbox(value=bool(value), **shared), _as_is)
        case "integer" | "number" as kind:
            low = schema.get("minimum", schema.get("exclusiveMinimum"))
            high = schema.get("maximum", schema.get("exclusiveMaximum"))
            whole = kind == "integer"
            if whole and high is not None and high > EXACT:
                return Widget(
                    reference, gradio.Textbox(value="" if value is None else str(value), **shared), _as_digits(name)
                )
            if low is not None and high is not None and high - low <= SLIDER_SPAN:
                step = 1 if whole else (high - low) / 200
                component = gradio.Slider(low, high, value=value, step=step, **shared)
            else:
                component = gradio.Number(
                    value=value, precision=0 if whole else None, minimum=low, maximum=high, **shared
                )
            return Widget(reference, component, _as_int if whole else _as_is)
        case "string":
            lines = 3 if value is not None and len(str(value)) > LONG_TEXT else 1
            return Widget(reference, gradio.Textbox(value=value, lines=lines, **shared), _as_is)
    shared["info"] = f"{help or ''} (JSON)".strip()
    return Widget(reference, gradio.Textbox(value=json.dumps(value), **shared), _as_json(name))


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its "or null"."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    return {**schema, **options[0]} if len(options) == 1 else schema


def _as_is(given: Any, _: Workspace) -> Any:
    return given


def _as_int(given: Any, _: Workspace) -> Any:
    return int(given) if given is not None else None


def _as_digits(name: str) -> Callable[[Any, Workspace], Any]:
    def read(given: Any, _: Workspace) -> Any:
        text = str(given if given is not None else "").strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,100}", text):
            raise RefusedError(400, f"{name}: {text[:40]!r} is no whole number")
        return int(text)

    return read


def _as_json(name: str) -> Callable[[Any, Workspace], Any]:
    def read(given: Any, _: Workspace) -> Any:
        try:
            return json.loads(given)
        except (TypeError, ValueError) as error:
            raise RefusedError(400, f"{name}: {given!r} is no JSON ({error})") from error

    return read


def _kept(given: str | None, before: Any, workspace: Workspace) -> Any:
    """The path of an uploaded file, copied into the workspace; without one the workflow's own."""
    return before if given is None else workspace.keep(Path(given), Path(given).name).path
