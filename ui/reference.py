"""From the server's OpenAPI document to a page for people (ui/API.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

HEAD = "<!-- Made by `python -m ui.openapi` from the server's own description. Do not edit. -->"
MESSAGES = ("ServerMessage", "ClientMessage")


def markdown(document: dict[str, Any]) -> str:
    """The page: each call with its arguments, answer and example, the messages, the shapes."""
    schemas = document["components"]["schemas"]
    lines = [HEAD, "", f"# {document['info']['title']}", "", *document["info"]["description"].splitlines()]
    for tag in document["tags"]:
        lines += ["", f"## {tag['name']}", "", *tag["description"].splitlines()]
        for path, operations in document["paths"].items():
            methods = {method: said for method, said in operations.items() if tag["name"] in said["tags"]}
            if methods:
                lines += _route(path, methods, schemas)
        if tag["name"].startswith("Live"):
            lines += _messages(schemas)
    lines += ["", "## Shapes", ""]
    lines += ["A field with `?` may be absent. Times are seconds since 1970."]
    told = {name for name in schemas if name.endswith(("Arguments", "Event", *MESSAGES))} | set(_kinds(schemas))
    for name, schema in schemas.items():
        if name not in told:
            lines += _shape(name, schema)
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _route(path: str, methods: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    said = methods.get("post") or methods["get"]
    call = path.removeprefix("/api/")
    yield from ("", f"### `{call}`" if call != path else f"### `{next(iter(methods)).upper()} {path}`", "")
    yield from (said["summary"], "")
    if said.get("description"):
        yield from (" ".join(said["description"].splitlines()), "")
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields = schemas.get(_referred(body.get("schema", {})), {}).get("properties", {})
    if fields:
        yield from ("| argument | | default |", "|-|-|-|")
        for name, inner in fields.items():
            default = f"`{json.dumps(inner['default'])}`" if "default" in inner else "required"
            kind = typed(inner).replace("|", "\\|")
            yield f"| `{name}` | `{kind}`{_limits(inner)} | {default} |"
        yield ""
    parameters = [f"`{one['name']}`" for one in said.get("parameters", []) if one["in"] == "query"]
    if parameters and not body:
        yield from (f"In the address: {', '.join(parameters)}.", "")
    answer = said["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
    reads = " It only reads: `GET` will do." if "get" in methods and "post" in methods else ""
    yield f"Answers `{typed(answer)}`.{reads}" if answer else "Answers the file."
    if "example" in body:
        yield from ("", "```http", f"POST {path}", json.dumps(body["example"], ensure_ascii=False), "```")


def _messages(schemas: dict[str, Any]) -> Iterator[str]:
    """What the server and the page say, and the events."""
    yield from ("", "### What the server says")
    for name in _kinds(schemas):
        yield from _shape(name, schemas[name])
    yield from ("", "### What the page says")
    yield from _shape("ClientMessage", schemas["ClientMessage"])
    yield from ("", "### Events of a run", "", "Each has its number `n` and its `time`.")
    for schema in (schemas[name] for name in schemas if name.endswith("Event")):
        fields = {name: inner for name, inner in schema["properties"].items() if name not in ("n", "time", "event")}
        written = _fields({**schema, "properties": fields})
        about = " ".join(schema.get("description", "").split())
        yield from ("", f"`{schema['properties']['event']['const']}` {about}", "", "```ts", written, "```")


def _kinds(schemas: dict[str, Any]) -> list[str]:
    """The forms of what the server says."""
    return [_referred(option) for option in schemas["ServerMessage"]["anyOf"]]


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    about = " ".join(schema.get("description", "").split())
    yield from ("", f"**{name}** {about}".rstrip(), "", "```ts", _fields(schema), "```")


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    fields = (
        f"{name}{'' if name in required else '?'}: {typed(inner)}" for name, inner in schema["properties"].items()
    )
    return "{ " + ", ".join(fields) + " }"


def _referred(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _limits(schema: dict[str, Any]) -> str:
    """The bounds of a number, the largest size of a list."""
    words = []
    if "minimum" in schema and schema["minimum"] != 0:
        words.append(f"at least {int(schema['minimum']):,}")
    if "maximum" in schema and schema["maximum"] < 2**53:
        words.append(f"at most {int(schema['maximum']):,}")
    if "maxItems" in schema:
        words.append(f"{schema['maxItems']} at most")
    return ", " + ", ".join(words) if words else ""


def typed(schema: dict[str, Any]) -> str:
    """A type in a line, as TypeScript writes it."""
    if "$ref" in schema:
        return _referred(schema)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(choice) for choice in schema["enum"])
    if options := schema.get("anyOf"):
        if all(_referred(option).endswith("Event") for option in options):
            return "RunEvent"
        return " | ".join(dict.fromkeys(typed(option) for option in options))
    match schema.get("type"):
        case "integer" | "number":
            return "number"
        case "array":
            inner = typed(schema.get("items", {}))
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        case "object":
            values = schema.get("additionalProperties")
            return f"{{[name]: {typed(values)}}}" if isinstance(values, dict) else "object"
    return str(schema.get("type", "any"))
