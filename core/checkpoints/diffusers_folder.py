"""diffusers folders, read and written: a pipeline's (Stable Diffusion 1, 2, XL and 3, PixArt, LDM, LDM text, DiT) or one component's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from core.checkpoints import diffusers_config as configs
from core.checkpoints import diffusers_mmdit as mmdits
from core.checkpoints import diffusers_pixart as pixarts
from core.checkpoints import pixart_text, sd3_text
from core.checkpoints.diffusers_components import COMPONENTS, VECTOR
from core.checkpoints.diffusers_dit import dit_to_diffusers, dit_to_diffusers_config
from core.checkpoints.diffusers_keys import (
    autoencoder_to_diffusers,
    unet_to_diffusers,
)
from core.checkpoints.diffusers_scheduler import schedule_from_diffusers, schedule_to_diffusers
from core.checkpoints.files import CheckpointError, atomic_folder
from core.checkpoints.latent_diffusion import Conditioner, LatentDiffusion
from core.checkpoints.latent_scale import one_scale
from core.checkpoints.model_io import HEADER, model_files
from core.checkpoints.sdxl_text import index_of, joined, second_to_transformers, size_dim, tokenizers_of
from core.checkpoints.text_keys import (
    clip_to_transformers,
    ldm_bert_to_diffusers,
)
from core.checkpoints.weights import State, naming, read_json, read_weights, weight_files, write_weights
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.sd3 import SD3TextEmbedder
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import TextTokenizer, tokenizer_files
from core.diffusion.flow import RectifiedFlow
from core.diffusion.schedule import NoiseSchedule
from core.models.autoencoder import Autoencoder, VQAutoencoder
from core.models.dit import DiT
from core.models.mmdit import MMDiT
from core.models.pixart import PixArt

Result = TypeVar("Result")

ENDINGS = (".safetensors", ".bin")
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
WEIGHT_FILES = tuple(
    name
    for variants in (("", ".fp16"), (".bf16", ".fp32", ".ema", ".non_ema"))
    for ending in ("safetensors", "bin")
    for variant in variants
    for stem in STEMS
    for name in (f"{stem}{variant}.{ending}", f"{stem}.{ending}.index{variant}.json")
)
FOLDER = (
    *("model_index.json", "unet", "transformer", "vae", "vqvae", "bert", "scheduler"),
    *("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3"),
)
"""What a folder that `save_diffusers` writes may hold."""

LDM_TEXT_LENGTH = 77
"""What diffusers' LDMTextToImagePipeline pads texts to, whatever the tokenizer says."""

SCHEDULER_CONFIG = "scheduler_config.json"
PROJECTED, T5 = sd3_text.PROJECTED, sd3_text.T5
LIBRARIES = {
    "CLIPTextModel": "transformers",
    PROJECTED: "transformers",
    T5: "transformers",
    "LDMBertModel": "latent_diffusion",
}
BESIDE_LATENT = {5: "InpaintPipeline", 4: "InstructPix2PixPipeline"}
"""Which of Stable Diffusion's pipelines takes so many channels beside the latent's: a masked latent and its mask, a picture."""


def load_diffusers(folder: str | Path, dtype: torch.dtype | None = torch.float32) -> LatentDiffusion:
    """Read a pipeline's folder (with `model_index.json`), or a component's (with `config.json`).

    Understood are UNet2DConditionModel, UNet2DModel, DiTTransformer2DModel, SD3Transformer2DModel, PixArtTransformer2DModel, AutoencoderKL,
    VQModel, CLIPTextModel, CLIPTextModelWithProjection and T5EncoderModel (Stable Diffusion XL's, 3's and PixArt's), LDMBertModel,
    tokenizers and schedulers; other components are left out. What a scheduler says of solver and spacing goes along with the noise process (`Process.scheduler`).
    dtype: what floating-point weights are converted to; None keeps each as it is in the file.
    Raises CheckpointError naming the file and the remedy.
    """
    with naming(folder):
        return _load(Path(folder), dtype)


def _load(folder: Path, dtype: torch.dtype | None) -> LatentDiffusion:
    if (folder / "config.json").is_file() and not (folder / "model_index.json").is_file():
        return LatentDiffusion(**_component(folder, dtype))
    parts: dict[str, Any] = {}
    encoders: dict[str, Any] = {}
    tokenizers: dict[str, TextTokenizer] = {}
    for name, kind, theirs in _listed(folder):
        if kind == "schedule":
            source = folder / name / SCHEDULER_CONFIG
            parts["schedule"] = translated(source, schedule_from_diffusers, read_json(source), theirs)
        elif kind == "tokenizer":
            try:
                tokenizers[name] = TextTokenizer.load(folder / name)
            except (FileNotFoundError, ValueError) as error:
                raise CheckpointError(f"{error} Download the folder {name} again.") from error
        else:
            component = _component(folder / name, dtype)
            encoders |= {name: component.pop("conditioner")} if "conditioner" in component else {}
            parts |= component
    if isinstance(parts.get("unet"), MMDiT):
        parts |= sd3_text.joined(encoders, tokenizers, parts["unet"].context_dim, folder)
    elif isinstance(parts.get("unet"), PixArt):
        pipeline = str(read_json(folder / "model_index.json").get("_class_name", "pipeline"))[:60]
        parts |= pixart_text.joined(encoders, tokenizers, pipeline, folder)
    else:
        parts |= joined(encoders, tokenizers, folder)
    if not parts:
        pipeline = str(read_json(folder / "model_index.json").get("_class_name", "pipeline"))[:60]
        raise CheckpointError(f"{folder} is the folder of a {pipeline}, of whose parts none is known here.")
    return LatentDiffusion(**parts)


def load_component(weights: str | Path, dtype: torch.dtype | None = torch.float32) -> LatentDiffusion:
    """Read one file of weights of a component's folder by the configuration beside it (see `describes_weights`)."""
    with naming(weights):
        return LatentDiffusion(**_component(Path(weights).parent, dtype, Path(weights)))


def describes_weights(weights: str | Path) -> Path | None:
    """The diffusers configuration beside a file of weights that is called as such a folder's are; None where there is none."""
    config = description_of(Path(weights))
    if config is None:
        return None
    try:
        return config if class_of(read_json(config)) in COMPONENTS else None
    except CheckpointError:
        return None


def description_of(path: Path) -> Path | None:
    """The configuration in a component's folder, or beside a file of weights that is called as such a folder's are."""
    config = path / "config.json" if path.is_dir() else path.with_name("config.json")
    named = path.is_dir() or (path.name.partition(".")[0] in STEMS and path.suffix in ENDINGS)
    return config if named and config.is_file() else None


def network_files(path: Path) -> dict[str, Path]:
    """The files of a network that stands beside a model, by their names at `path`; the file itself has none.

    They are a folder of ours, a folder of diffusers with a configuration or without, or a file of weights and the
    configuration beside it. Raises CheckpointError where one that lists others cannot be read.
    """
    config = description_of(path)
    described = {} if config is None else {config.name: config}
    if not path.is_dir():
        return weight_files(path) | described
    if config is not None and HEADER in read_json(config):
        return model_files(path)
    weights = weights_in(path)
    files = {} if weights is None else {name or weights.name: file for name, file in weight_files(weights).items()}
    return files | described


def diffusers_files(folder: str | Path) -> dict[str, Path]:
    """The files of a folder, by relative name, that `load_diffusers` reads."""
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        return _component_files(folder)
    files = {"model_index.json": folder / "model_index.json"}
    for name, kind, _ in _listed(folder):
        if kind == "schedule":
            found = {SCHEDULER_CONFIG: folder / name / SCHEDULER_CONFIG}
        else:
            found = tokenizer_files(folder / name) if kind == "tokenizer" else _component_files(folder / name)
        files |= {f"{name}/{file}": path for file, path in found.items()}
    return {name: path for name, path in files.items() if path.is_file()}


def _listed(folder: Path) -> Iterator[tuple[str, Literal["schedule", "tokenizer", "component"], str]]:
    """The parts of a pipeline that are understood: the names of their folders, what they are, and their classes."""
    index = read_json(folder / "model_index.json")
    is_sd3 = index.get("transformer") == ["diffusers", mmdits.KIND]
    is_pixart = (
        index.get("transformer") == ["diffusers", pixarts.KIND] or index.get("_class_name") in pixart_text.LENGTHS
    )
    # Stable Diffusion 3 has all of these, XL a second encoder with a projection, PixArt T5, and what others have is not known.
    known = COMPONENTS.keys() - (
        set() if is_sd3 else {PROJECTED} if is_pixart else {T5} if "unet" in index else {T5, PROJECTED}
    )
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str):
            continue
        if Path(name).name != name:
            raise CheckpointError(f"{folder} names a component outside of it ({name:.60}); get the folder again.")
        if value[1].endswith(("Scheduler", "SchedulerDiscrete")):
            if name == "scheduler":  # others noise what the denoiser is shown beside the latent
                yield name, "schedule", value[1]
        elif "Tokenizer" in value[1]:
            yield name, "tokenizer", value[1]
        elif value[1] in known and (value[1] != PROJECTED or is_sd3 or name == "text_encoder_2"):
            yield name, "component", value[1]


def _component_files(folder: Path) -> dict[str, Path]:
    files = {"config.json": folder / "config.json"}
    if (weights := weights_in(folder)) is not None:
        files |= {name or weights.name: path for name, path in weight_files(weights).items()}
    return files


def save_diffusers(model: LatentDiffusion, folder: str | Path, sample_size: int = 64) -> None:
    """Write a folder that diffusers loads, whole or not at all.

    It is a StableDiffusionPipeline's (CLIP text), a StableDiffusionXLPipeline's or one of its kin (both CLIPs), a
    StableDiffusion3Pipeline's, a PixArtAlphaPipeline's or PixArtSigmaPipeline's (T5), an LDMTextToImagePipeline's (BERT text), an LDMPipeline's (unconditional) or a DiTPipeline's (classes) where all its parts are
    there; for others, such as class-conditional models, the components alone, each to be loaded by its class. Classes and rescalers have no component in diffusers and are left out.
    sample_size: side of the latent that the pipeline samples by default.
    Raises ValueError naming what diffusers cannot express, FileExistsError for a folder that holds other things.
    """
    refuse_for_diffusers(model)
    with atomic_folder(folder, FOLDER) as temporary:
        index: dict[str, Any] = {}

        def write(name: str, config: Mapping[str, Any], state: State, file: str) -> None:
            kind = config.get("_class_name") or config["architectures"][0]
            index[name] = [LIBRARIES.get(kind, "diffusers"), kind]
            (temporary / name).mkdir()
            _write_json(temporary / name / "config.json", config)
            write_weights(state, temporary / name / file)

        text = _text_kind(model.conditioner)
        pipeline = _pipeline(model, text)
        weights = "diffusion_pytorch_model.safetensors"
        if isinstance(model.unet, DiT):
            config = dit_to_diffusers_config(model.unet.config)
            write("transformer", config, dit_to_diffusers(model.unet.state_dict(), model.unet.config), weights)
        elif isinstance(model.unet, MMDiT):
            config = mmdits.mmdit_to_diffusers_config(model.unet.config)
            write("transformer", config, mmdits.mmdit_to_diffusers(model.unet.state_dict(), model.unet.config), weights)
        elif isinstance(model.unet, PixArt):
            config = pixarts.pixart_to_diffusers_config(model.unet.config)
            state = pixarts.pixart_to_diffusers(model.unet.state_dict(), model.unet.config)
            write("transformer", config, state, weights)
        elif model.unet is not None:
            sizes = size_dim(model.unet.config, model.architecture.conditioner)
            config = configs.unet_to_diffusers_config(model.unet.config, sample_size, sizes)
            state = unet_to_diffusers(model.unet.state_dict(), model.unet.config)
            named = state if sizes else {key.replace(*VECTOR): value for key, value in state.items()}
            write("unet", config, named, weights)
        if model.autoencoder is not None:
            name = "vqvae" if pipeline in ("LDMTextToImagePipeline", "LDMPipeline") else "vae"
            own, state = model.autoencoder, model.autoencoder.state_dict()
            shifts = isinstance(model.unet, MMDiT)  # whose pipeline takes a shift off, as no other here does
            factor, shift = one_scale(state) if shifts or own.shift_factor is None else (None, None)
            config = configs.autoencoder_to_diffusers_config(own.config, 1.0 if factor is None else factor)
            config |= {"shift_factor": shift or 0.0} if shifts else {}
            state = state if factor is not None else _folded(state)
            write(name, config, autoencoder_to_diffusers(state, own.config), weights)
        clip = model.conditioner.clip_l if isinstance(model.conditioner, SDXLTextEmbedder) else model.conditioner
        if isinstance(clip, CLIPTextEmbedder):
            config = configs.clip_to_transformers_config(clip.config)
            write("text_encoder", config, clip_to_transformers(clip.state_dict()), "model.safetensors")
        if isinstance(model.conditioner, SDXLTextEmbedder):
            config = _second_config(model.conditioner)
            write("text_encoder_2", config, second_to_transformers(model.conditioner), "model.safetensors")
        if isinstance(model.conditioner, BERTEmbedder):
            config = configs.bert_to_diffusers_config(model.conditioner.config)
            state = ldm_bert_to_diffusers(model.conditioner.state_dict(), model.conditioner.config["n_layer"])
            write("bert", config, state, "model.safetensors")
        if isinstance(model.conditioner, SD3TextEmbedder):
            for name, (config, state) in sd3_text.components(model.conditioner).items():
                write(name, config, state, "model.safetensors")
        if isinstance(model.conditioner, T5TextEmbedder):
            write("text_encoder", *sd3_text.t5_to_transformers(model.conditioner), "model.safetensors")
        for name, tokenizer in _tokenizers(model).items():
            index[name] = ["transformers", tokenizer.kind]
            tokenizer.save(temporary / name)
        if model.schedule is not None:
            schedule = schedule_to_diffusers(model.schedule)
            index["scheduler"] = ["diffusers", schedule["_class_name"]]
            (temporary / "scheduler").mkdir()
            _write_json(temporary / "scheduler" / "scheduler_config.json", schedule)
        if pipeline and isinstance(model.conditioner, CLIPTextEmbedder):
            absent = [None, None]
            index |= {"safety_checker": absent, "feature_extractor": absent, "image_encoder": absent}
            index["requires_safety_checker"] = False
        if pipeline and isinstance(model.conditioner, SDXLTextEmbedder):
            index |= index_of(model.conditioner, pipeline)
        if pipeline and isinstance(model.conditioner, SD3TextEmbedder):
            index |= sd3_text.index_of(model.conditioner)
        if pipeline:
            _write_json(temporary / "model_index.json", {"_class_name": pipeline} | index)


def refuse_for_diffusers(model: LatentDiffusion) -> None:
    """Raise ValueError naming what of a model diffusers cannot express. Looks at no weights, so that it can be asked before
    they are trained."""
    if isinstance(model.unet, DiT):
        dit_to_diffusers_config(model.unet.config)
    elif isinstance(model.unet, MMDiT):
        mmdits.mmdit_to_diffusers_config(model.unet.config)
    elif isinstance(model.unet, PixArt):
        pixarts.pixart_to_diffusers_config(model.unet.config)
    elif model.unet is not None:
        size = size_dim(model.unet.config, model.architecture.conditioner)
        configs.unet_to_diffusers_config(model.unet.config, 64, size)
    if not isinstance(model.autoencoder, Autoencoder | None):
        raise ValueError(
            f"a {type(model.autoencoder).__name__} is not saved for diffusers; choose the form of Latent Loom"
        )
    if model.autoencoder is not None:
        if model.autoencoder.shift_factor is not None and isinstance(model.autoencoder, VQAutoencoder):
            raise ValueError(
                "diffusers has one scale for all latent channels, and this autoencoder one for each, by which its codes are not"
                " compared; save it in the form 'latent loom' instead"
            )
        configs.autoencoder_to_diffusers_config(model.autoencoder.config, 1.0)
    if model.schedule is not None:
        schedule_to_diffusers(model.schedule)
    if isinstance(model.conditioner, CLIPTextEmbedder):
        configs.clip_to_transformers_config(model.conditioner.config)
    if isinstance(model.conditioner, SDXLTextEmbedder):
        _second_config(model.conditioner)
    if isinstance(model.conditioner, SD3TextEmbedder):
        sd3_text.components(model.conditioner)
    if isinstance(model.conditioner, BERTEmbedder):
        configs.bert_to_diffusers_config(model.conditioner.config)
        if (length := model.conditioner.config["max_seq_len"]) != LDM_TEXT_LENGTH and _pipeline(
            model, _text_kind(model.conditioner)
        ):
            raise ValueError(
                f"diffusers' pipeline for LDM texts pads each to {LDM_TEXT_LENGTH} tokens, and this text encoder takes "
                f"{length}; give the tokenizer the length {LDM_TEXT_LENGTH}, or save it as a CompVis file instead"
            )


def _folded(state: State) -> State:
    """A KL autoencoder's weights with the scale and shift of each channel in the convolutions around the latent, for a scale of 1."""
    scale, shift = state["scale_factor"].flatten(), state["shift_factor"].flatten()
    out, out_bias = state["quant_conv.weight"], state["quant_conv.bias"]
    into, into_bias = state["post_quant_conv.weight"], state["post_quant_conv.bias"]
    mean, log_variance = out_bias.chunk(2)
    rows = torch.cat([scale, torch.ones_like(scale)])[:, None, None, None]
    return state | {
        "quant_conv.weight": out * rows,
        "quant_conv.bias": torch.cat([(mean - shift) * scale, log_variance + 2 * scale.log()]),
        "post_quant_conv.weight": into / scale[:, None, None],
        "post_quant_conv.bias": into_bias + into.flatten(1) @ shift,
    }


def _pipeline(model: LatentDiffusion, text: str | None) -> str | None:
    """The class of diffusers' pipeline that these parts make up, None where they make up none."""
    if model.unet is None or model.autoencoder is None or model.schedule is None:
        return None
    if isinstance(model.unet, MMDiT):
        told = isinstance(model.conditioner, SD3TextEmbedder) and sd3_text.whole(model.tokenizer, model.conditioner)
        return "StableDiffusion3Pipeline" if told and isinstance(model.schedule, RectifiedFlow) else None
    if not isinstance(model.schedule, NoiseSchedule):
        return None
    if isinstance(model.unet, PixArt):
        return pixart_text.pipeline_of(model.unet, model.conditioner, model.tokenizer)
    if isinstance(model.unet, DiT):
        # That pipeline takes 1000 for no class, whatever the model has.
        return "DiTPipeline" if model.unet.num_classes == 1000 and model.conditioner is None else None
    if text is None:
        plain = model.conditioner is None and model.unet.context_dim is None and model.unet.label_emb is None
        latent = model.autoencoder.latent_channels == model.unet.in_channels
        return "LDMPipeline" if plain and latent else None
    if isinstance(model.conditioner, SDXLTextEmbedder) and not size_dim(
        model.unet.config, model.architecture.conditioner
    ):
        return None  # its vector is of something else
    beside = model.unet.in_channels - model.unet.config["out_channels"]
    if text.startswith("StableDiffusion") and beside in BESIDE_LATENT:
        text = text.replace("Img2Img", "").replace("Pipeline", BESIDE_LATENT[beside])
    return text if model.tokenizer is not None else None


def _tokenizers(model: LatentDiffusion) -> dict[str, TextTokenizer]:
    if model.tokenizer is not None and isinstance(model.conditioner, SD3TextEmbedder):
        return sd3_text.tokenizers_of(model.tokenizer, model.conditioner)
    return tokenizers_of(model)


def _second_config(conditioner: SDXLTextEmbedder) -> dict[str, Any]:
    return configs.sdxl_text_to_transformers_config(conditioner.config | {"clip_g": conditioner.clip_g.config})


def _text_kind(conditioner: Conditioner | None) -> str | None:
    if isinstance(conditioner, CLIPTextEmbedder):
        return "StableDiffusionPipeline"
    if isinstance(conditioner, SDXLTextEmbedder):
        return "StableDiffusionXLImg2ImgPipeline" if conditioner.clip_l is None else "StableDiffusionXLPipeline"
    return "LDMTextToImagePipeline" if isinstance(conditioner, BERTEmbedder) else None


def _component(folder: Path, dtype: torch.dtype | None, weights: Path | None = None) -> dict[str, Any]:
    """One component under the name of its place in `LatentDiffusion`, with these weights or the folder's."""
    source = folder / "config.json"
    config = read_json(source)
    kind = class_of(config)
    if kind not in COMPONENTS:
        raise CheckpointError(
            f"{source} describes a {kind[:60] or 'model without a class'}; known are {', '.join(COMPONENTS)}."
        )
    state = read_weights(weights) if weights else _weights(folder)
    return translated(source, COMPONENTS[kind], folder, config, state, dtype)


def class_of(config: Mapping[str, Any]) -> str:
    """The class that a configuration of diffusers or transformers names; empty where it names none."""
    named = config.get("_class_name") or config.get("architectures")
    kind = named[0] if isinstance(named, list) and named else named
    return kind if isinstance(kind, str) else ""


def _weights(folder: Path) -> State:
    if (weights := weights_in(folder)) is not None:
        return read_weights(weights)
    raise CheckpointError(
        f"{folder} holds no weights: expected a file such as {WEIGHT_FILES[0]} or model.safetensors; download it there."
    )


def weights_in(folder: Path) -> Path | None:
    """The file of a component's weights, of those that its folder has; None where there is none."""
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def translated(source: Path, read: Callable[..., Result], *arguments: Any) -> Result:
    """What `read` makes of a configuration and its weights. Names the file in whatever it says is wrong (CheckpointError)."""
    try:
        return read(*arguments)
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(
            f"{source.parent} lacks {error}; its files do not belong together, get it again."
        ) from error
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source} cannot be used: {str(error)[:300]}.") from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
