"""Stable Diffusion 3's text encoders in files: two CLIPs with projections and T5, in folders of their own each.

Here they are one conditioner, and their tokenizers one tokenizer: CLIP's, whose words both read, and T5's after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.checkpoints.diffusers_config import clip_to_transformers_config
from core.checkpoints.files import CheckpointError
from core.checkpoints.outline import outline
from core.checkpoints.text_keys import clip_to_transformers
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.tokenizer import TextTokenizer

State = dict[str, Tensor]
Config = dict[str, Any]

PROJECTED, T5 = "CLIPTextModelWithProjection", "T5EncoderModel"
T5_LENGTH = 256
"""Tokens of T5 in diffusers' pipeline, whose folders say 512."""

T5_SHAPE: Config = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "feed_forward_proj": "relu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
}
"""The arguments that transformers' T5Config and our T5TextEmbedder share, and transformers' defaults."""


def t5_from_transformers_config(theirs: Mapping[str, Any]) -> Config:
    """T5EncoderModel's configuration as `T5TextEmbedder`'s arguments."""
    return {name: theirs.get(name, default) for name, default in T5_SHAPE.items()}


def t5_from_files(state: Mapping[str, Tensor]) -> State:
    """`T5TextEmbedder`'s weights from T5EncoderModel's, where the table of tokens has one of two names, or both."""
    inner = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    if (table := state.get("shared.weight")) is not None:
        inner["embed_tokens.weight"] = table
    return {f"transformer.{key}": value for key, value in inner.items()}


def t5_to_transformers(conditioner: T5TextEmbedder) -> tuple[Config, State]:
    """A T5 as T5EncoderModel's configuration and weights."""
    inner = {key.removeprefix("transformer."): value for key, value in conditioner.state_dict().items()}
    table = inner.pop("embed_tokens.weight")
    ends = {"pad_token_id": conditioner.pad or 0, "eos_token_id": 1, "is_encoder_decoder": False, "use_cache": False}
    shape = {name: conditioner.config[name] for name in T5_SHAPE}
    config = {"architectures": [T5], "model_type": "t5"} | shape | ends
    return config, {"shared.weight": table} | {f"encoder.{key}": value for key, value in inner.items()}


def joined(
    encoders: Mapping[str, nn.Module], tokenizers: Mapping[str, TextTokenizer], context_dim: int, folder: str | Path
) -> dict[str, Any]:
    """The conditioner and the tokenizer of a pipeline's folder, by the names of their folders there.

    context_dim: of the transformer. Raises CheckpointError for encoders or tokenizers that do not belong together.
    """
    own = [tokenizers[name] for name in ("tokenizer", "tokenizer_2") if name in tokenizers]
    if len(own) > 1 and own[0].backend.get_vocab() != own[1].backend.get_vocab():
        raise CheckpointError(
            f"{folder}: tokenizer and tokenizer_2 know other words; its files do not belong together."
        )
    third = tokenizers.get("tokenizer_3")
    if third is not None:
        third = TextTokenizer(third.backend, min(third.length, T5_LENGTH), third.pad_token, third.kind)
    found = {"tokenizer": own[0].beside(third)} if own else {}
    first, second, t5 = (encoders.get(f"text_encoder{number}") for number in ("", "_2", "_3"))
    if not isinstance(first, SDXLTextEmbedder) or not isinstance(second, SDXLTextEmbedder):
        if encoders:
            raise CheckpointError(f"{folder} lacks text_encoder or text_encoder_2; get these folders too.")
        return found
    pads = [int(each.backend.token_to_id(each.pad_token) or 0) for each in own] or [first.end, 0]
    of_t5 = t5 if isinstance(t5, T5TextEmbedder) else None
    return {"conditioner": as_one(first, second, of_t5, context_dim, (pads[0], pads[-1]))} | found


def as_one(
    first: SDXLTextEmbedder,
    second: SDXLTextEmbedder,
    t5: T5TextEmbedder | None,
    context_dim: int,
    pads: tuple[int, int],
) -> SD3TextEmbedder:
    """All encoders as one conditioner, of the same weights. first, second: CLIPs with their projections, each alone."""
    config = {
        "clip_l": first.clip_g.config | {"skip": 0},
        "clip_g": second.clip_g.config | {"skip": 0},
        "t5": None if t5 is None else t5.config,
        "projection_dims": [first.config["projection_dim"], second.config["projection_dim"]],
        "context_dim": context_dim,
        "end": second.end,
        "pads": list(pads),
    }
    parts = {"1": first, "2": second} | ({} if t5 is None else {"3": t5})
    weights = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    both = outline(SD3TextEmbedder, config, weights)
    both.clip_l, both.clip_g, both.t5 = first.clip_g, second.clip_g, t5
    both.projection_l, both.projection_g = first.text_projection, second.text_projection
    return both.eval()


def components(conditioner: SD3TextEmbedder) -> dict[str, tuple[Config, State]]:
    """The folders of a pipeline that hold the encoders: configuration and weights of each.

    Raises ValueError where another number of layers than diffusers' pipeline leaves out is skipped.
    """
    if (skip := conditioner.skip) != 1:
        raise ValueError(f"a folder cannot say that a text encoder skips {skip} layers; save it with skip = 1")
    found = {}
    halves = ((conditioner.clip_l, conditioner.projection_l), (conditioner.clip_g, conditioner.projection_g))
    for name, (clip, projection) in zip(("text_encoder", "text_encoder_2"), halves, strict=True):
        config = clip_to_transformers_config(clip.config)
        config |= {"architectures": [PROJECTED], "projection_dim": projection.out_features}
        config |= {"bos_token_id": conditioner.end - 1, "eos_token_id": conditioner.end}
        weights = clip_to_transformers(clip.state_dict())
        found[name] = config, weights | {"text_projection.weight": projection.weight.detach()}
    return found | ({"text_encoder_3": t5_to_transformers(conditioner.t5)} if conditioner.t5 is not None else {})


def tokenizers_of(tokenizer: TextTokenizer, conditioner: SD3TextEmbedder) -> dict[str, TextTokenizer]:
    """A model's tokenizer by the names of its folders: one for each encoder, which pads as it reads."""
    own = tokenizer.beside(None).to_dict()
    found = {
        name: TextTokenizer.from_dict(own | {"pad_token": tokenizer.backend.id_to_token(pad)})
        for name, pad in zip(("tokenizer", "tokenizer_2"), conditioner.pads, strict=True)
    }
    if tokenizer.second is not None and conditioner.t5 is not None:
        found["tokenizer_3"] = tokenizer.second
    return found


def index_of(conditioner: SD3TextEmbedder) -> Config:
    """What the index of a Stable Diffusion 3 folder says beside its parts."""
    absent = ["feature_extractor", "image_encoder"]
    absent += ["text_encoder_3", "tokenizer_3"] if conditioner.t5 is None else []
    return {name: [None, None] for name in absent}


def whole(tokenizer: TextTokenizer | None, conditioner: SD3TextEmbedder) -> bool:
    """Whether this tokenizer gives each of the encoders what it reads."""
    return tokenizer is not None and (conditioner.t5 is None or tokenizer.second is not None)
