"""What other programs write into their pictures: A1111's infotext, and the graph of ComfyUI; read as text, never run.

A1111 (and Forge, SD.Next) write the prompt, a line "Negative prompt: …", and a last line "Steps: 20, Sampler: Euler a, …" into a
PNG's text chunk `parameters` or a JPEG's or WebP's EXIF comment. ComfyUI writes its graph as JSON into the chunk `prompt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

LONGEST = 2**20
"""Characters of a text; a ComfyUI graph of a thousand nodes has fewer."""
MOST_NODES = 10_000
_KEY = re.compile(r"[A-Za-z0-9][\w \-/+]{0,60}")
_FEWEST = 3
"""Settings in a last line; one of fewer is a line of the prompt."""


class Infotext(NamedTuple):
    """What a picture was made with. settings: as the program names them, "Steps", "Sampler", "Seed", …, in its order."""

    prompt: str
    negative: str
    settings: dict[str, str]


def read_infotext(text: str) -> Infotext:
    """A1111's infotext. Raises ValueError, with the reason, for a text that is none."""
    if len(text) > LONGEST:
        raise ValueError(f"its text has {len(text):,} characters, and no infotext has more than {LONGEST:,}")
    *lines, last = text.strip().split("\n")
    settings = _settings(last)
    if len(settings) < _FEWEST:
        raise ValueError(
            f"its text ends in no line of settings such as “Steps: 20, Sampler: Euler a, …”: “{last[:60]}”"
        )
    prompt, negative = list[str](), list[str]()
    told = prompt
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            told = negative
        told.append(line.removeprefix("Negative prompt:").strip() if told is negative and not negative else line)
    return Infotext("\n".join(prompt).strip(), "\n".join(negative).strip(), settings)


def _settings(line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in _between_commas(line):
        key, colon, value = piece.partition(":")
        if colon and _KEY.fullmatch(key.strip()):
            found.setdefault(key.strip(), _unquoted(value.strip()))
    return found


def _between_commas(line: str) -> Iterator[str]:
    """The parts of a line; a comma within quotation marks parts nothing."""
    start, quoted, escaped = 0, False, False
    for place, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield line[start:place]
            start = place + 1
    yield line[start:]


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return read if isinstance(read, str) else value


def read_comfyui(text: str) -> Infotext:
    """What a graph in ComfyUI's API format says of its first sampler. Raises ValueError, with the reason, where there is none."""
    if len(text) > LONGEST:
        raise ValueError(f"its graph has {len(text):,} characters, and more than {LONGEST:,} are not read")
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its graph is no JSON: {error}") from error
    if not isinstance(graph, dict) or len(graph) > MOST_NODES:
        raise ValueError("its graph is no table of nodes")
    nodes = {str(name): node for name, node in graph.items() if isinstance(node, dict)}
    for node in nodes.values():
        given = _inputs(node)
        if {"steps", "cfg", "sampler_name"} <= given.keys() or {"sampler", "sigmas", "latent_image"} <= given.keys():
            return _of_sampler(nodes, given)
    raise ValueError("its graph holds no sampler that is known (KSampler, SamplerCustom)")


def _inputs(node: Mapping[str, Any]) -> dict[str, Any]:
    given = node.get("inputs")
    return given if isinstance(given, dict) else {}


def _of_sampler(nodes: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> Infotext:
    latent, model = (_found(nodes, given.get(port), keys) for port, keys in (("latent_image", ("width", "height")), ("model", ("ckpt_name", "unet_name"))))  # fmt: skip
    told = {
        "Steps": _plain(nodes, given.get("steps")),
        "Sampler": _plain(nodes, given.get("sampler_name")),
        "Schedule type": _plain(nodes, given.get("scheduler")),
        "CFG scale": _plain(nodes, given.get("cfg")),
        "Seed": _plain(nodes, given.get("seed", given.get("noise_seed"))),
        "Size": f"{latent['width']}x{latent['height']}" if {"width", "height"} <= latent.keys() else "",
        "Denoising strength": _plain(nodes, given.get("denoise")),
        "Model": _plain(nodes, model.get("ckpt_name", model.get("unet_name"))),
    }
    prompt, negative = (
        str(_found(nodes, given.get(port), ("text",)).get("text", "")) for port in ("positive", "negative")
    )
    return Infotext(prompt, negative, {name: value for name, value in told.items() if value})


def _plain(nodes: Mapping[str, Mapping[str, Any]], value: Any) -> str:
    """A literal, or that of a primitive node that is linked; empty where there is none."""
    if isinstance(value, list) and value and str(value[0]) in nodes:
        given = _inputs(nodes[str(value[0])])
        value = next((given[key] for key in ("value", "int", "float", "seed", "text") if key in given), None)
    return str(value) if isinstance(value, int | float | str) else ""


def _found(nodes: Mapping[str, Mapping[str, Any]], link: Any, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The literals of the nearest node upstream of a link that has one of these inputs as a literal."""
    waiting, seen = [link], set[str]()
    while waiting:
        link = waiting.pop(0)
        if not (isinstance(link, list) and link) or (name := str(link[0])) in seen or name not in nodes:
            continue
        seen.add(name)
        given = _inputs(nodes[name])
        literals = {key: value for key, value in given.items() if isinstance(value, int | float | str)}
        if any(key in literals for key in wanted):
            return literals
        waiting += given.values()
    return {}
