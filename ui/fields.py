"""From a parameter's widget to the component of a form, and from what is typed there to the parameter's value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio

from graph_runner.catalog.describe import describe
from graph_runner.catalog.widgets import NumberWidget, unwrapped
from graph_runner.contract import NodeSpec
from ui.refusal import RefusedError
from ui.workspace import Workspace, media_of

LONG_TEXT = 40
"""Characters from which a text gets several lines."""


EXACT = 2**53
"""Beyond it a browser's numbers are rounded: where a larger one may be meant, as a seed, digits are typed as a text."""


@dataclass(frozen=True)
class Field:
    """One parameter of a form: `reference` is "node.param"."""

    reference: str
    component: Any
    read: Callable[[Any, Workspace], Any]


def field_for(name: str, reference: str, spec: NodeSpec, param: str, typed: Any) -> Field:
    """The component that fits a parameter. Must be called inside a Blocks."""
    port = next(port for port in describe(spec)["inputs"] if port["name"] == param)
    value = typed if typed is not None else port.get("default")
    label = name.replace("_", " ")
    help = port["help"] or unwrapped(port["schema"])[0].get("description")
    shared: dict[str, Any] = {"label": label, "info": help}
    widget = port["widget"]
    match widget["kind"]:
        case "path" if widget["path"] != "folder":
            picture = media_of(str(value or "")).startswith("image/")
            component = (gradio.Image if picture else gradio.File)(label=label, type="filepath")
            return Field(reference, component, lambda given, workspace: _kept(given, value, workspace))
        case "choice":
            return Field(reference, gradio.Dropdown(widget["choices"], value=value, **shared), _as_is)
        case "toggle":
            return Field(reference, gradio.Checkbox(value=bool(value), **shared), _as_is)
        case "seed":
            return _digits(name, reference, value, shared)
        case "number" if widget["integer"] and (widget["max"] or 0) > EXACT:
            return _digits(name, reference, value, shared)
        case "number":
            return _number(reference, widget, value, shared)
        case "text" | "multiline" | "path":
            lines = 3 if widget["kind"] == "multiline" or len(str(value or "")) > LONG_TEXT else 1
            return Field(reference, gradio.Textbox(value=value, lines=lines, **shared), _as_is)
        case "lines":
            shared["info"] = f"{help or ''} (one on each line)".strip()
            text = "\n".join(value) if isinstance(value, list) else ""
            return Field(reference, gradio.Textbox(value=text, lines=3, **shared), _as_lines)
    shared["info"] = f"{help or ''} (JSON)".strip()
    return Field(reference, gradio.Textbox(value=json.dumps(value), **shared), _as_json(name))


def _number(reference: str, widget: NumberWidget, value: Any, shared: dict[str, Any]) -> Field:
    low, high, whole = widget["min"], widget["max"], widget["integer"]
    if widget["slider"] and low is not None and high is not None:
        component = gradio.Slider(low, high, value=value, step=1 if whole else (high - low) / 200, **shared)
    else:
        component = gradio.Number(value=value, precision=0 if whole else None, minimum=low, maximum=high, **shared)
    return Field(reference, component, _as_int if whole else _as_is)


def _digits(name: str, reference: str, value: Any, shared: dict[str, Any]) -> Field:
    return Field(reference, gradio.Textbox(value="" if value is None else str(value), **shared), _as_digits(name))


def _as_is(given: Any, _: Workspace) -> Any:
    return given


def _as_lines(given: Any, _: Workspace) -> Any:
    return str(given).split("\n") if given else []


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
