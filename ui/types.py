"""`python -m ui.types`: the TypeScript types of everything the server takes and sends, from the Python models.

`--check` changes nothing and fails where the file is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from graph_runner.base.files import write_atomically
from graph_runner.format.workflow import Workflow
from ui import models
from ui.calls import CALLS
from ui.models import EVENTS, RunEvent

TARGET = Path(__file__).parent / "web" / "src" / "generated.ts"
HEAD = "// Made by `python -m ui.types` from the Python models. Do not edit.\n"
NAMES = {
    "Node": "WorkflowNode",
    "Body": "WorkflowBody",
    "Definition": "WorkflowDefinition",
    "Port": "PortSpec",
    "Worker": "WorkerState",
}
"""Names that mean something else in a browser, or too much."""
MESSAGES = """
/** What the server says over the WebSocket. */
export type ServerMessage =
  | { hello: About; queue: Queue }
  | { runs: Run[] }
  | { removed: number[] }
  | { workers: WorkerState[] }
  | { run: number; events: RunEvent[] }
  | { caught_up: number; n: number }
  | { workflows: true }
  | { error: string };

/** What the page says. */
export type ClientMessage =
  | { subscribe: number; after?: number; brief?: boolean; metrics?: boolean }
  | { unsubscribe: number };
"""


class Writer:
    """Writes each definition of the schemas it meets once."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def type_of(self, adapter: TypeAdapter[Any], mode: Any) -> str:
        """The TypeScript type of what an adapter takes ("validation") or gives ("serialization")."""
        schema = adapter.json_schema(mode=mode, ref_template="{model}")
        self._define(schema.pop("$defs", {}))
        title = schema.get("title")
        if title and schema.get("type") == "object" and "properties" in schema:
            self._define({title: schema})
            return _name(title)
        return self._type(schema)

    def _define(self, definitions: dict[str, Any]) -> None:
        for title, schema in definitions.items():
            self.written.setdefault(_name(title), self._declaration(_name(title), schema))

    def _declaration(self, name: str, schema: dict[str, Any]) -> str:
        about = _comment(schema.get("description", ""))
        if "properties" not in schema:
            return f"{about}export type {name} = {self._type(schema)};\n"
        return f"{about}export interface {name} {self.members(schema)}\n"

    def members(self, schema: dict[str, Any], first: str = "") -> str:
        """An object type's braces and what is in them."""
        required = set(schema.get("required", []))
        lines = [first] if first else []
        for name, inner in schema.get("properties", {}).items():
            kind = self._type(inner)
            if name == "workflow" and "number" not in kind:  # any object to Python, which checks it itself
                kind = kind.replace("Record<string, unknown>", "Workflow").replace("unknown", "Workflow")
            lines.append(f"  {name}{'' if name in required else '?'}: {kind};\n")
        return "{\n" + "".join(lines) + "}" if lines else "Record<string, never>"

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            return _name(schema["$ref"])
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return " | ".join(json.dumps(choice) for choice in schema["enum"])
        if options := schema.get("anyOf", schema.get("oneOf")):
            return " | ".join(dict.fromkeys(self._type(option) for option in options))
        match schema.get("type"):
            case "string":
                return "string"
            case "integer" | "number":
                return "number"
            case "boolean":
                return "boolean"
            case "null":
                return "null"
            case "array" if "prefixItems" in schema:
                return f"[{', '.join(self._type(item) for item in schema['prefixItems'])}]"
            case "array":
                inner = self._type(schema.get("items", {}))
                return f"({inner})[]" if "|" in inner else f"{inner}[]"
            case "object":
                patterns = list(schema.get("patternProperties", {}).values())
                values = patterns[0] if patterns else schema.get("additionalProperties", {})
                return f"Record<string, {self._type(values if isinstance(values, dict) else {})}>"
        return "unknown"


def generate() -> str:
    """The text of the file."""
    writer = Writer()
    writer.type_of(TypeAdapter(Workflow), "validation")
    writer.type_of(TypeAdapter(models.Refusal), "serialization")
    events = list(_events(writer))
    calls = list(_calls(writer))
    return "\n".join([
        HEAD,
        *(writer.written[name] for name in sorted(writer.written)),
        *(text for _, text in events),
        "/** An event of a run's stream; `event` is its kind. */\nexport type RunEvent =\n"
        + "".join(f"  | {name}\n" for name, _ in events).rstrip() + ";\n",
        "/** Every call: its arguments and its answer. */\nexport interface Calls {\n" + "".join(calls) + "}",
        MESSAGES,
    ])  # fmt: skip


def _events(writer: Writer) -> Iterator[tuple[str, str]]:
    """Each kind of event: its fields, its number and time; what holds nothing is left out of a message."""
    for kind in EVENTS:
        name = f"{kind.__name__}Event"
        schema = TypeAdapter(kind).json_schema(ref_template="{model}")
        writer._define(schema.pop("$defs", {}))
        optional = {f.name for f in fields(kind) if f.default is not MISSING}
        schema["required"] = [field for field in schema["properties"] if field not in optional]
        if kind.__name__ == "Metric":
            schema["properties"]["values"]["additionalProperties"] = {"anyOf": [{"type": "number"}, {"type": "null"}]}
        if kind.__name__ == "Ended":
            schema["properties"]["status"]["enum"] = ["done", "failed", "stopped", "interrupted"]
        head = f'  event: "{kind.__name__.lower()}";\n  n: number;\n  time: number;\n'
        about = _comment(schema.get("description", ""))
        yield name, f"{about}export interface {name} {writer.members(_without_null(schema), head)}\n"


def _calls(writer: Writer) -> Iterator[str]:
    for call in CALLS.values():
        schema = call.arguments.model_json_schema(ref_template="{model}")
        writer._define(schema.pop("$defs", {}))
        arguments = writer.members(schema).replace("\n  ", " ").replace("\n", " ")
        answer = "RunEvent[]" if call.answer._type == list[RunEvent] else writer.type_of(call.answer, "serialization")
        yield f"  {_comment(call.help)}  {call.name}: {{ arguments: {arguments}; answer: {answer} }};\n"


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An optional field of an event is left out, never null."""
    for inner in schema["properties"].values():
        options = [option for option in inner.get("anyOf", []) if option.get("type") != "null"]
        if options and len(options) < len(inner["anyOf"]):
            inner["anyOf"] = options
    return schema


def _name(title: str) -> str:
    title = title.rpartition("__")[2]
    return NAMES.get(title, title)


def _comment(text: str) -> str:
    """A documentation comment; its first paragraph is enough for an editor."""
    line = " ".join(text.partition("\n\n")[0].split())
    return f"/** {line} */\n" if line else ""


def main() -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser("python -m ui.types", description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = generate()
    if not parser.parse_args().check:
        write_atomically(TARGET, text.encode())
        return 0
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    print(f"{TARGET} is out of date: run python -m ui.types", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
