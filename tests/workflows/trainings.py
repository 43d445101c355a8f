"""Trainings whose memory is predicted: the paper's text-to-image model, and one that is just large enough to be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graph_runner.format.workflow import Workflow

VOCABULARY = 30_522
UNET = {"in_channels": 4, "out_channels": 4, "model_channels": 320, "channel_mult": [1, 2, 4, 4], "num_heads": 8}


def training(nodes: dict[str, Any], models: dict[str, str], context: dict[str, Any], **params: Any) -> Workflow:
    """A diffusion model trained on the latents of shapes, encoded in each step by a first stage that does not train.

    nodes: at the top, `unet`, `autoencoder`, and what `context` reads. models: those that train. context: nodes of a step, of which
    `context` is the condition. params: of the zone.
    """
    wired = {"condition": "context"} if "context" in context else {}
    trained = [f"fit.models.{name}" for name in models]
    step = {
        "images": {"type": "batch_images", "wires": {"batch": "fit.batch"}},
        "z0": {"type": "encode", "wires": {"autoencoder": "autoencoder", "images": "images"}},
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
        "eps": {"type": "noise_like", "wires": {"z": "z0"}},
        "zt": {"type": "add_noise", "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"}},
        **context,
        "prediction": {"type": "denoise", "wires": {"model": "fit.models.unet", "z": "zt", "t": "t", **wired}},
        "loss": {
            "type": "diffusion_loss",
            "wires": {"schedule": "schedule", "prediction": "prediction", "z0": "z0", "noise": "eps", "t": "t"},
        },
        "denoising": {"type": "objective", "wires": {"loss": "loss", "models": trained, "optimizer": "optimizer"}},
    }
    zone = {
        "type": "train",
        "params": params,
        "wires": {"data": "pictures", "models": models},
        "body": {"nodes": step, "results": {"objectives": ["denoising"]}},
    }
    top = {"schedule": {"type": "noise_schedule"}, "optimizer": {"type": "adamw"}, **nodes, "fit": zone}
    return Workflow.model_validate({"loom": 1, "nodes": top})


def text_to_image(tokenizer: Path, checkpointing: bool = True) -> Workflow:
    """The 1.45 billion parameters of CompVis' txt2img-1p4B and its text transformer, at 256 pixels.

    tokenizer: a folder with a vocabulary of 30,522 tokens (see `vocabulary`).
    """
    unet = {**UNET, "num_res_blocks": 2, "attention_factors": [4, 2, 1], "context_dim": 1280}
    nodes = {
        "pictures": {"type": "shapes_dataset", "params": {"size": 4096, "resolution": 256}},
        "autoencoder": {"type": "preset_autoencoder", "params": {"preset": "kl-f8", "scale_factor": 0.18215}},
        "tokenizer": {"type": "load_tokenizer", "params": {"path": str(tokenizer), "length": 77}},
        "text": {
            "type": "bert_text_encoder",
            "params": {"dim": 1280, "layers": 32},
            "wires": {"tokenizer": "tokenizer"},
        },
        "unet": {"type": "unet", "params": {**unet, "gradient_checkpointing": checkpointing}},
    }
    context = {
        "captions": {"type": "batch_captions", "wires": {"batch": "fit.batch"}},
        "context": {
            "type": "embed_captions",
            "wires": {"text_encoder": "fit.models.text", "tokenizer": "tokenizer", "captions": "captions"},
        },
    }
    return training(nodes, {"unet": "unet", "text": "text"}, context, batch_size=64, ema=0.9999, steps=1000)


def one_gigabyte(batch_size: int = 4, model_channels: int = 160, **params: Any) -> Workflow:
    """A UNet of 65 million parameters: weights, gradients, AdamW's two means and an average are 1.3 GB."""
    small = {"model_channels": 32, "channel_mult": [1, 1], "num_res_blocks": 1, "mid_attention": False}
    unet = {
        **UNET,
        "model_channels": model_channels,
        "channel_mult": [1, 2, 3],
        "num_res_blocks": 2,
        "attention_factors": [4],
    }
    nodes = {
        "pictures": {"type": "shapes_dataset", "params": {"size": 64, "resolution": 32}},
        "autoencoder": {"type": "kl_autoencoder", "params": small},
        "unet": {"type": "unet", "params": unet},
    }
    params = {"steps": 3, "ema": 0.99, "batch_size": batch_size, **params}
    return training(nodes, {"unet": "unet"}, {}, **params)


def vocabulary(folder: Path) -> Path:
    """A tokenizer's folder with as many tokens as BERT's has."""
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{n}" for n in range(VOCABULARY - 5))]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
