"""A small value for every wire type, and small parameters where a node's defaults are large: for the contract test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image as PILImage

from core.conditioning.classes import ClassEmbedder
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.image_embedder import ImageEmbedder
from core.conditioning.image_encoder import ImageEncoder
from core.conditioning.layouts import LayoutTokenizer
from core.conditioning.learned_word import LearnedWord
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.spatial import SpatialRescaler
from core.conditioning.t5 import T5TextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import train_wordpiece
from core.data.latents import LatentData
from core.data.pictures import Framed
from core.data.shapes import Shapes
from core.diffusion.schedule import NoiseSchedule
from core.metrics.features import SmallFeatures
from core.metrics.pretrained import CLIPScore
from core.metrics.statistics import Statistics
from core.models.adapter import adapter_for
from core.models.autoencoder import DiagonalGaussian, KLAutoencoder, VQAutoencoder
from core.models.classifier import NoisyClassifier
from core.models.controlnet import ControlNet
from core.models.discriminator import NLayerDiscriminator
from core.models.ema import ExponentialAverage
from core.models.ip_adapter import IPAdapter
from core.models.mmdit import MMDiT
from core.models.perceptual import HaarDistance
from core.models.t2i_adapter import T2IAdapter
from core.models.unet import UNet
from core.plots.plot import Plot
from core.tables.table import Table
from core.training.learning_rate import Constant
from core.training.objective import Objective
from core.training.optimizers import AdamW

B, C, S = 2, 4, 8  # samples, latent channels, latent side; images are 4 S pixels


def _rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


def autoencoder() -> KLAutoencoder:
    return KLAutoencoder(model_channels=8, channel_mult=(1, 1, 1), num_res_blocks=1, norm_groups=4).eval()


def captions() -> list[str]:
    return ["a red circle", "a blue square"]


class Numbers:
    """A stream of eight samples, each a number."""

    classes = ()

    def iterate(self, state: dict[str, Any] | None = None, part: tuple[int, int] = (0, 1)) -> Iterator[Any]:
        first = state["number"] if state else 0
        for number in range(first, 8)[part[0] :: part[1]]:
            yield number, {"number": number + 1}

    def collate(self, samples: Sequence[int], random: Any = None) -> dict[str, Any]:
        return {"labels": torch.tensor(samples)}


class Drawings:
    """Pictures of several shapes, as they lie in no file."""

    classes = ("dark", "light")

    def __len__(self) -> int:
        return 8

    def name(self, i: int) -> str:
        return f"drawing {i}"

    def size(self, i: int) -> tuple[int, int]:
        return 24 + 8 * (i % 3), 32

    def record(self, i: int, at_least: int | None = None) -> dict[str, Any]:
        picture = PILImage.new("RGB", self.size(i), (30 * i, 90, 10))
        return {"image": picture, "size": picture.size, "label": i % 2, "caption": [f"number {i}"], "weight": i}

    def column(self, name: str) -> list[Any] | None:
        return [self.record(i)[name] for i in range(8)] if name in ("label", "weight") else None


def drawings() -> Framed:
    return Framed(Drawings())


def clip_score() -> CLIPScore:
    """A CLIP with random weights, whose tokenizer knows a few words."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    tokenizer = train_wordpiece(captions(), 64, 12)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    text = {**small, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": 12, **ends}
    seen = {**small, "image_size": 16, "patch_size": 8}
    return CLIPScore(CLIPModel(CLIPConfig(text_config=text, vision_config=seen, projection_dim=8)), tokenizer, 16)


def image_encoder() -> ImageEncoder:
    """CLIP's image half with random weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(**small, image_size=16, patch_size=8, projection_dim=12)
    return ImageEncoder(CLIPVisionModelWithProjection(config), 16)


def attending_unet() -> UNet:
    """A UNet with cross-attention, as an IP-Adapter needs it."""
    return UNet(C, C, 8, (1, 2), 1, (2,), num_heads=2, context_dim=16, norm_groups=4).eval()


WIRES: dict[str, Callable[[], Any]] = {
    "image": lambda: _rand(B, 3, 4 * S, 4 * S).clamp(-1, 1),
    "mask": lambda: (_rand(B, 1, 4 * S, 4 * S) > 0).float(),
    "latent": lambda: _rand(B, C, S, S),
    "channels": lambda: _rand(B, 3, S, S),
    "prediction": lambda: _rand(B, C, S, S) * 0.5,
    "score": lambda: _rand(B, C, S, S),
    "gradient": lambda: _rand(B, C, S, S),
    "timestep": lambda: torch.tensor([10, 700]),
    "labels": lambda: torch.tensor([3, 0]),
    "object_labels": lambda: torch.tensor([[3, -1], [0, 2]]),
    "boxes": lambda: torch.tensor([[[0.1, 0.2, 0.5, 0.9], [0, 0, 0, 0]], [[0, 0, 0.4, 0.4], [0.5, 0.5, 1, 1]]]),
    "semantic_map": lambda: torch.arange(B * 16 * S * S).reshape(B, 4 * S, 4 * S) % 5,
    "tokens": lambda: torch.tensor([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0]]),
    "captions": captions,
    "loss": lambda: torch.tensor(0.7),
    "scalar": lambda: torch.tensor(0.3),
    "logits": lambda: _rand(B, 1, 3, 3),
    "log_likelihood": lambda: _rand(B),
    "per_sample": lambda: _rand(B),
    "features": lambda: _rand(32, 6),
    "posterior": lambda: DiagonalGaussian(_rand(B, C, S, S), torch.full((B, C, S, S), -2.0)),
    "schedule": lambda: NoiseSchedule.linear(1000),
    "conditioning": lambda: Conditioning(context=_rand(B, 1, 16), concat=_rand(B, 3, S, S)),
    "autoencoder": autoencoder,
    "denoiser": lambda: UNet(C, C, 8, (1, 2), 1, (2,), num_heads=2, norm_groups=4).eval(),
    "unet": lambda: UNet(C, C, 8, (1, 2), 1, (2,), num_heads=2, norm_groups=4).eval(),
    "controlnet": lambda: ControlNet(
        C, 8, (1, 2), 1, (2,), num_heads=2, context_dim=16, norm_groups=4, hint_widths=(4, 4, 4)
    ).eval(),
    "image_embedder": lambda: ImageEmbedder(16, 16, 1, 2, image_size=8, patch_size=4, projection_dim=12).eval(),
    "t2i_adapter": lambda: T2IAdapter(channels=(8, 16), num_res_blocks=1, downscale_factor=4).eval(),
    "ip_adapter": lambda: IPAdapter.beside(attending_unet(), 12).eval(),
    "image_encoder": image_encoder,
    "classifier": lambda: NoisyClassifier(
        C, 5, 8, (1, 2), 1, (2,), num_head_channels=8, norm_groups=4, pool="average"
    ).eval(),
    "class_scores": lambda: _rand(B, 5),
    "discriminator": lambda: NLayerDiscriminator(3, 4, 2).eval(),
    "class_embedder": lambda: ClassEmbedder(5, 16).eval(),
    "text_encoder": lambda: BERTEmbedder(16, 1, 8192, 92).eval(),
    "adapter": lambda: adapter_for(WIRES["unet"](), ["*qkv"], rank=2).eval(),
    "learned_word": lambda: LearnedWord(2, 16).eval(),
    "rescaler": lambda: SpatialRescaler(2, 5, 3).eval(),
    "layout_tokenizer": LayoutTokenizer,
    "tokenizer": lambda: train_wordpiece(captions(), 64, 12),
    "dataset": lambda: Shapes(32, 64),
    "training_data": lambda: Shapes(32, 64),
    "stream": Numbers,
    "latent_dataset": lambda: LatentData(
        {"latents": _rand(8, C, S, S), "labels": torch.arange(8), "captions": captions() * 4}, _rand(8, C, S, S) ** 2
    ),
    "batch": lambda: {
        "images": WIRES["image"](),
        "labels": WIRES["labels"](),
        "latents": WIRES["latent"](),
        "captions": captions(),
        "context": _rand(B, 5, 16),
        "boxes": WIRES["boxes"](),
        "box_labels": WIRES["object_labels"](),
        "segmentation": WIRES["semantic_map"](),
        "masks": WIRES["mask"](),
        **{name: torch.tensor([[48, 64], [32, 32]]) for name in ("original_size", "crop_top_left", "target_size")},
    },
    "optimizer": AdamW,
    "learning_rate": Constant,
    "averaging": ExponentialAverage,
    "objective": lambda: Objective(torch.tensor(1.0), (), AdamW()),
    "feature_network": SmallFeatures,
    "clip_score_network": clip_score,
    "feature_statistics": lambda: Statistics.of(_rand(32, 6)),
    "perceptual_network": HaarDistance,
    "table": lambda: Table({"scale": (1, 1, 3, 3), "seed": (0, 1, 0, 1), "fid": (4.0, 5.0, 2.0, None)}),
    "plot": lambda: Plot("line", WIRES["table"](), "scale", "fid", by="seed"),
}

# Small stand-ins for parameters whose defaults build large models or name files, and for those without a default.
PARAMS: dict[str, dict[str, Any]] = {
    "kl_autoencoder": {"model_channels": 8, "channel_mult": [1, 2], "norm_groups": 4},
    "vq_autoencoder": {"model_channels": 8, "channel_mult": [1, 2], "norm_groups": 4, "codes": 16},
    "unet": {"model_channels": 8, "channel_mult": [1, 2], "attention_factors": [2], "num_heads": 2, "norm_groups": 4},
    "noisy_classifier": {"model_channels": 8, "channel_mult": [1, 2], "num_head_channels": 8, "sample_size": 8},
    "dit": {"hidden_size": 32, "depth": 2, "num_heads": 2},
    "preset_dit": {"preset": "DiT-S/8"},
    "pixart": {"hidden_size": 32, "depth": 2, "num_heads": 2, "context_dim": 16},
    "mmdit": {"hidden_size": 32, "depth": 2, "num_heads": 2, "context_dim": 16, "vector_dim": 16},
    "controlnet": {"hint_widths": [4, 4, 4]},
    "class_embedder": {"classes": 5, "dim": 16},
    "bert_text_encoder": {"dim": 16, "layers": 1},
    "layout_encoder": {"dim": 16, "layers": 1},
    "preset_condition": {"preset": "semantic_synthesis256", "shape": [1, 3, 8, 8]},
    "spatial_rescaler": {"in_channels": 5},
    "rescale_latents": {"samples": 4},
    "encode_dataset": {"batch_size": 32},
    "data_features": {"count": 8},
    "class_names": {"classes": [0, 3]},
    "class_context": {"classes": [0, 3]},
    "integers": {"values": [1, 2]},
    "numbers": {"values": [0.5]},
    "split_sigmas": {"sigmas": [9.0, 3.0, 0.0]},
    "shift_sigmas": {"sigmas": [1.0, 0.5, 0.0]},
    "timestep_sigmas": {"timesteps": [999, 500, 10]},
    "texts": {"values": ["a"]},
    "layout_objects": {"labels": [1], "boxes": [[0.1, 0.1, 0.5, 0.5]]},
    "annealed_timestep": {"iteration": 3},
    "expression": {"formula": "a + s * (b - a)"},
    "rearrange": {"pattern": "b c (h p) (w q) -> b (c p q) h w", "sizes": {"p": 2, "q": 2}},
    "solver_level": {"index": 3},
    "denoise_prompt": {"step": 2, "share": 0.5},
    "resize": {"factor": 2.0},
    "denoise_area": {"top": 0.5, "height": 0.5},
    "composite": {"top": 2, "left": 3, "feather": 2},
    "split": {"sizes": [1, 3]},
    "timestep_at_sigma": {"sigma": 2.0},
    "to_scalar": {"value": 0.5},
    "to_timestep": {"t": 100.0},
    "weighted_sum": {"weights": [1.0, -2.0]},
    "delay_loss": {"step": 3},
    "parameter_group": {"patterns": ["*.bias"], "weight_decay": 0.0},
    "freeze": {"patterns": ["*attn2*"]},
    "lora_adapter": {"layers": ["*qkv"], "rank": 2},
    "skip_layers": {"layers": [1]},
    "bucket_pictures": {"resolution": 32, "multiple": 8},
    "frame_pictures": {"height": 16, "width": 16},
    "split_dataset": {"validation": 0.5},
    "hold_out": {"combinations": ["red"]},
    "text_context": {"prompts": ["a (red:1.3) circle"]},
    "join_tables": {"on": ["seed"], "how": "left"},
    "group_rows": {"by": ["scale"]},
    "select_rows": {"column": "seed", "value": 1},
    "select_columns": {"columns": ["fid"]},
    "sort_rows": {"by": ["seed", "fid"]},
    **{name: {"column": "fid"} for name in ("best_rows", "table_column", "table_value")},
    **{name: {"x": "scale", "y": "fid", "by": "seed"} for name in ("line_plot", "scatter_plot", "bar_plot")},
    "heat_map_plot": {"x": "scale", "y": "seed", "value": "fid"},
    "histogram_plot": {"x": "fid"},
    "labelled_grid": {"columns": [1, 3, 5]},
}

_CALCULATING = {
    "add_values": "ab",
    "multiply_values": "ab",
    "lerp": "ab",
    "slerp": "ab",
    "compare": "ab",
    "clamp": "x",
    "norm": "x",
    "mean": "x",
    "resize": "x",
    "crop": "x",
    "rows": "x",
    "split": "x",
    "rearrange": "x",
    "mean_loss": "x",
}

_SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 12}  # fmt: skip

# Inputs for which a wire type's general sample would not do.
INPUTS: dict[str, dict[str, Callable[[], Any]]] = {
    **{name: dict.fromkeys(ports, WIRES["latent"]) for name, ports in _CALCULATING.items()},
    "where": {"then": WIRES["latent"], "otherwise": lambda: 0.5, "condition": WIRES["log_likelihood"]},
    "expression": {"values": lambda: {"a": WIRES["latent"](), "b": WIRES["prediction"](), "s": 0.5}},
    "weighted_sum": {"values": lambda: [WIRES["latent"](), WIRES["prediction"]()]},
    "cat": {"items": lambda: [WIRES["latent"](), WIRES["prediction"]()]},
    "as_kind_of": {"x": WIRES["prediction"], "like": WIRES["latent"]},
    "to_number": {"x": WIRES["loss"]},
    "resize_like": {"x": WIRES["mask"], "like": WIRES["latent"]},
    **{name: {"data": drawings} for name in ("bucket_pictures", "frame_pictures", "weight_samples")},
    "denoise": {"condition": lambda: None},
    "ip_adapter": {"unet": attending_unet},
    "denoise_prompt": {"condition": Conditioning},
    "guidance_interval": {"t": lambda: torch.tensor([700, 700])},
    "denoise_tiles": {"condition": lambda: None},
    "denoise_area": {"condition": lambda: None},
    "pair_text_encoders": {
        "clip_l": lambda: CLIPTextEmbedder(**_SMALL).eval(),
        "clip_g": lambda: SDXLTextEmbedder(None, _SMALL),
    },
    "composite": {"onto": WIRES["latent"], "x": WIRES["latent"]},
    "mask_padding": {"text_encoder": lambda: T5TextEmbedder(40, 16, 8, 24, 1, 2)},
    "clip_skip": {"text_encoder": lambda: CLIPTextEmbedder(64, 16, 32, 3, 2, 12)},
    "vq_reconstruct": {
        "autoencoder": lambda: VQAutoencoder(
            model_channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=4, codes=16
        ).eval()
    },
    "image_likelihood": {"wanted": lambda: WIRES["image"]() * 0.5},
    "save_lora_adapter": {"text_encoder": lambda: None, "text_adapter": lambda: None},
    "random_rows": {"x": lambda: _rand(64, C), "like": WIRES["latent"]},
    "save_lora": {"text_base": lambda: None, "text_encoder": lambda: None},
    "skip_layers": {"model": lambda: MMDiT(C, 16, 2, 2, 8, 6, max_positions=8).eval()},
    "save_checkpoint": {
        "class_embedder": lambda: None,
        "rescaler": lambda: None,
        "ema_unet": lambda: None,
    },  # one conditioner, one UNet
    "labelled_grid": {"images": lambda: [WIRES["image"]()[:1]] * 3},
    "combinations": {"lists": lambda: {"scale": [1.0, 3.0], "seed": [0, 1, 2]}},
    "table": {"columns": lambda: {"scale": [1, 3], "fid": [torch.tensor(4.0), torch.tensor(2.0)], "solver": "ddim"}},
    "join_tables": {"right": lambda: Table({"seed": (1, 0), "kid": (0.1, 0.2)})},
    "gradient_guidance": {"t": lambda: torch.tensor([10, 700])},
}
