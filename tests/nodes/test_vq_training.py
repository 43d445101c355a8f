"""VQ first stages learn and use their codebook, on drawn shapes and on photographs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core.metrics.reconstruction import psnr
from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from tests.effort import cases

CODES = 256
SHAPE = {"model_channels": 16, "num_res_blocks": 1, "z_channels": 4, "mid_attention": False, "norm_groups": 8}
KINDS = {
    "kl": {"type": "kl_autoencoder", "params": SHAPE | {"logvar_init": -6.0}},
    "vq": {"type": "vq_autoencoder", "params": SHAPE | {"codes": CODES, "beta": 0.05, "revive_after": 5}},
}
# A commitment of .25, the customary one, costs so small an encoder up to 1 dB at 150 steps. Codes move after few passes, for
# at first all latents are nearest to the same few.
PHOTOGRAPHS = (
    "astronaut.png",
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)
SHAPES = {"type": "shapes_dataset", "params": {"size": 20_000, "resolution": 32}}
UNSEEN = {"type": "shapes_dataset", "params": {"size": 256, "resolution": 32, "seed": 2}}


def training(kind: str, data: dict[str, Any], unseen: dict[str, Any], steps: int, levels: int) -> Workflow:
    """Train one first stage with L1, squared and gradient errors, and measure it on pictures it has not seen."""
    model = "train.models.autoencoder"
    if kind == "vq":
        passed = {"out": {"type": "vq_reconstruct", "wires": {"autoencoder": model, "images": "images"}}}
        image, regularised, weight = "out.image", "out.codebook_loss", 1.0
        seen = {"again": {"type": "vq_reconstruct", "wires": {"autoencoder": model, "images": "some"}}}
        shown = "again.image"
    else:
        passed = {
            "posterior": {"type": "posterior", "wires": {"autoencoder": model, "images": "images"}},
            "z": {"type": "sample_posterior", "wires": {"autoencoder": model, "posterior": "posterior"}},
            "out": {"type": "decode", "wires": {"autoencoder": model, "z": "z"}},
            "kl": {"type": "kl_loss", "wires": {"posterior": "posterior"}},
        }
        image, regularised, weight = "out", "kl", 1e-6
        seen = {
            "encoded": {"type": "encode", "wires": {"autoencoder": model, "images": "some"}},
            "again": {"type": "decode", "wires": {"autoencoder": model, "z": "encoded"}},
        }
        shown = "again"
    pair = {"a": image, "b": "images"}
    l1 = {"perceptual_weight": 0, "gradient_weight": 0.5, "reduction": "mean"}
    l2 = {"perceptual_weight": 0, "pixel": "l2", "reduction": "mean"}
    fall = {"decay": "cosine", "horizon": steps, "warmup": 20, "clip": 1, "weight_decay": 0}
    body = {
        "images": {"type": "batch_images", "wires": {"batch": "train.batch"}},
        **passed,
        "l1": {"type": "reconstruction_loss", "wires": pair, "params": l1},
        "l2": {"type": "reconstruction_loss", "wires": pair, "params": l2},
        "loss": {
            "type": "add_losses",
            "wires": {"losses": ["l1", "l2", regularised]},
            "params": {"weights": [1, 2, weight]},
        },
        "goal": {
            "type": "objective",
            "wires": {"loss": "loss", "models": [model], "optimizer": "adamw"},
            "params": {"name": "train"},
        },
    }
    params = KINDS[kind]["params"] | {"channel_mult": [1, *[2] * (levels - 1)]}
    nodes = {
        "data": data,
        "unseen": unseen,
        "autoencoder": {"type": KINDS[kind]["type"], "params": params},
        "adamw": {"type": "adamw", "params": {"lr": 0.003, "beta2": 0.99} | fall},
        "train": {
            "type": "train",
            "wires": {"data": "data", "models": {"autoencoder": "autoencoder"}},
            "params": {"steps": steps, "batch_size": 32},
            "body": {"nodes": body, "results": {"objectives": ["goal"]}},
        },
        "some": {"type": "take_images", "wires": {"data": "unseen"}, "params": {"count": 256}},
        **seen,
        "psnr": {"type": "psnr", "wires": {"images": shown, "originals": "some"}},
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def run(
    registry: Registry, folder: Path, kind: str, data: Any, unseen: Any, steps: int, levels: int, seed: int = 0
) -> dict[str, float]:
    """PSNR, and what a VQ one has without its codebook; share of codes used, perplexity, first and last loss.

    `error` is the squared error as a share of that of each picture's mean colour: of having learned nothing.
    """
    model, shown = "train.models.autoencoder", "again.image" if kind == "vq" else "again"
    targets = ["psnr", "some", shown, model] + (["again.used", "again.perplexity"] if kind == "vq" else [])
    result = Engine(registry, folder).run(training(kind, data, unseen, steps, levels), targets=targets, seed=seed)
    losses = [event.values["loss/train"] for event in result.events if isinstance(event, events.Metric)]
    autoencoder, images, again = (result.values.pop(name) for name in (model, "some", shown))
    found = {name.removeprefix("again."): float(value) for name, value in result.values.items()}
    found |= {"first": losses[0], "last": sum(losses[-3:]) / 3}
    coarse = images - images.mean((2, 3), keepdim=True)
    found["error"] = float((again.clamp(-1, 1) - images).square().mean() / coarse.square().mean())
    if kind == "vq":
        with torch.no_grad():
            smooth = autoencoder.decode(autoencoder.encode(images), quantize=False).clamp(-1, 1)
        found["unquantised"] = float(psnr(smooth, images).mean())
    return found


def tiles(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Photographs that scikit-image ships, cut into tiles of 32 pixels; their right quarters are for the test. Written once."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        _cut(unfinished)
        unfinished.rename(folder)
    parts = ({"path": str(folder / part), "resolution": 32, "flip": part == "seen"} for part in ("seen", "unseen"))
    seen, unseen = ({"type": "image_folder", "params": part} for part in parts)
    return seen, unseen


def _cut(folder: Path) -> None:
    import skimage
    from PIL import Image

    (folder / "seen").mkdir(parents=True)
    (folder / "unseen").mkdir()
    for name in PHOTOGRAPHS:
        photograph = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        photograph.thumbnail((256, 256), Image.Resampling.LANCZOS)
        border = photograph.width * 3 // 4
        for y in range(0, photograph.height - 31, 16):
            for x in range(0, photograph.width - 31, 16):
                if x + 32 <= border or x >= border:
                    place = folder / ("unseen" if x >= border else "seen") / f"{Path(name).stem}-{x}-{y}.png"
                    photograph.crop((x, y, x + 32, y + 32)).save(place)


# How a VQ and a KL autoencoder compare after so short a training is chance: either differs by 2 dB from seed to seed and from
# processor to processor (`python -m benchmarks.vector_quantisation`, docs/tasks.md). What the codebook costs is no chance:
# the same model's latents are decoded with and without it, .02 to .12 dB apart (two data sets, with and without AVX-512). Of the
# mean colours' error .41 was left on photographs.
@pytest.mark.slow
@pytest.mark.timeout(1200)  # 40 CPU seconds a training, which take longer where others compute too
@pytest.mark.parametrize("data", ["shapes", "photographs"])
@pytest.mark.parametrize("seed", range(cases(1, 5)))
def test_a_codebook_is_used_and_costs_little(registry: Registry, data: str, seed: int, tmp_path: Path) -> None:
    source = (SHAPES, UNSEEN) if data == "shapes" else tiles(tmp_path / "tiles")
    vq = run(registry, tmp_path, "vq", *source, steps=150, levels=3, seed=seed)
    assert vq["used"] >= 0.8, f"only {vq['used']:.0%} of {CODES} codes are used"
    assert vq["perplexity"] >= 0.3 * CODES
    assert vq["psnr"] >= vq["unquantised"] - 1, f"{vq['psnr']:.2f} dB, without the codebook {vq['unquantised']:.2f} dB"
    assert vq["error"] <= 0.8, "it has learned more than the pictures' mean colours"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kl", "vq"])
@pytest.mark.parametrize("levels", [3, 2, 4][: cases(1, 3)], ids=["f=4", "f=2", "f=8"][: cases(1, 3)])
def test_every_downsampling_factor_trains(registry: Registry, kind: str, levels: int, tmp_path: Path) -> None:
    found = run(registry, tmp_path, kind, SHAPES, UNSEEN, steps=80, levels=levels)
    assert found["last"] < 0.75 * found["first"]
