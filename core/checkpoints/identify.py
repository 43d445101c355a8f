"""What a model file or folder is, in words: for a refusal that helps, and for the list of a person's models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from core.checkpoints.diffusers_components import COMPONENTS
from core.checkpoints.diffusers_folder import PROJECTED, class_of
from core.checkpoints.files import CheckpointError
from core.checkpoints.listing import Listing, read_listing
from core.checkpoints.magic import HEAD, told_by_magic
from core.checkpoints.model_io import HEADER
from core.checkpoints.signatures import KIN, SIGNATURES, Use, base
from core.checkpoints.weights import naming, read_json

DENOISERS = ("unet", "transformer", "prior", "decoder")
"""Which parts of a pipeline predict."""

BESIDE: dict[str, Use] = {
    "ControlNetModel": "control",
    "T2IAdapter": "adapter",
    "CLIPVisionModelWithProjection": "image_encoder",
}
"""Classes of diffusers and transformers that are no part of a checkpoint here, and stand beside one."""

ADVICE: dict[Use, str] = {
    "checkpoint": "load it as a checkpoint",
    "lora": "load its base model and merge it into that",
    "embedding": "teach it to the text encoder of its base model",
    "features": "give it to the network that measures by it",
    "control": "load it as a ControlNet, and give it a picture beside its base model",
    "adapter": "load it as a T2I-Adapter, and give it a picture beside its base model",
    "image_prompt": "load it as an IP-Adapter, and give it a picture and an image encoder beside its base model",
    "image_encoder": "load it as an image encoder, for an IP-Adapter",
    "none": "it cannot be used here yet",
}


class Identity(NamedTuple):
    """What a file is. name: with its article. use: by what it is read here. advice: what to do with it. kind: of a single model of
    ours the name of its class, else ""."""

    name: str
    use: Use = "none"
    advice: str = ADVICE["none"]
    kind: str = ""

    def of(self, path: str | Path) -> str:
        """A sentence about the file, without a full stop."""
        return f"{path} is {self.name}; {self.advice}"


def identify(path: str | Path) -> Identity | None:
    """What lies at `path`; None where nothing is known of it. Raises CheckpointError where it cannot be read.

    Of a file only names and shapes are looked at, and what its first bytes say.
    """
    path = Path(path)
    with naming(path):
        if path.is_dir():
            return _folder(path)
        return foreign(path) or identity_of(read_listing(path))


def foreign(path: Path) -> Identity | None:
    """What a file is by its first bytes that is none of weights, nor an index of such; None for all others."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    weights = head[8:9] == b"{" or head.startswith((b"PK", b"\x80"))
    told = None if weights or path.name.endswith(".index.json") else told_by_magic(head)
    return None if told is None else Identity(told[0], "none", told[1])


def identity_of(listing: Listing) -> Identity | None:
    """What a file is that lists these tensors."""
    if HEADER in listing.metadata:
        try:
            kind = json.loads(listing.metadata[HEADER])["model"]
        except (KeyError, TypeError, ValueError):
            kind = None
        return _own(kind)
    for signature in SIGNATURES:
        if signature.fits(listing):
            name = signature.name
            if "{base}" in name:
                known = base(listing)
                name = name.replace("{base}", known) if known else name.replace(" for {base}", "")
            return Identity(name, signature.use, signature.instead or ADVICE[signature.use])
    return None


def _own(kind: object) -> Identity:
    named = kind if isinstance(kind, str) else ""
    told = f" ({named:.60})" if named else ""
    return Identity(f"a model of Latent Loom{told}", "checkpoint", ADVICE["checkpoint"], named)


def _folder(path: Path) -> Identity | None:
    if (path / "latent_diffusion.json").is_file():
        return _own(None)
    if (path / "adapter_config.json").is_file():
        return Identity("an adapter of peft", "lora", ADVICE["lora"])
    for name in ("model_index.json", "config.json"):
        if not (path / name).is_file():
            continue
        content = read_json(path / name)
        if HEADER in content:
            return _own(content.get("model"))
        if kind := class_of(content):
            if (beside := BESIDE.get(kind)) is not None and name == "config.json":
                return Identity(f"a {kind} (a folder of diffusers)", beside, ADVICE[beside])
            article = "an" if kind[:1] in "AEIO" else "a"
            advice = _unknown_in(content) if name == "model_index.json" else _unknown([kind])
            return Identity(
                f"{article} {kind:.60} (a folder of diffusers)",
                "none" if advice else "checkpoint",
                advice or KIN.get(kind, ADVICE["checkpoint"]),
            )
    return None


def _unknown_in(index: dict[str, Any]) -> str:
    """What of a pipeline cannot be used here; empty where all that matters can."""
    classes = {name: value[1] for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    second = classes.get("text_encoder_2") or PROJECTED
    several = "" if second == PROJECTED else "its several text encoders cannot be used here yet"
    return several or _unknown([str(classes[name]) for name in DENOISERS if classes.get(name)])


def _unknown(classes: list[str]) -> str:
    unknown = [each for each in classes if each not in COMPONENTS]
    return f"its {unknown[0]:.60} cannot be used here yet" if unknown else ""


def refusal(path: str | Path, error: CheckpointError, wanted: Use) -> CheckpointError:
    """The error in better words, where what lies at `path` is known and nothing of the wanted use."""
    try:
        known = identify(path)
    except CheckpointError:
        return error
    if known is None or known.use == wanted or known.name in str(error):
        return error
    return CheckpointError(f"{known.of(path)}.")
