"""Random configurations of diffusers' model classes and schedulers, and what becomes of each: data for the test and for docs/configurations.md.

A configuration is a small one of its class with some of its options changed, each of which may be any of its constructor's. diffusers
builds it, gives it random weights and saves it; it is loaded from there as anybody's folder is, and asked for the same as diffusers' own.
"""

from __future__ import annotations

import inspect
import random
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "diffusion"))
from random_pixart import PIXART, caption, captioned, pixart
from random_schedulers import SCHEDULERS, a_scheduler, sampled_alike
from tiny_ldm import randomise

from core.checkpoints.controlnet import load_controlnet
from core.checkpoints.files import CheckpointError
from core.checkpoints.load import load_checkpoint
from core.checkpoints.t2i_adapter import load_t2i_adapter
from core.conditioning.conditioning import Conditioning
from core.models.denoiser import denoise

Config = dict[str, Any]
Verdict = Literal["equal", "refused by name", "refused without name", "silently wrong", "crashed"]
VERDICTS: tuple[Verdict, ...] = ("equal", "refused by name", "refused without name", "silently wrong", "crashed")
ALLOWED = 1e-4
"""The largest difference of one element, in deviations of the output where that is above 1."""


@dataclass(frozen=True)
class Tried:
    """What became of a configuration. changed: the options that are not the small model's own. said: the refusal, or what went wrong."""

    kind: str
    seed: int
    changed: Config
    verdict: Verdict
    said: str = ""
    error: float = 0.0


@dataclass(frozen=True)
class Kind:
    """A class of diffusers: a small configuration of it, what else its options can be, and the comparison.

    compare: (theirs, its configuration, the folder it lies in, a generator) -> pairs of tensors, ours and theirs. never: options that are not tried, since they
    say nothing of the model.
    """

    base: Callable[[random.Random], Config]
    options: dict[str, list[Any]]
    compare: Callable[[Any, Config, Path, torch.Generator], Iterator[tuple[Tensor, Tensor]]]
    never: tuple[str, ...] = ("sample_size",)


def _blocks(draw: random.Random, plain: str, attended: str) -> Config:
    levels = draw.choice([1, 2, 3])
    down = [draw.choice([plain, attended]) for _ in range(levels)]
    return {
        "down_block_types": down,
        "up_block_types": [each.replace("Down", "Up").replace("UpEn", "UpDe") for each in reversed(down)],
        "block_out_channels": [
            16 * each for each in draw.choice([[1, 2, 4], [1, 2, 2], [2, 2, 4], [1, 1, 2]])[:levels]
        ],
        "layers_per_block": draw.choice([1, 2]),
        "norm_num_groups": draw.choice([4, 8]),
    }


def _labels(config: Config, generator: torch.Generator) -> Tensor | None:
    if config.get("class_embed_type") == "projection":
        width = config["projection_class_embeddings_input_dim"]
        return torch.randn(2, width, generator=generator)
    if config.get("class_embed_type") is None and config.get("num_class_embeds") is None:
        return None
    return torch.tensor([1, 2])


def _condition(config: Config, z: Tensor, kept: int, generator: torch.Generator) -> tuple[Conditioning, Config]:
    """The same for us and for diffusers: ours, and the arguments of its forward."""
    labels = _labels(config, generator)
    theirs: Config = {} if labels is None else {"class_labels": labels}
    context = None
    if "cross_attention_dim" in config:
        width = (
            config["encoder_hid_dim"]
            if config.get("encoder_hid_dim_type") == "text_proj"
            else config["cross_attention_dim"]
        )
        context = torch.randn(2, 5, width if isinstance(width, int) else width[0], generator=generator)
        theirs["encoder_hidden_states"] = context
    y = labels
    if config.get("addition_embed_type") == "text_time":
        sizes = torch.randint(0, 1024, (2, 6), generator=generator).float()
        text = torch.randn(2, TEXT, generator=generator)
        theirs["added_cond_kwargs"] = {"text_embeds": text, "time_ids": sizes}
        embedded = diffusers.models.embeddings.get_timestep_embedding(
            sizes.flatten(), SIZE, flip_sin_to_cos=config["flip_sin_to_cos"], downscale_freq_shift=config["freq_shift"]
        )
        y = torch.cat([text, embedded.reshape(2, -1)], dim=1)
    condition = Conditioning(context=context, y=y)
    return (condition | Conditioning(concat=z[:, kept:]) if z.shape[1] > kept else condition), theirs


TEXT, SIZE = 12, 8
TIMES = torch.tensor([7, 500])


def _denoised(theirs: Any, config: Config, folder: Path, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    z = torch.randn(2, config["in_channels"], 8, 8, generator=generator)
    condition, arguments = _condition(config, z, config["out_channels"], generator)
    unet = load_checkpoint(folder).unet
    wanted = theirs(z, TIMES, **arguments).sample
    assert unet is not None
    yield denoise(unet, z[:, : config["out_channels"]], TIMES, condition), wanted


def _controlled(
    theirs: Any, config: Config, folder: Path, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    z = torch.randn(2, config["in_channels"], 8, 8, generator=generator)
    condition, arguments = _condition(config, z, config["in_channels"], generator)
    side = 8 * 2 ** (len(config["conditioning_embedding_out_channels"]) - 1)
    picture = torch.rand(2, config["conditioning_channels"], side, side, generator=generator)
    net = load_controlnet(folder)
    down, mid = theirs(z, TIMES, controlnet_cond=picture, return_dict=False, **arguments)
    found = net(z, TIMES, 2 * picture - 1, condition)
    yield from zip(found.added, (*down, mid), strict=True)


def _adapted(theirs: Any, config: Config, folder: Path, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    side = config["downscale_factor"] * 8
    picture = torch.rand(2, config["in_channels"], side, side, generator=generator)
    yield from zip(load_t2i_adapter(folder)(2 * picture - 1).added, theirs(picture), strict=True)


def _decoded(theirs: Any, config: Config, folder: Path, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    own: Any = load_checkpoint(folder).autoencoder
    images = torch.rand(2, config["in_channels"], 16, 16, generator=generator) * 2 - 1
    made = theirs.encode(images)
    latent = made.latent_dist.mode() if hasattr(made, "latent_dist") else made.latents
    scaled = latent
    mean, std, scale = config.get("latents_mean"), config.get("latents_std"), config.get("scaling_factor", 1.0)
    if mean is not None:
        scaled = (latent - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    elif config.get("shift_factor"):
        scaled = latent - config["shift_factor"]
    yield own.encode(images), scaled * scale
    yield own.decode(scaled * scale), theirs.decode(latent).sample


UNET: dict[str, list[Any]] = {
    "in_channels": [3, 4, 9],
    "out_channels": [3, 4, 8],
    "center_input_sample": [True],
    "flip_sin_to_cos": [False],
    "freq_shift": [1],
    "time_embedding_type": ["fourier"],
    "time_embedding_dim": [24, 64],
    "downsample_padding": [0],
    "mid_block_scale_factor": [1.5],
    "dropout": [0.1],
    "act_fn": ["gelu", "mish", "relu"],
    "norm_num_groups": [2, 16],
    "norm_eps": [1e-6, 1e-3],
    "resnet_time_scale_shift": ["scale_shift", "ada_group"],
    "num_class_embeds": [5],
    "block_out_channels": [[16], [16, 24], [24, 16], [32, 16, 48]],
    "layers_per_block": [1, 3],
    "down_block_types": [["DownBlock2D", "SkipDownBlock2D"], ["ResnetDownsampleBlock2D", "DownBlock2D"]],
    "up_block_types": [["UpBlock2D", "UpBlock2D"], ["AttnUpBlock2D"]],
}
CONDITIONAL: dict[str, list[Any]] = UNET | {
    "mid_block_type": [None, "UNetMidBlock2DSimpleCrossAttn", "UNetMidBlock2D"],
    "only_cross_attention": [True],
    "cross_attention_dim": [8, 20],
    "transformer_layers_per_block": [2, 3, [1, 2, 1]],
    "encoder_hid_dim": [9],
    "encoder_hid_dim_type": ["text_proj"],
    "attention_head_dim": [2, 4, [2, 4, 8], 8],
    "num_attention_heads": [2, 4],
    "use_linear_projection": [True],
    "class_embed_type": ["timestep", "identity", "projection", "simple_projection"],
    "addition_embed_type": ["text", "text_time", "image"],
    "addition_time_embed_dim": [SIZE],
    "upcast_attention": [True],
    "projection_class_embeddings_input_dim": [TEXT + 6 * SIZE],
    "addition_embed_type_num_heads": [4],
}
UNET_2D_CONDITION: dict[str, list[Any]] = CONDITIONAL | {
    "reverse_transformer_layers_per_block": [[1, 2]],
    "dual_cross_attention": [True],
    "resnet_skip_time_act": [True],
    "resnet_out_scale_factor": [1.5],
    "time_embedding_act_fn": ["gelu"],
    "timestep_post_act": ["silu"],
    "time_cond_proj_dim": [8],
    "conv_in_kernel": [1, 5],
    "conv_out_kernel": [1, 5],
    "attention_type": ["gated"],
    "class_embeddings_concat": [True],
    "mid_block_only_cross_attention": [True],
    "cross_attention_norm": ["layer_norm", "group_norm"],
}
AUTOENCODER: dict[str, list[Any]] = {
    "in_channels": [1, 4],
    "out_channels": [1, 4],
    "act_fn": ["relu", "gelu"],
    "latent_channels": [2, 8, 16],
    "norm_num_groups": [2, 16],
    "scaling_factor": [0.5, 1.5],
    "force_upcast": [True, False],
    "mid_block_add_attention": [False],
    "layers_per_block": [1, 3],
    "block_out_channels": [[16, 24], [24, 16], [32, 16, 48]],
    "down_block_types": [["DownEncoderBlock2D", "DownBlock2D"], ["AttnDownEncoderBlock2D"]],
    "up_block_types": [["UpDecoderBlock2D", "UpBlock2D"], ["AttnUpDecoderBlock2D"]],
}

KINDS: dict[str, Kind] = {
    "UNet2DModel": Kind(
        lambda draw: {"in_channels": 4, "out_channels": 4} | _blocks(draw, "DownBlock2D", "AttnDownBlock2D"),
        UNET
        | {
            "mid_block_type": [None],
            "downsample_type": ["resnet"],
            "upsample_type": ["resnet"],
            "attention_head_dim": [4, 16, None],
            "attn_norm_num_groups": [2, 4],
            "add_attention": [False],
            "class_embed_type": ["timestep", "identity"],
            "num_train_timesteps": [500],
        },
        _denoised,
    ),
    "UNet2DConditionModel": Kind(
        lambda draw: {"cross_attention_dim": 12, "attention_head_dim": draw.choice([2, 4])}
        | _blocks(draw, "DownBlock2D", "CrossAttnDownBlock2D"),
        UNET_2D_CONDITION,
        _denoised,
    ),
    "ControlNetModel": Kind(
        lambda draw: {
            "cross_attention_dim": 12,
            "attention_head_dim": draw.choice([2, 4]),
            "conditioning_embedding_out_channels": draw.choice([[4, 8], [4, 4, 8], [8, 12, 16, 24]]),
        }
        | {name: value for name, value in _blocks(draw, "DownBlock2D", "CrossAttnDownBlock2D").items() if name[:2] != "up"},
        {
            name: values
            for name, values in CONDITIONAL.items()
            if name not in ("out_channels", "center_input_sample", "time_embedding_type", "time_embedding_dim", "dropout", "up_block_types")
        }
        | {
            "conditioning_channels": [1, 4],
            "controlnet_conditioning_channel_order": ["bgr", "gbr"],
            "conditioning_embedding_out_channels": [[8]],
            "global_pool_conditions": [True],
        },
        _controlled,
    ),
    "T2IAdapter": Kind(
        lambda draw: {
            "channels": draw.choice([[8, 12], [8, 8, 16], [8, 8, 12, 12]]),
            "num_res_blocks": draw.choice([1, 2]),
            "downscale_factor": 8,
        },
        {
            "in_channels": [1, 4],
            "channels": [[8], [8, 16, 8, 16, 16]],
            "num_res_blocks": [3],
            "downscale_factor": [4, 16],
            "adapter_type": ["full_adapter_xl", "light_adapter"],
        },
        _adapted,
        never=(),
    ),
    "PixArtTransformer2DModel": Kind(pixart, PIXART, captioned, never=()),
    "AutoencoderKL": Kind(
        lambda draw: {"latent_channels": 4} | _blocks(draw, "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        AUTOENCODER
        | {
            "shift_factor": [0.1],
            "latents_mean": [[0.1, -0.2, 0.3, 0.0]],
            "latents_std": [[1.5, 0.5, 2.0, 1.0]],
            "use_quant_conv": [False],
            "use_post_quant_conv": [False],
        },
        _decoded,
    ),
    "VQModel": Kind(
        lambda draw: {"latent_channels": 3, "num_vq_embeddings": 16} | _blocks(draw, "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        AUTOENCODER
        | {
            "num_vq_embeddings": [5, 64],
            "vq_embed_dim": [2, 4],
            "norm_type": ["spatial"],
            "lookup_from_codebook": [True],
        },
        _decoded,
    ),
    "AutoencoderTiny": Kind(
        lambda draw: {
            "encoder_block_out_channels": (8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8),
            "num_encoder_blocks": draw.choice([(1, 2, 1), (1, 1, 1)]),
            "num_decoder_blocks": draw.choice([(2, 1, 1), (1, 1, 1)]),
        },
        {
            "in_channels": [1, 4],
            "out_channels": [1, 4],
            "encoder_block_out_channels": [(8, 8), (8, 16, 16)],
            "decoder_block_out_channels": [(8, 8), (16, 16, 8)],
            "act_fn": ["silu", "gelu"],
            "upsample_fn": ["bilinear"],
            "latent_channels": [8, 16],
            "upsampling_scaling_factor": [4],
            "num_encoder_blocks": [(1, 3, 2)],
            "num_decoder_blocks": [(3, 1, 1)],
            "latent_magnitude": [2],
            "latent_shift": [0.25],
            "force_upcast": [True],
            "scaling_factor": [0.5],
            "shift_factor": [0.1],
        },
        _decoded,
        never=(),
    ),
}  # fmt: skip


def untried(name: str) -> set[str]:
    """The options of a class' constructor that no configuration changes."""
    given = set(inspect.signature(getattr(diffusers, name).__init__).parameters) - {"self", "kwargs"}
    kind = KINDS[name]
    return given - set(kind.options) - set(kind.never)


def a_configuration(name: str, draw: random.Random) -> tuple[Config, Config]:
    """A configuration of a class, and what of it was changed: often nothing or one option, sometimes three."""
    kind = KINDS[name]
    names = draw.sample(sorted(kind.options), draw.choice([0, 1, 1, 1, 2, 2, 3]))
    changed = {each: draw.choice(kind.options[each]) for each in names}
    if changed.get("addition_embed_type") == "text_time":
        changed |= {"addition_time_embed_dim": SIZE, "projection_class_embeddings_input_dim": TEXT + 6 * SIZE}
    if changed.get("class_embed_type") in ("projection", "simple_projection"):
        changed |= {"projection_class_embeddings_input_dim": 10}
    if "latents_mean" in changed or "latents_std" in changed:
        changed |= {
            each: kind.options[each][0] for each in draw.sample(["latents_mean", "latents_std"], draw.choice([1, 2, 2]))
        }
    return kind.base(draw) | changed, changed


@contextmanager
def quietly() -> Iterator[None]:
    """Without what diffusers warns of."""
    level = diffusers.logging.get_verbosity()
    diffusers.logging.set_verbosity(diffusers.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers.logging.set_verbosity(level)


@torch.no_grad()
def _built(name: str, config: Config, folder: Path, seed: int) -> nn.Module | None:
    """diffusers' model with random weights, saved; None where it has none of this configuration, or cannot run it."""
    generator = torch.Generator().manual_seed(seed)
    try:
        theirs: nn.Module = randomise(getattr(diffusers, name)(**config), seed)
        _runs(name, theirs, dict(theirs.config), generator)  # type: ignore[arg-type]
    except Exception:
        return None
    theirs.save_pretrained(folder)  # type: ignore[operator]
    return theirs


def _runs(name: str, theirs: Any, config: Config, generator: torch.Generator) -> None:
    """Run it once on its own. Raises whatever diffusers does."""
    if name == "T2IAdapter":
        side = 8 * config["downscale_factor"]
        theirs(torch.rand(2, config["in_channels"], side, side))
    elif "Auto" in name or name == "VQModel":
        made = theirs.encode(torch.rand(2, config["in_channels"], 16, 16))
        theirs.decode(made.latent_dist.mode() if hasattr(made, "latent_dist") else made.latents)
    elif name == "PixArtTransformer2DModel":
        theirs(torch.randn(2, config["in_channels"], 8, 8), timestep=TIMES, **caption(config, generator))
    else:
        z = torch.randn(2, config["in_channels"], 8, 8)
        _, arguments = _condition(config, z, config["in_channels"], generator)
        if name == "ControlNetModel":
            side = 8 * 2 ** (len(config["conditioning_embedding_out_channels"]) - 1)
            arguments["controlnet_cond"] = torch.rand(2, config["conditioning_channels"], side, side)
        theirs(z, TIMES, **arguments)


def try_model(name: str, seed: int, folder: Path) -> Tried | None:
    """One configuration of a class; None where diffusers has no such model either."""
    draw = random.Random(f"{name} {seed}")
    config, changed = a_configuration(name, draw)
    shutil.rmtree(folder, ignore_errors=True)
    with quietly():
        theirs = _built(name, config, folder, seed)
        if theirs is None:
            return None
        whole = dict(theirs.config)  # type: ignore[arg-type]
        try:
            pairs = list(_compared(name, theirs, whole, folder, seed))
        except (CheckpointError, ValueError) as error:
            named = names_an_option(str(error), whole)
            return Tried(
                name,
                seed,
                changed,
                "refused by name" if named else "refused without name",
                str(error).replace(str(folder), ""),
            )
        except Exception as error:
            return Tried(name, seed, changed, "crashed", f"{type(error).__name__}: {error}")
    if any(found.shape != wanted.shape for found, wanted in pairs):
        return Tried(name, seed, changed, "silently wrong", "of another shape")
    error = max(float((found - wanted).abs().max() / wanted.std().clamp(min=1)) for found, wanted in pairs)
    return Tried(name, seed, changed, "equal" if error <= ALLOWED else "silently wrong", error=error)


@torch.no_grad()
def _compared(name: str, theirs: Any, config: Config, folder: Path, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from KINDS[name].compare(theirs, config, folder, torch.Generator().manual_seed(seed))


def names_an_option(said: str, config: Config) -> bool:
    """Whether a refusal names an option, or one of the blocks that are an option's value."""
    blocks = [block for name, value in config.items() if name.endswith("block_types") for block in value]
    return any(re.search(rf"\b{re.escape(each)}\b", said) for each in (*config, *blocks))


def try_scheduler(name: str, seed: int) -> Tried | None:
    """One configuration of a scheduler; None where diffusers has no such one, or cannot run it."""
    draw = random.Random(f"{name} {seed}")
    config = a_scheduler(name, draw)
    steps = draw.choice([5, 8, 10, 20])
    with quietly():
        verdict, said, error = sampled_alike(name, config, steps)
    if verdict is None:
        return None
    if verdict == "refused":
        named = names_an_option(said, {**config, f"{name}Scheduler": None})
        return Tried(f"{name}Scheduler", seed, config, "refused by name" if named else "refused without name", said)
    return Tried(f"{name}Scheduler", seed, config, verdict, said, error)


def tries(count: int, folder: Path) -> Iterator[Tried]:
    """`count` configurations, of each class of models as many, and of all schedulers as many as of three classes."""
    shares = {**dict.fromkeys(KINDS, 1.0), **dict.fromkeys(SCHEDULERS, 3 / len(SCHEDULERS))}
    whole = sum(shares.values())
    done, due = 0.0, 0
    for name, share in shares.items():
        done += share / whole * count
        seed = 0
        while due < round(done) and seed < 1000:
            tried = try_model(name, seed, folder / name) if name in KINDS else try_scheduler(name, seed)
            seed += 1
            if tried is not None:
                due += 1
                yield tried
