"""What the files of models are that lie on this machine, for the engine's list of them."""

from __future__ import annotations

from pathlib import Path

from core.checkpoints.card import Card, card
from core.checkpoints.signatures import Use
from graph_runner.contract import Described, describes_models

LOADERS: dict[Use, str] = {
    "checkpoint": "load_checkpoint",
    "lora": "lora",
    "embedding": "textual_inversion",
    "control": "load_controlnet",
    "adapter": "load_t2i_adapter",
    "image_prompt": "load_ip_adapter",
    "image_encoder": "load_image_encoder",
}
OWN_LOADERS = {
    "KLAutoencoder": "load_autoencoder",
    "VQAutoencoder": "load_autoencoder",
    "UNet": "load_unet",
    "ClassEmbedder": "load_class_embedder",
    "NLayerDiscriminator": "load_discriminator",
    "ControlNet": "load_controlnet",
    "T2IAdapter": "load_t2i_adapter",
    "IPAdapter": "load_ip_adapter",
    "ImageEmbedder": "load_image_embedder",
}
"""By the class that a file or folder of ours names; `load_model` reads the others."""


@describes_models
def described(path: Path) -> Described | None:
    """What a file or folder is; None where it is no model."""
    found = card(path)
    if found is None:
        return None
    what = found.identity.name if found.identity is not None else "a file that cannot be read" if found.problem else "weights of an unknown model"  # fmt: skip
    return Described(
        what,
        found.listing.dtype if found.listing is not None else "",
        found.listing.parameters if found.listing is not None else 0,
        found.words,
        found.problem,
        shows_data=found.identity is not None and found.identity.use == "lora",
        loads=_loads(found),
    )


def _loads(found: Card) -> str:
    """The parameter that takes the path of a model."""
    if found.problem or found.identity is None:
        return ""
    kind = found.identity.kind
    loader = OWN_LOADERS.get(kind, "load_model") if kind else LOADERS.get(found.identity.use)
    return f"{loader}.path" if loader else ""
