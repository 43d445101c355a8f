"""What is known of a model's file without loading it: its kind, how large its weights are, and the words that call it up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import Identity, foreign, identify, identity_of
from core.checkpoints.listing import Listing, read_listing
from core.checkpoints.weights import SINGLE_FILES, naming, read_json

ENDINGS = (*SINGLE_FILES, ".gguf", ".onnx", ".h5", ".msgpack", ".sft")
FOLDERS = ("model_index.json", "latent_diffusion.json", "adapter_config.json", "config.json")
MOST_WORDS = 12


class Card(NamedTuple):
    """A model's file or folder. listing: None where it cannot be read or is a folder. problem: why it cannot be used here, or ""."""

    identity: Identity | None
    listing: Listing | None
    words: tuple[str, ...]
    problem: str


def card(path: str | Path) -> Card | None:
    """What is known of a file; None for what is no model by its name, or a folder without a description. Never raises."""
    path = Path(path)
    try:
        with naming(path):
            return _card(path)
    except CheckpointError as error:
        return Card(None, None, (), str(error))


def _card(path: Path) -> Card | None:
    listing = None
    if path.is_dir():
        identity = identify(path) if any((path / name).is_file() for name in FOLDERS) else None
        if identity is None:
            return None
    elif path.suffix.lower() not in ENDINGS:
        return None
    elif (identity := foreign(path)) is None:
        listing = read_listing(path)
        identity = identity_of(listing)
    problem = identity.advice if identity is not None and identity.use == "none" else ""
    return Card(identity, listing, tuple(dict.fromkeys(_words(path, listing)))[:MOST_WORDS], problem)


def _words(path: Path, listing: Listing | None) -> Iterator[str]:
    """Trigger words: those of the header, of Civitai's or A1111's file beside it, and else of the folders it was trained on."""
    header = listing.metadata if listing is not None else {}
    yield from _split(header.get("modelspec.trigger_phrase", ""))
    for ending, name in (
        (".civitai.info", "trainedWords"),
        (".json", "activation text"),
        (".metadata.json", "trainedWords"),
    ):
        beside = path.with_name(path.stem + ending)
        if beside.is_file():
            try:
                content: Mapping[str, Any] = read_json(beside)
            except CheckpointError:
                continue  # of somebody else's program: the model is none the worse for it
            content = content.get("civitai", content) if isinstance(content.get("civitai"), dict) else content
            yield from _split(content.get(name, ""))
    yield from _trained_on(header)


def _split(words: Any) -> Iterator[str]:
    texts = words if isinstance(words, list) else [words]
    for text in texts:
        if isinstance(text, str):
            yield from (word.strip()[:80] for word in text.split(",") if word.strip())


def _trained_on(header: Mapping[str, str]) -> Iterator[str]:
    """Of kohya's folders `10_sks dog` the name, which its captions begin with."""
    try:
        counts = json.loads(header.get("ss_tag_frequency", "{}"))
    except (RecursionError, ValueError):
        return
    for folder in counts if isinstance(counts, dict) else ():
        if match := re.fullmatch(r"\d+_(.{1,80})", folder):
            yield match[1].strip()
