"""CompVis single files (latent-diffusion, Stable Diffusion 1, 2 and XL), read and written.

One state dict holds everything: `model.diffusion_model.*` the UNet, `first_stage_model.*` the autoencoder,
`cond_stage_model.*` the conditioner (Stable Diffusion XL's are `conditioner.embedders.*`), `model_ema.*` the UNet's averaged
weights with the dots left out of their names, `betas` the schedule. An autoencoder's own checkpoint has its names without a prefix. Our layer names are CompVis', so
loading is little more than cutting prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
import yaml
from torch import Tensor, nn

from core.checkpoints.compvis_config import exact_schedule, read_yaml, to_compvis
from core.checkpoints.detect import detect_autoencoder, detect_conditioner, detect_unet, published
from core.checkpoints.dit_file import dit_from_file, is_dit
from core.checkpoints.files import CheckpointError
from core.checkpoints.forms import CONDITIONER, FIRST_STAGE, UNET, in_compvis_names
from core.checkpoints.latent_diffusion import Architecture, Conditioner, LatentDiffusion, Part
from core.checkpoints.latent_scale import with_quant_convs
from core.checkpoints.model_io import build
from core.checkpoints.pixart_file import is_pixart, pixart_from_file
from core.checkpoints.sd3_file import in_stability_names, sd3_from_file
from core.checkpoints.sdxl_text import is_bigg, second_encoder, text_from_embedders, text_to_embedders
from core.checkpoints.text_keys import clip_from_files, clip_to_compvis, is_openclip
from core.checkpoints.untold import told_parametrisation, untold
from core.checkpoints.weights import (
    SINGLE_FILES,
    State,
    naming,
    read_metadata,
    read_weights,
    weight_files,
    write_weights,
)
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.diffusion.schedule import NoiseSchedule, Parametrisation, with_betas
from core.files import write_atomically
from core.models.autoencoder import Autoencoder
from core.models.presets import LATENT_DIFFUSION
from core.models.unet import UNet as UNetModel

EMA, IN_WRAPPER = "model_ema.", "diffusion_model."

Weights = Literal["ema", "raw"]

SIZED_BY: dict[type[nn.Module], str] = {CLIPTextEmbedder: "vocab_size", SDXLTextEmbedder: "clip_g"}
"""An argument that is missing where a yaml names a text encoder without its sizes."""


class _Sections(NamedTuple):
    unet: State
    autoencoder: State
    conditioner: State
    rest: State


def load_compvis(
    path: str | Path,
    config: str | Path | None = None,
    weights: Weights = "ema",
    parametrisation: Parametrisation | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> LatentDiffusion:
    """Read a CompVis checkpoint, `.ckpt` or `.safetensors`.

    config: its yaml. Without one, `NAME.yaml` or `config.yaml` beside the file; without those, the architecture is
        read from the weights, which works for every published model.
    weights: the UNet's averaged weights where the file has them, as the paper samples, or the raw ones.
    parametrisation: overrides the yaml's; a Stable Diffusion 2 file for 768 pixels needs "v" where it has no yaml.
    dtype: what floating-point weights are converted to; None keeps each as it is in the file.
    Raises CheckpointError naming the file and the remedy.
    """
    path = Path(path)
    yaml_path = Path(config) if config else _yaml_beside(path)
    state, metadata = read_weights(path), read_metadata(path)
    with naming(path):  # whose names and shapes decide what is done here
        named = in_compvis_names(state)
        if (sd3 := in_stability_names(named)) is not None:
            return sd3_from_file(sd3, path, dtype)
        if is_pixart(named):
            return pixart_from_file(named, path, dtype)
        if is_dit(named):
            return dit_from_file(named, path, dtype)
        sections = _split(named, path)
        architecture = read_yaml(yaml_path) if yaml_path else None
        if not sections.unet and (averaged := _averaged_alone(sections)):
            sections = sections._replace(unet=_named(averaged, architecture, path))
        architecture = architecture or _detect(sections, path)
    conditioner = architecture.conditioner
    if conditioner and (size := SIZED_BY.get(conditioner.kind)) and size not in conditioner.config:
        conditioner = detect_conditioner(sections.conditioner, architecture.autoencoder)
    schedule = architecture.schedule
    told = parametrisation or told_parametrisation(sections.rest, metadata)
    if schedule and told and (parametrisation or not yaml_path):
        schedule = with_betas(schedule, "a CompVis file").with_parametrisation(told)
    unet = architecture.unet
    left_open = untold(
        sections.rest, unet and unet.config.get("context_dim"), unet is None, told, described=yaml_path is not None
    )
    unet_state = _averaged(sections) if weights == "ema" else sections.unet

    def built(part: Part | None, state: State) -> Any:
        weightless = part is not None and part.kind is SpatialRescaler and part.config.get("out_channels") is None
        return build(part.kind, part.config, state, path, dtype) if part and (state or weightless) else None

    return LatentDiffusion(
        unet=built(architecture.unet, unet_state),
        autoencoder=built(architecture.autoencoder, _with_buffers(architecture.autoencoder, sections)),
        conditioner=cast("Conditioner | None", built(conditioner, sections.conditioner)),
        schedule=schedule,
        untold=left_open,
    )


def save_compvis(
    model: LatentDiffusion,
    path: str | Path,
    ema: nn.Module | None = None,
) -> None:
    """Write a CompVis checkpoint, `.ckpt` or `.safetensors`, and its yaml beside it.

    ema: the UNet's averaged weights, kept beside the raw ones as CompVis does.
    The tokenizer is not part of such a file. An autoencoder alone is written under its own names.
    """
    path = Path(path)
    if not isinstance(model.autoencoder, Autoencoder | None):
        raise ValueError(
            f"a {type(model.autoencoder).__name__} is not saved as a first stage of CompVis' programs; choose the form of Latent Loom"
        )
    content = to_compvis(model.architecture)
    state: State = {}
    buffers: State = {}
    if model.unet is not None:
        state |= {UNET + key: value for key, value in model.unet.state_dict().items()}
    if model.autoencoder is not None:
        prefix = FIRST_STAGE if model.unet is not None else ""
        own = model.autoencoder.state_dict()
        buffers["scale_factor"] = own.pop("scale_factor")
        own.pop("quantize.idle", None)  # counts of a training that does not go on from here
        state |= {prefix + key: value for key, value in own.items()}
    if isinstance(model.conditioner, CLIPTextEmbedder):
        names = clip_to_compvis(model.conditioner.state_dict(), is_openclip(model.conditioner.config))
        state |= {CONDITIONER + key: value for key, value in names.items()}
    elif isinstance(model.conditioner, SDXLTextEmbedder):
        state |= text_to_embedders(model.conditioner)
    elif model.conditioner is not None:
        state |= {CONDITIONER + key: value for key, value in model.conditioner.state_dict().items()}
    if ema is not None:
        averaged = {EMA + (IN_WRAPPER + name).replace(".", ""): value for name, value in ema.named_parameters()}
        state |= averaged
        buffers |= {EMA + "decay": torch.tensor(0.9999), EMA + "num_updates": torch.tensor(0)}
    if model.schedule is not None:
        schedule = with_betas(model.schedule, "a CompVis file")
        buffers |= {"betas": torch.tensor(schedule.betas), "alphas_cumprod": schedule.alphas_cumprod}
    write_weights(state | buffers, path)
    write_atomically(_yaml_of(path), yaml.safe_dump(content, sort_keys=False).encode())


def _split(state: State, path: Path) -> _Sections:
    """The parts of a checkpoint under their own names."""
    if any(".lora_" in key or key.startswith("lora_") for key in state):
        raise CheckpointError(f"{path} is a LoRA file; load its base model and merge it into that.")
    cut = {
        prefix: {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        for prefix in (UNET, FIRST_STAGE, CONDITIONER)
    }
    texts = text_from_embedders(state)
    if (
        not texts
        and not any(cut.values())
        and not any(key.startswith(EMA + IN_WRAPPER.replace(".", "")) for key in state)
    ):
        raise CheckpointError(
            f"{path} is no checkpoint of latent diffusion: it has neither {UNET}* nor {FIRST_STAGE}*, "
            f"but {', '.join(sorted(state)[:3])}…; load it as the format that it is."
        )
    conditioner = cut[CONDITIONER]
    if texts or is_bigg(conditioner):
        conditioner = texts or second_encoder(conditioner)
    elif any("token_embedding" in key for key in conditioner):
        conditioner = clip_from_files(conditioner)
    elif any(key.startswith("encoder.") for key in conditioner):
        conditioner = {}  # the first stage once more, as in the paper's inpainting
    autoencoder = {
        key: value
        for key, value in cut[FIRST_STAGE].items()
        if key.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize."))
        or key == "shift_factor"
    }
    if "decoder.conv_in.weight" in autoencoder and "quantize.embedding.weight" not in autoencoder:
        autoencoder = with_quant_convs(autoencoder, autoencoder["decoder.conv_in.weight"].shape[1])
    return _Sections(cut[UNET], autoencoder, conditioner, state)


def compvis_files(path: str | Path) -> dict[str, Path]:
    """The files that `load_compvis` reads without a config: the file (and its shards), and the yaml beside it."""
    path = Path(path)
    beside = _yaml_beside(path)
    return weight_files(path) | ({"yaml": beside} if beside else {})


def _yaml_beside(path: Path) -> Path | None:
    candidates = (_yaml_of(path), path.with_name("config.yaml"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _yaml_of(path: Path) -> Path:
    """`sd-v1.4.yaml` for `sd-v1.4.ckpt`; what follows the dot of `sd-v1.4` is a part of the name."""
    return path.with_suffix(".yaml") if path.suffix.lower() in SINGLE_FILES else path.with_name(path.name + ".yaml")


def _detect(sections: _Sections, path: Path) -> Architecture:
    unet = detect_unet(sections.unet, path) if sections.unet else None
    preset = published(unet.config) if unet else None
    scale = preset["scale_factor"] if preset else 1.0
    try:
        autoencoder = (
            detect_autoencoder(sections.autoencoder, 1.0 if scale == "std" else scale)  # measured: a buffer says it
            if sections.autoencoder
            else None
        )
    except KeyError as error:
        raise CheckpointError(f"{path} holds an incomplete autoencoder (there is no {error}).") from error
    schedule = None
    if preset:
        schedule = NoiseSchedule.linear(**preset["schedule"])
        betas = sections.rest.get("betas")
        if betas is not None and not _same_rounded(schedule.betas, betas):
            schedule = exact_schedule(betas.tolist())
    return Architecture(
        unet=unet,
        autoencoder=autoencoder,
        conditioner=detect_conditioner(sections.conditioner, autoencoder),
        schedule=schedule,
    )


def _same_rounded(exact: Sequence[float], betas: Tensor) -> bool:
    """Whether a file's betas are these in its precision. Halved files have halved betas, by which nobody should sample."""
    wanted, rounding = torch.tensor(exact, dtype=torch.float64), torch.finfo(betas.dtype).eps
    return wanted.shape == betas.shape and torch.allclose(betas.double(), wanted, rtol=rounding, atol=0)


def _averaged(sections: _Sections) -> State:
    """The UNet's averaged weights where there are any, with the raw ones for what was not averaged."""
    return {
        key: sections.rest.get(EMA + (IN_WRAPPER + key).replace(".", ""), value) for key, value in sections.unet.items()
    }


def _averaged_alone(sections: _Sections) -> State:
    """The averaged weights of a file's UNet under their names without dots."""
    start = EMA + IN_WRAPPER.replace(".", "")
    return {key.removeprefix(start): value for key, value in sections.rest.items() if key.startswith(start)}


def _named(averaged: State, architecture: Architecture | None, path: Path) -> State:
    """Averaged weights with the dots of their names, of which an architecture of the same names and shapes knows the places.

    Raises CheckpointError where neither the yaml's nor a published one has them.
    """
    configs = [architecture.unet.config] if architecture and architecture.unet else []
    width = averaged["input_blocks00weight"].shape[0] if "input_blocks00weight" in averaged else None
    if not architecture:
        configs = [each["unet"] for each in LATENT_DIFFUSION.values() if each["unet"]["model_channels"] == width]
    for config in configs:
        with torch.device("meta"):
            wanted = UNetModel(**config).state_dict()
        if {name.replace(".", ""): value.shape for name, value in wanted.items()} == {
            name: value.shape for name, value in averaged.items()
        }:
            return {name: averaged[name.replace(".", "")] for name in wanted}
    raise CheckpointError(
        f"{path} holds averaged weights alone, whose names have lost their dots, and they are no published UNet's; give its"
        " yaml (config=…)."
    )


def _with_buffers(part: Part | None, sections: _Sections) -> State:
    """The autoencoder's weights with what CompVis keeps elsewhere: the scale, a buffer if measured, else in the yaml."""
    if part is None or not sections.autoencoder:
        return {}
    scale: Tensor = sections.rest.get("scale_factor", torch.tensor(float(part.config.get("scale_factor", 1.0))))
    state = sections.autoencoder | {"scale_factor": scale.float()}
    if part.config.get("revive_after"):
        state["quantize.idle"] = torch.zeros(part.config["codes"], dtype=torch.int64)
    return state
