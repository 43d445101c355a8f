"""Shipped workflows on real pictures that packages bring: `python -m benchmarks.real_pictures [NAME ...] [--workspace FOLDER] [--seed N]`.

digits: scikit-learn's 1,797 handwritten digits become folders of PNGs, a folder a class, and the quickstart's graph a
class-conditional model of them, with an `image_folder` in place of its shapes. A support vector machine that was fitted to
real digits says what the samples show.

super_resolution, inpainting: scikit-image's photographs, cut into tiles; their right quarters are not trained on. Beside
the samples stands what needs no training: bicubic enlargement, and biharmonic filling.

The pictures are written below WORKSPACE/real and may be wired to any workflow from there. Of each figure the control is
told: the same samples asked of another one's condition.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.tasks import Bench, beside, through
from core.metrics.reconstruction import psnr, ssim
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node
from graph_runner.run.engine import Engine
from tests.nodes.test_vq_training import tiles

SIDE, COUNT = 16, 200
TILES = 96
Changes = Mapping[str, Mapping[str, Any]]


def trained(autoencoder: int, diffusion: int) -> dict[str, dict[str, Any]]:
    """So many steps of both stages, the discriminator from two thirds on."""
    start = autoencoder * 2 // 3
    return {
        "autoencoder": {"steps": autoencoder},
        "autoencoder_optimizer": {"horizon": autoencoder},
        "balance": {"start": start},
        "critic_loss_late": {"start": start},
        "unet0": {"model_channels": 32},
        "unet_optimizer": {"horizon": diffusion},
        "diffusion": {"steps": diffusion, "batch_size": 32},
    }


def write_digits(folder: Path) -> tuple[Path, Path]:
    """scikit-learn's digits, 8 × 8 pixels of 17 greys, as seen/CLASS/NUMBER.png and unseen/…: every fourth is unseen."""
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    for number, (pixels, label) in enumerate(zip(pictures.reshape(-1, 8, 8), labels, strict=True)):
        place = folder / ("unseen" if number % 4 == 0 else "seen") / str(label) / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(np.round(pixels * (255 / 16)))).save(place)
    return folder / "seen", folder / "unseen"


def pixels_of(images: Tensor) -> np.ndarray:
    """Pictures (b, 3, h, w) as the rows of 64 greys from 0 to 16 that scikit-learn's digits are."""
    small = torch.nn.functional.adaptive_avg_pool2d(images.clamp(-1, 1).mean(1, keepdim=True), 8)
    return (small.flatten(1).numpy() + 1) * 8


def digits(bench: Bench, folder: Path, changes: Changes | None = None) -> None:
    """Is the asked digit in the picture?"""
    from sklearn.svm import SVC

    from core.data.folder import ImageFolder
    from core.data.loader import take

    seen, unseen = write_digits(folder)
    known, new = (ImageFolder(each, SIDE) for each in (seen, unseen))
    batches = [take(each, range(len(each))) for each in (known, new)]
    judge = SVC(gamma=0.001).fit(pixels_of(batches[0]["images"]), batches[0]["labels"].numpy())

    def figures(images: Tensor, labels: Tensor) -> dict[str, float]:
        return {"asked_digit_found": float((judge.predict(pixels_of(images)) == labels.numpy()).mean())}

    beside("data, unseen", figures, batches[1]["images"], batches[1]["labels"])
    source = {"shapes": Node(type="image_folder", params={"path": str(seen.resolve()), "resolution": SIDE})}
    labels = torch.arange(COUNT) % 10
    both = trained(250, 500) | {
        "autoencoder0": {"channel_mult": [1, 2]},  # f = 2: latents of 8 × 8 again
        "embedder0": {"classes": 10},
        "preview_classes": {"classes": list(range(8))},
        "labels_to_sample": {"values": labels.tolist()},
    }
    for scale in (1.0, 3.0):
        asked = bench.more(COUNT, **both | {"guide": {"scale": scale}} | dict(changes or {}))
        got = bench.values("quickstart", asked, "decoded", "first_stage", nodes=source)
        if scale == 1.0:
            stage = through(got["first_stage"], batches[1]["images"])
            beside("data, unseen, through the first stage", figures, stage, batches[1]["labels"])
        beside(f"samples at scale {scale:g}", figures, got["decoded"], labels)


def _fidelity(images: Tensor, originals: Tensor) -> dict[str, float]:
    return {"psnr": float(psnr(images, originals).mean()), "ssim": float(ssim(images, originals).mean())}


def _photographs(bench: Bench, folder: Path, name: str, *targets: str) -> dict[str, Any]:
    """The targets of a shipped workflow that is trained on the left of the photographs, for tiles of their right quarters."""
    seen, unseen = tiles(folder)
    parts = {"shapes": Node(**seen), "unseen": Node(**unseen)}
    changes = bench.more(TILES, **trained(400, 600) | {"originals": {"count": TILES}})
    return bench.values(name, changes, *targets, nodes=parts)


def super_resolution(bench: Bench, folder: Path) -> None:
    """How near is a photograph of 8 × 8 pixels, enlarged to 32 × 32, to what it was?"""
    got = _photographs(bench, folder, "super_resolution", "decoded", "originals", "bicubic", "first_stage")
    originals = got["originals"]
    beside("bicubic", _fidelity, got["bicubic"], originals)
    beside("data, through the first stage", _fidelity, through(got["first_stage"], originals), originals)
    beside("samples", _fidelity, got["decoded"], originals)


def inpainting(bench: Bench, folder: Path) -> None:
    """How near is what a hole is filled with to what was there? (Thick masks.)"""
    from skimage.restoration import inpaint_biharmonic

    got = _photographs(bench, folder, "inpainting", "filled", "originals", "hidden", "mask", "first_stage")
    originals, hole = got["originals"], got["mask"] > 0.5
    smooth = [
        inpaint_biharmonic(image.permute(1, 2, 0).numpy(), mask[0].numpy(), channel_axis=-1)
        for image, mask in zip(originals, hole, strict=True)
    ]
    biharmonic = torch.from_numpy(np.stack(smooth)).permute(0, 3, 1, 2).float().clamp(-1, 1)
    stage = torch.where(hole, through(got["first_stage"], originals), originals)
    print(f"  masks hide {float(hole.float().mean()):.0%}")
    for what, images in (("hole left grey", torch.where(hole, 0.0, originals)), ("biharmonic", biharmonic)):
        beside(what, _fidelity, images, originals)
    beside("data, through the first stage", _fidelity, stage, originals)
    beside("filled", _fidelity, got["filled"], originals)


TASKS = {
    "digits": (digits, "digits"),
    "super_resolution": (super_resolution, "tiles"),
    "inpainting": (inpainting, "tiles"),
}


def main() -> None:
    """Write the pictures, train, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TASKS))
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--seed", type=int, default=0, help="of trainings and samples")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in TASKS]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(TASKS)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    bench = Bench(Engine(Registry.scan(["graph_runner.zones", "nodes"]), options.workspace), options.seed)
    for name in options.names or TASKS:
        measure, folder = TASKS[name]
        print(f"{name}: {(measure.__doc__ or '').strip()}")
        measure(bench, options.workspace.resolve() / "real" / folder)


if __name__ == "__main__":
    main()
