"""Whether the paper's tasks do as they are told: `python -m benchmarks.tasks [NAME ...] [--workspace FOLDER]`.

NAME is a shipped workflow; without any, all are measured. Each is run as shipped (trainings that the workspace has are
not repeated), but for more samples and other seeds than those of its picture, and judged by what never saw a generated
image: a small classifier, or the colour of pixels. The same is asked of the data itself and of what the first stage
makes of it, for no sample can be better than those.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.data.shapes import CLASSES, COLOURS, Shapes
from core.metrics.reconstruction import psnr, ssim
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Node, Workflow, load
from graph_runner.run.engine import Engine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.workflows.oracle import accuracy, cut_out, oracle  # noqa: E402

COUNT = 144  # a multiple of the 24 classes
VIVID = 0.75
"""What separates the shapes' colours from the muted backgrounds: the largest less the smallest of r, g, b in [-1, 1]
(backgrounds have .44 at most, the palette 1.3 or more)."""

Measure = Callable[[Engine], None]

classifier = cache(oracle)


def tell(what: str, **figures: float) -> None:
    print(f"  {what:<44}" + "   ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def nodes_of(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Every node by its id, those in bodies too."""
    inside = [nodes_of(node.body.nodes) for node in nodes.values() if node.body]
    return dict(nodes) | {id: node for part in inside for id, node in part.items()}


def values(engine: Engine, name: str, changes: Mapping[str, Mapping[str, Any]], *targets: str) -> dict[str, Any]:
    """The targets of a shipped workflow with parameters changed, and nothing else run."""
    workflow: Workflow = load(ROOT / "workflows" / f"{name}.json")
    known = nodes_of(workflow.nodes)
    for id, params in changes.items():
        known[id].params.update(params)
    return engine.run(workflow, targets=targets, only=True).values


def more(count: int = COUNT, **others: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The changes for `count` samples from noise that the shipped picture does not use."""
    return {"noise": {"shape": [count, 4, 8, 8], "seed": 100}} | others


@torch.no_grad()
def through(first_stage: Any, images: Tensor) -> Tensor:
    decoded: Tensor = first_stage.decode(first_stage.encode(images)).clamp(-1, 1)
    return decoded


def colours(images: Tensor) -> Tensor:
    """For each pixel 0 for background, else 1 + the number of the nearest of the six colours, (b, h, w)."""
    palette = torch.tensor(list(COLOURS.values())) * 2 - 1
    images = images.clamp(-1, 1)
    nearest = (images[:, None] - palette[None, :, :, None, None]).square().sum(2).argmin(1) + 1
    return nearest * (images.amax(1) - images.amin(1) > VIVID)


def overlap(images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Intersection over union of each asked box with that of the pixels in its colour, for scenes without two alike."""
    n, side = len(COLOURS), images.shape[-1]
    found = colours(images)
    ratios = []
    for image, row, kinds in zip(found, boxes, labels % n + 1, strict=True):
        if len(kinds.unique()) < len(kinds):
            continue
        for (x0, y0, x1, y1), kind in zip(row.tolist(), kinds.tolist(), strict=True):
            y, x = (image == kind).nonzero(as_tuple=True)
            if not len(x):
                ratios.append(0.0)
                continue
            left, top, right, bottom = (float(v) / side for v in (x.min(), y.min(), x.max() + 1, y.max() + 1))
            shared = max(0.0, min(right, x1) - max(left, x0)) * max(0.0, min(bottom, y1) - max(top, y0))
            ratios.append(shared / ((right - left) * (bottom - top) + (x1 - x0) * (y1 - y0) - shared))
    return torch.tensor(ratios)


def text_to_image(engine: Engine) -> None:
    """Is the caption's class in the picture?"""
    judge, labels = classifier(), torch.arange(COUNT) % len(CLASSES)
    captions = [f"a {CLASSES[label]}" for label in labels.tolist()]
    for scale in (1.0, 3.0):
        asked = more(prompts={"values": captions}, guide={"scale": scale})
        images = values(engine, "text_to_image", asked, "decoded")["decoded"]
        tell(f"samples at scale {scale:g}", asked_class_found=accuracy(judge, images, labels))


def layout_to_image(engine: Engine) -> None:
    """Is each box's class in the box, and does its colour fill the box and no more?"""
    judge = classifier(objects=2)
    names = ("decoded", "originals", "boxes", "labels", "first_stage")

    def judged(what: str, images: Tensor, boxes: Tensor, labels: Tensor) -> None:
        found = accuracy(judge, cut_out(images, boxes), labels.flatten())
        ratios = overlap(images, boxes, labels)
        tell(
            what, asked_class_in_its_box=found, iou=float(ratios.mean()), iou_half=float((ratios >= 0.5).float().mean())
        )

    for scale in (1.0, 3.0):
        changes = more(unseen={"size": COUNT}, some={"count": COUNT}, guide={"scale": scale})
        got = values(engine, "layout_to_image", changes, *names)
        asked = got["boxes"], got["labels"]
        if scale == 1.0:
            judged("data", got["originals"], *asked)
            judged("data, through the first stage", through(got["first_stage"], got["originals"]), *asked)
            judged("data, of other layouts", got["originals"].roll(1, 0), *asked)
        judged(f"samples at scale {scale:g}", got["decoded"], *asked)


def semantic_synthesis(engine: Engine) -> None:
    """Has each pixel the colour of its class?"""

    def judged(what: str, images: Tensor, maps: Tensor) -> None:
        asked, found = (maps - 1) % len(COLOURS) + 1, colours(images)
        asked = asked * (maps > 0)
        either = (asked > 0) | (found > 0)
        tell(
            what,
            pixels_that_agree=float((asked == found).float().mean()),
            shapes_iou=float(((asked == found) & either).sum() / either.sum()),
        )

    for scale in (1.0, 1.5):
        changes = more(unseen={"size": COUNT}, some={"count": COUNT}, guide={"scale": scale})
        got = values(engine, "semantic_synthesis", changes, "decoded", "originals", "maps", "first_stage")
        if scale == 1.0:
            judged("data", got["originals"], got["maps"])
            judged("data, through the first stage", through(got["first_stage"], got["originals"]), got["maps"])
            judged("data, of other maps", got["originals"].roll(1, 0), got["maps"])
        judged(f"samples at scale {scale:g}", got["decoded"], got["maps"])


def super_resolution(engine: Engine) -> None:
    """How near to the original, and to the small picture when shrunk again? Is its class still to be seen?"""
    judge = classifier()
    labels = Shapes(32, COUNT, seed=2).get_batch(list(range(COUNT)))["labels"]
    changes = more(unseen={"size": COUNT}, originals={"count": COUNT})
    got = values(engine, "super_resolution", changes, "decoded", "originals", "bicubic", "low", "first_stage")
    originals = got["originals"]
    rows = {
        "bicubic": got["bicubic"],
        "data, through the first stage": through(got["first_stage"], originals),
        "samples": got["decoded"],
    }
    for what, images in rows.items():
        shrunk = torch.nn.functional.interpolate(images, scale_factor=0.25, mode="bicubic", antialias=True)
        tell(
            what,
            psnr=float(psnr(images, originals).mean()),
            ssim=float(ssim(images, originals).mean()),
            psnr_shrunk=float(psnr(shrunk, got["low"]).mean()),
            class_found=accuracy(judge, images, labels),
        )


def inpainting(engine: Engine) -> None:
    """Are known pixels kept, and has the filling the colours, and the picture the class, of the original?"""
    judge = classifier()
    labels = Shapes(32, COUNT, seed=2).get_batch(list(range(COUNT)))["labels"]
    for style in ("thin", "medium", "thick"):
        changes = more(unseen={"size": COUNT}, originals={"count": COUNT}, mask={"style": style})
        got = values(engine, "inpainting", changes, "filled", "originals", "hidden", "mask", "first_stage")
        originals, hole = got["originals"], got["mask"][:, 0] > 0.5
        grey = torch.where(hole[:, None], torch.zeros(()), originals)
        stage = torch.where(hole[:, None], through(got["first_stage"], originals), originals)
        print(f"  {style} masks, which hide {float(hole.float().mean()):.0%}")
        for what, images in {
            "hole left grey": grey,
            "data, through the first stage": stage,
            "filled": got["filled"],
        }.items():
            kept = (images - originals).abs().amax(1)[~hole].max()
            tell(
                what,
                known_pixels_differ=float(kept),
                hole_colours_agree=float((colours(images) == colours(originals))[hole].float().mean()),
                class_found=accuracy(judge, images, labels),
            )


def image_guidance(engine: Engine) -> None:
    """Does the result, shrunk, equal the small picture that steered it?"""
    judge = classifier()
    labels = Shapes(32, 24, seed=2).get_batch(list(range(24)))["labels"]
    changes = more(24, unseen={"size": 24}, originals={"count": 24})
    got = values(engine, "image_guidance", changes, "psnr_small", "psnr_free", "decoded", "decoded_free")
    for what, number, images in (("guided", "psnr_small", "decoded"), ("unguided", "psnr_free", "decoded_free")):
        tell(what, psnr_shrunk=float(got[number]), class_found=accuracy(judge, got[images], labels))


TASKS: dict[str, Measure] = {
    task.__name__: task
    for task in (text_to_image, layout_to_image, semantic_synthesis, super_resolution, inpainting, image_guidance)
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TASKS))
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in TASKS]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(TASKS)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    engine = Engine(Registry.scan(["graph_runner.zones", "nodes"]), options.workspace)
    for name in options.names or TASKS:
        print(f"{name}: {(TASKS[name].__doc__ or '').strip()}")
        TASKS[name](engine)


if __name__ == "__main__":
    main()
