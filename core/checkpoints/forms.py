"""A single file's weights under CompVis' names, in whichever of the forms that people have it was saved.

Other programs leave prefixes out, put their own before (`vae.`, `clip_l.`, `module.`), or write diffusers' names without the
configuration that goes with them. What is a part of nothing here is left as it is, and refused later by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from core.checkpoints.diffusers_keys import LEAVES
from core.models.blocks import ResBlock

UNET, FIRST_STAGE, CONDITIONER = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."

State = dict[str, Tensor]

WRAPPERS = ("module.", "_orig_mod.", "state_dict.")
"""What trainers put before all names: torch's data parallelism, its compiler, Lightning."""
PREFIXES = {
    "diffusion_model.": UNET,
    "unet.": UNET,
    "transformer.": UNET,
    "vae.": FIRST_STAGE,
    "text_encoder.": CONDITIONER,
    "text_encoders.": CONDITIONER,
    "clip_l.": CONDITIONER,
    "clip_h.": CONDITIONER,
}
"""What other programs put before the names of each part, and CompVis' prefix for it."""
BLOCKS = {
    "transformer.": tuple(f"transformer.{blocks}." for blocks in ("transformer_blocks", "joint_blocks", "blocks"))
}
"""How a name goes on behind a prefix that a text encoder's may have too."""
WITHOUT = (
    (
        r"(?:input_blocks|middle_block|output_blocks|joint_blocks|t_block)\.|down_blocks\.\d+\.(?:resnets|attentions)\.",
        UNET,
    ),
    (r"(?:encoder|decoder)\.conv_in\.", FIRST_STAGE),
    (r"(?:transformer\.)?(?:text_model\.)?embeddings\.token_embedding\.|transformer\.token_emb\.", CONDITIONER),
    (r"(?:model\.)?token_embedding\.weight$", CONDITIONER),
    (r"channel_mapper\.", CONDITIONER),
)
"""By which names a part is known that has no prefix at all."""


def in_compvis_names(state: Mapping[str, Tensor]) -> State:
    """The tensors as one CompVis file has them: `model.diffusion_model.`, `first_stage_model.`, `cond_stage_model.` and others."""
    state = _unwrapped(state)
    if not any(key.startswith((UNET, FIRST_STAGE, CONDITIONER)) for key in state):
        state = _with_prefix(state)
    for prefix, translate in ((UNET, unet_names), (FIRST_STAGE, _autoencoder_names)):
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if any(re.match(r"(?:encoder\.|decoder\.)?(?:down|up)_blocks\.", key) for key in own):
            names = translate(own)
            rest = {key: value for key, value in state.items() if not key.startswith(prefix)}
            state = rest | {prefix + names(key): _as_convolution(names(key), value) for key, value in own.items()}
    return state


def _unwrapped(state: Mapping[str, Tensor]) -> State:
    """Without what stands before all names; the compiler's mark also goes from within."""
    state = {key.replace("._orig_mod.", "."): value for key, value in state.items()}
    while wrapper := next((each for each in WRAPPERS if state and all(key.startswith(each) for key in state)), None):
        state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state


def _with_prefix(state: State) -> State:
    """Under CompVis' prefixes: the parts that have others, or the one part that has none."""
    if known := [each for each in PREFIXES if any(key.startswith(BLOCKS.get(each, each)) for key in state)]:
        renamed: State = {}
        for key, value in state.items():
            prefix = next((each for each in known if key.startswith(each)), "")
            renamed[PREFIXES[prefix] + key.removeprefix(prefix) if prefix else key] = value
        return renamed
    if any(key.startswith(("lora_", "conditioner.")) or ".lora_" in key for key in state):
        return state
    for pattern, prefix in WITHOUT:
        if any(re.match(pattern, key) for key in state):
            openclip = prefix == CONDITIONER and "token_embedding.weight" in state
            prefix += "model." if openclip else ""
            return {key if key == "scale_factor" else prefix + key: value for key, value in state.items()}
    return state


Names = Callable[[str], str]

RESIDUAL = {theirs: ours for ours, theirs in LEAVES[ResBlock].items()}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "class_embedding": "label_emb",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.attentions.0": "middle_block.1",
}


def unet_names(state: Mapping[str, Tensor]) -> Names:
    """diffusers' names of a UNet with a context, told from the names alone: how many blocks a level has shows there."""
    blocks = count(state, r"down_blocks\.0\.resnets\.(\d+)\.")

    def name(key: str) -> str:
        path, _, leaf = key.rpartition(".")
        if (end := UNET_ENDS.get(path)) is not None:
            return f"{end}.{leaf}"
        if match := re.match(r"mid_block\.attentions\.0\.(.+)", key):
            return f"middle_block.1.{match[1]}"
        if match := re.match(r"mid_block\.resnets\.([01])\.(.+)\.(\w+)$", key):
            return f"middle_block.{2 * int(match[1])}.{RESIDUAL.get(match[2], match[2])}.{match[3]}"
        match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key)
        if match is None:
            return key
        down, level, kind, j, rest = match[1] == "down", int(match[2]), match[3], int(match[4]), match[5]
        if kind == "downsamplers":
            return f"input_blocks.{(level + 1) * (blocks + 1)}.0.{rest.replace('conv.', 'op.')}"
        if kind == "upsamplers":
            attended = any(each.startswith(f"up_blocks.{level}.attentions.") for each in state)
            return f"output_blocks.{level * (blocks + 1) + blocks}.{1 + attended}.{rest}"
        place = f"input_blocks.{1 + level * (blocks + 1) + j}" if down else f"output_blocks.{level * (blocks + 1) + j}"
        if kind == "attentions":
            return f"{place}.1.{rest}"
        module, _, parameter = rest.rpartition(".")
        return f"{place}.0.{RESIDUAL.get(module, module)}.{parameter}"

    return name


ATTENTION = {
    "group_norm": "norm",
    "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
    "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out",
}  # fmt: skip


def _autoencoder_names(state: State) -> Names:
    """diffusers' names of an autoencoder."""
    levels = count(state, r"(?:encoder\.down|decoder\.up)_blocks\.(\d+)\.")

    def name(key: str) -> str:
        key = key.replace(".conv_norm_out.", ".norm_out.").replace(".conv_shortcut.", ".nin_shortcut.")
        if match := re.match(r"(encoder|decoder)\.mid_block\.resnets\.([01])\.(.+)", key):
            return f"{match[1]}.mid.block_{int(match[2]) + 1}.{match[3]}"
        match = re.match(r"(encoder|decoder)\.(.+)\.attentions\.(\d+)\.(.+)\.(\w+)$", key)
        if match is not None:
            where = "mid.attn_1" if match[2] == "mid_block" else f"{_level(match[2], levels)}.attn.{match[3]}"
            return f"{match[1]}.{where}.{ATTENTION.get(match[4], match[4])}.{match[5]}"
        match = re.match(r"(encoder|decoder)\.((?:down|up)_blocks\.\d+)\.(resnets|\w+samplers)\.(\d+)\.(.+)", key)
        if match is None:
            return key
        part = f"block.{match[4]}" if match[3] == "resnets" else match[3].removesuffix("rs")
        return f"{match[1]}.{_level(match[2], levels)}.{part}.{match[5]}"

    return name


def _level(theirs: str, levels: int) -> str:
    """A level of diffusers' (the decoder's counted from the latent) as CompVis counts it."""
    side, _, number = theirs.partition("_blocks.")
    return f"{side}.{number if side == 'down' else levels - 1 - int(number)}"


def _as_convolution(key: str, value: Tensor) -> Tensor:
    """An autoencoder's attention has 1 × 1 convolutions in CompVis, and matrices in diffusers."""
    matrix = re.search(r"\.attn(?:_1|\.\d+)\.(?:q|k|v|proj_out)\.weight$", key) and value.dim() == 2
    return value[..., None, None] if matrix else value


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the highest number that the pattern's group takes at the beginning of a name; 0 where it never matches.

    Raises ValueError for a number of more blocks than there are weights.
    """
    numbers = {match[1] for key in state if (match := re.match(pattern, key))}
    if any(len(number) > 6 or int(number) >= len(state) for number in numbers):
        raise ValueError(f"block {max(numbers, key=len)[:20]} of {len(state)} weights")
    return max((int(number) + 1 for number in numbers), default=0)
