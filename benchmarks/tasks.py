"""Whether the paper's tasks do as they are told: `python -m benchmarks.tasks [NAME ...] [--workspace FOLDER] [--seed N] [--times N]`.

NAME is a shipped workflow; without any, all are measured. Each is run as shipped (trainings that the workspace has are
not repeated), but for more samples and other seeds than those of its picture, and judged by what never saw a generated
image: a small classifier, or the colour of pixels. The same is asked of the data itself and of what the first stage
makes of it, for no sample can be better than those; and of each sample by another sample's condition, the control: what
is right by chance.

Conditions are unseen: captions of pairs that are held out of training, layouts, maps and pictures of another seed. (Of
classes and of captions of a single shape there are 24, all of them trained on.) --seed trains and samples anew with
another seed; --times N draws pictures N times as high and wide as those that were trained on, by convolution alone, and
measures the workflows that can.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from tests.workflows.judging import colours, overlap  # noqa: E402
from tests.workflows.oracle import accuracy, cut_out, oracle  # noqa: E402
from tests.workflows.relations import captions_of, judged, objects_of, shuffled  # noqa: E402

COUNT = 144  # a multiple of the 24 classes
SIDE = 32  # of the pictures that are trained on

classifier = cache(oracle)


def tell(what: str, **figures: float) -> None:
    print(f"  {what:<44}" + "   ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def beside(what: str, figures: Callable[..., dict[str, float]], images: Tensor, *asked: Tensor) -> None:
    """Figures of images by their own conditions, and by those of others, one each, drawn by lot: the control."""
    tell(what, **figures(images, *asked))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    others = torch.empty_like(order).index_copy_(0, order, order.roll(1))
    tell("· by another one's condition", **figures(images, *(each[others] for each in asked)))


def nodes_of(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Every node by its id, those in bodies too."""
    inside = [nodes_of(node.body.nodes) for node in nodes.values() if node.body]
    return dict(nodes) | {id: node for part in inside for id, node in part.items()}


@dataclass(frozen=True)
class Bench:
    """Shipped workflows in a workspace, run with one seed, at so many times the trained side."""

    engine: Engine
    seed: int = 0
    times: int = 1

    def values(
        self,
        name: str,
        changes: Mapping[str, Mapping[str, Any]],
        *targets: str,
        nodes: Mapping[str, Node] | None = None,
    ) -> dict[str, Any]:
        """The targets of a shipped workflow with parameters changed, and `nodes` in place of its own; nothing else is run."""
        workflow: Workflow = load(ROOT / "workflows" / f"{name}.json")
        workflow.nodes.update(nodes or {})
        known = nodes_of(workflow.nodes)
        for id, params in changes.items():
            known[id].params.update(params)
        return self.engine.run(workflow, targets=targets, only=True, seed=self.seed).values

    @property
    def count(self) -> int:
        """Pictures that are judged."""
        return COUNT // self.times**2

    def more(self, count: int = 0, **others: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The changes for more samples, from noise that the shipped picture does not use."""
        return {"noise": {"shape": [count or self.count, 4, *[8 * self.times] * 2], "seed": 100}} | others

    def unseen(self, count: int = 0, objects: int = 0) -> dict[str, Any]:
        """Pictures to condition on. Larger ones show more shapes, so that each is about as large as those that were trained on: one
        where one was, unless `objects` says how many."""
        larger = {"resolution": SIDE * self.times, "objects": objects or self.times**2} if self.times > 1 else {}
        return {"size": count or self.count} | larger


Measure = Callable[[Bench], None]


@torch.no_grad()
def through(first_stage: Any, images: Tensor) -> Tensor:
    decoded: Tensor = first_stage.decode(first_stage.encode(images)).clamp(-1, 1)
    return decoded


def class_found(images: Tensor, labels: Tensor) -> dict[str, float]:
    return {"class_found": accuracy(classifier(), images, labels)}


def sample(bench: Bench) -> None:
    """Is the asked class in the picture, by the quickstart's model (or the one that comes along)?"""
    labels = torch.arange(COUNT) % len(CLASSES)
    for scale in (1.0, 3.0):
        asked = bench.more(labels_to_sample={"values": labels.tolist()}, guide={"scale": scale})
        beside(f"samples at scale {scale:g}", class_found, bench.values("sample", asked, "decoded")["decoded"], labels)


def text_to_image(bench: Bench) -> None:
    """Is the caption's class in the picture?"""
    labels = torch.arange(COUNT) % len(CLASSES)
    captions = [f"a {CLASSES[label]}" for label in labels.tolist()]
    for scale in (1.0, 3.0):
        asked = bench.more(prompts={"values": captions}, guide={"scale": scale})
        images = bench.values("text_to_image", asked, "decoded")["decoded"]
        beside(f"samples at scale {scale:g}", class_found, images, labels)


def text_relations(bench: Bench) -> None:
    """Are both shapes there, in their colours, in the relation that the caption says?"""
    judge = classifier(objects=2)

    def told(what: str, images: Tensor, captions: list[str]) -> None:
        found = objects_of(images, judge)
        tell(what, **judged(found, captions))
        tell("· by another one's caption", **judged(found, shuffled(captions)))

    data = Shapes(SIDE, COUNT, seed=2, objects=2).get_batch(range(COUNT))
    told("data", data["images"], data["captions"])
    stage = bench.values("text_relations", {}, "first_stage")["first_stage"]
    told("data, through the first stage", through(stage, data["images"]), data["captions"])
    held_out = load(ROOT / "workflows" / "text_relations.json").nodes["parts"].params["combinations"]
    for scale, which in ((1.0, "held-out"), (3.0, "held-out"), (3.0, "trained")):
        captions = captions_of(held_out, COUNT, held_out=which == "held-out")
        asked = bench.more(prompts={"values": captions}, guide={"scale": scale})
        images = bench.values("text_relations", asked, "decoded")["decoded"]
        told(f"samples of {which} pairs at scale {scale:g}", images, captions)


def layout_to_image(bench: Bench) -> None:
    """Is each box's class in the box, and does its colour fill the box and no more?"""
    judge = classifier(objects=2)
    names = ("decoded", "originals", "boxes", "labels", "first_stage")

    def figures(images: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, float]:
        found = accuracy(judge, cut_out(images, boxes), labels.flatten())
        ratios = overlap(images, boxes, labels)
        half = float((ratios >= 0.5).float().mean())
        return {"asked_class_in_its_box": found, "iou": float(ratios.mean()), "iou_half": half}

    for scale in (1.0, 3.0):
        changes = bench.more(unseen=bench.unseen(), some={"count": bench.count}, guide={"scale": scale})
        got = bench.values("layout_to_image", changes, *names)
        asked = got["boxes"], got["labels"]
        if scale == 1.0:
            beside("data", figures, got["originals"], *asked)
            beside("data, through the first stage", figures, through(got["first_stage"], got["originals"]), *asked)
        beside(f"samples at scale {scale:g}", figures, got["decoded"], *asked)


def semantic_synthesis(bench: Bench) -> None:
    """Has each pixel the colour of its class?"""

    def figures(images: Tensor, maps: Tensor) -> dict[str, float]:
        asked, found = (maps - 1) % len(COLOURS) + 1, colours(images)
        asked = asked * (maps > 0)
        either = (asked > 0) | (found > 0)
        iou = float(((asked == found) & either).sum() / either.sum())
        return {"pixels_that_agree": float((asked == found).float().mean()), "shapes_iou": iou}

    for scale in (1.0, 1.5):
        changes = bench.more(unseen=bench.unseen(objects=9), some={"count": bench.count}, guide={"scale": scale})
        got = bench.values("semantic_synthesis", changes, "decoded", "originals", "maps", "first_stage")
        if scale == 1.0:
            beside("data", figures, got["originals"], got["maps"])
            stage = through(got["first_stage"], got["originals"])
            beside("data, through the first stage", figures, stage, got["maps"])
        beside(f"samples at scale {scale:g}", figures, got["decoded"], got["maps"])


def super_resolution(bench: Bench) -> None:
    """How near to the original, and to the small picture when shrunk again? Is its class still to be seen?"""

    def figures(images: Tensor, originals: Tensor, low: Tensor, labels: Tensor) -> dict[str, float]:
        shrunk = torch.nn.functional.interpolate(images, scale_factor=0.25, mode="bicubic", antialias=True)
        return {
            "psnr": float(psnr(images, originals).mean()),
            "ssim": float(ssim(images, originals).mean()),
            "psnr_shrunk": float(psnr(shrunk, low).mean()),
        } | (class_found(images, labels) if bench.times == 1 else {})

    labels = Shapes(SIDE, bench.count, seed=2).get_batch(range(bench.count))["labels"]
    changes = bench.more(unseen=bench.unseen(), originals={"count": bench.count})
    got = bench.values("super_resolution", changes, "decoded", "originals", "bicubic", "low", "first_stage")
    asked = got["originals"], got["low"], labels
    beside("bicubic", figures, got["bicubic"], *asked)
    beside("data, through the first stage", figures, through(got["first_stage"], got["originals"]), *asked)
    beside("samples", figures, got["decoded"], *asked)


def inpainting(bench: Bench) -> None:
    """Are known pixels kept, and has the filling the colours, and the picture the class, of the original?"""

    def figures(images: Tensor, originals: Tensor, hole: Tensor, labels: Tensor) -> dict[str, float]:
        agree = float((colours(images) == colours(originals))[hole].float().mean())
        kept = float((images - originals).abs().amax(1)[~hole].max())
        return {"known_pixels_differ": kept, "hole_colours_agree": agree} | class_found(images, labels)

    labels = Shapes(SIDE, COUNT, seed=2).get_batch(range(COUNT))["labels"]
    for style in ("thin", "medium", "thick"):
        changes = bench.more(unseen=bench.unseen(), originals={"count": COUNT}, mask={"style": style})
        got = bench.values("inpainting", changes, "filled", "originals", "hidden", "mask", "first_stage")
        originals, hole = got["originals"], got["mask"][:, 0] > 0.5
        stage = torch.where(hole[:, None], through(got["first_stage"], originals), originals)
        print(f"  {style} masks, which hide {float(hole.float().mean()):.0%}")
        for what, images in {
            "hole left grey": torch.where(hole[:, None], torch.zeros(()), originals),
            "data, through the first stage": stage,
            "filled": got["filled"],
        }.items():
            beside(what, figures, images, originals, hole, labels)


def image_guidance(bench: Bench) -> None:
    """Does the result, shrunk, equal the small picture that steered it?"""
    count = 24 // bench.times**2
    labels = Shapes(SIDE, count, seed=2).get_batch(range(count))["labels"]

    def figures(shrunk: Tensor, wanted: Tensor) -> dict[str, float]:
        return {"psnr_shrunk": float(psnr(shrunk, wanted).mean())}

    changes = bench.more(count, unseen=bench.unseen(count), originals={"count": count})
    got = bench.values("image_guidance", changes, "wanted", "small_again", "small_free", "decoded", "decoded_free")
    for what, shrunk, images in (("guided", "small_again", "decoded"), ("unguided", "small_free", "decoded_free")):
        beside(what, figures, got[shrunk], got["wanted"])
        if bench.times == 1:
            beside(what, class_found, got[images], labels)


TASKS: dict[str, Measure] = {
    task.__name__: task
    for task in (
        *(sample, text_to_image, text_relations, layout_to_image),
        *(semantic_synthesis, super_resolution, inpainting, image_guidance),
    )
}
CONVOLUTIONAL = ("semantic_synthesis", "super_resolution", "image_guidance")
"""What is told at each place, and not by attention to a few tokens, and so goes on beyond the trained area."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TASKS))
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--seed", type=int, default=0, help="of trainings and samples")
    parser.add_argument(
        "--times", type=int, default=1, choices=(1, 2, 3), help="the trained side, sampled convolutionally"
    )
    options = parser.parse_args()
    can = TASKS if options.times == 1 else CONVOLUTIONAL
    if unknown := [name for name in options.names if name not in can]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(can)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    engine = Engine(Registry.scan(["graph_runner.zones", "nodes"]), options.workspace)
    bench = Bench(engine, options.seed, options.times)
    for name in options.names or can:
        print(f"{name}: {(TASKS[name].__doc__ or '').strip()}")
        TASKS[name](bench)


if __name__ == "__main__":
    main()
