"""A sweep of small trainings, for the tests of executors: a UNet on latents, for each of some learning rates."""

from __future__ import annotations

from typing import Any

AUTOENCODER = {
    "model_channels": 8,
    "channel_mult": [1],
    "num_res_blocks": 1,
    "z_channels": 4,
    "mid_attention": False,
    "norm_groups": 8,
}
UNET = {
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_factors": [2],
    "num_heads": 2,
    "norm_groups": 8,
}
RATES = [0.0001 * 2**i for i in range(12)]


def sweep(rates: list[float], steps: int) -> dict[str, Any]:
    """The workflow. It gives the trained models and their averages, and tells each training's last loss."""
    zone = "fit"
    body: dict[str, Any] = {
        "z0": {"type": "batch_latents", "wires": {"batch": f"{zone}.batch"}},
        "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z0"}},
        "eps": {"type": "noise_like", "wires": {"z": "z0"}},
        "zt": {"type": "add_noise", "wires": {"schedule": "schedule", "z0": "z0", "noise": "eps", "t": "t"}},
        "prediction": {"type": "denoise", "wires": {"model": f"{zone}.models.unet", "z": "zt", "t": "t"}},
        "loss": {
            "type": "diffusion_loss",
            "wires": {"schedule": "schedule", "prediction": "prediction", "z0": "z0", "noise": "eps", "t": "t"},
        },
        "aim": {
            "type": "objective",
            "params": {"name": "diffusion"},
            "wires": {"loss": "loss", "models": [f"{zone}.models.unet"], "optimizer": "adam"},
        },
        "look": {
            "type": "every",
            "params": {"steps": 10_000},
            "body": {"nodes": {"show": {"type": "log_metrics", "wires": {"values": {"last": "loss"}}}}},
        },
    }
    fit = {
        "type": "train",
        "params": {"steps": steps, "batch_size": 4, "ema": 0.9},
        "wires": {"data": "latents", "models": {"unet": "unet0"}},
        "body": {"nodes": body, "results": {"objectives": ["aim"]}},
    }
    items = {"adam": {"type": "adamw", "wires": {"lr": "sweep.item.lr"}}, zone: fit}
    return {
        "loom": 1,
        "title": "a sweep",
        "nodes": {
            "shapes": {"type": "shapes_dataset", "params": {"size": 16, "resolution": 8}},
            "first_stage": {"type": "kl_autoencoder", "params": AUTOENCODER},
            "latents": {"type": "encode_dataset", "wires": {"autoencoder": "first_stage", "data": "shapes"}},
            "schedule": {"type": "noise_schedule"},
            "unet0": {"type": "unet", "params": UNET},
            "sweep": {
                "type": "for_each",
                "params": {"over": {"lr": rates}},
                "body": {"nodes": items, "results": {"unet": f"{zone}.models.unet", "ema": f"{zone}.ema.unet"}},
            },
        },
    }
