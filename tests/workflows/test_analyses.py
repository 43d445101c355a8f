"""The paper's analyses as shipped sweeps, small: each row of their tables against what a few lines make of the same latents."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.data.loader import take
from core.data.shapes import Shapes
from core.metrics.features import SmallFeatures
from core.models.attention import SpatialTransformer
from core.models.unet import UNet
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from tests.workflows.judging import frechet
from tests.workflows.test_tasks import SMALL, changed, nodes_of

UNSEEN = 16
TINY: dict[str, dict[str, Any]] = SMALL | {
    "unet0": SMALL["unet0"] | {"context_dim": SMALL["text0"]["dim"]},
    "real": {"count": 64},
    "unseen": {"size": UNSEEN},
    "unseen_images": {"count": UNSEEN},
    "held_out": {"count": UNSEEN},
    "asked": {"count": 8},
    "to_draw": {"count": 8},
    "seeds": {"values": [0, 1]},
    "diffusion": {"steps": 2, "batch_size": 4},
    "noise": {"shape": [8, 4, 8, 8]},
    "sizes": {
        "over": {"area": [1, 4], "tiles": [{"p": 1, "q": 1}, {"p": 2, "q": 2}], "shape": [[8, 4, 8, 8], [2, 4, 16, 16]]}
    },
}
TINY |= {id: {"steps": 2, "batch_size": 4} for id in ("train_kl", "train_vq", "judge", "autoencoder")}
TINY |= {id: {"model_channels": 8, "norm_groups": 4} for id in ("kl0", "vq0", "autoencoder0")}
ANALYSES = ("kl_and_vq", "attention_places", "latent_rescaling")


def tiny(name: str) -> Workflow:
    """The shipped workflow on small data and models, two steps each."""
    return changed(name, TINY)


def run(registry: Registry, folder: Path, name: str, *zones: str, **results: str) -> Result:
    """A tiny run whose zones, the innermost first, give more of what was made inside: a source for each name."""
    pytest.importorskip("matplotlib")
    workflow = tiny(name)
    nodes = nodes_of(workflow.nodes)
    for depth, id in enumerate(zones):
        body = nodes[id].body
        assert body is not None
        body.results |= {name: f"{zones[depth - 1]}.{name}" if depth else source for name, source in results.items()}
    outermost = zones[-1]
    return Engine(registry, folder).run(
        workflow, targets=["table", "means", *(f"{outermost}.{name}" for name in results)]
    )


def rows(result: Result) -> list[dict[str, Any]]:
    table = result.values["table"]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows()]


def flat(values: list[Any]) -> list[Any]:
    """What loops in loops collect, the innermost after each other."""
    return [inner for value in values for inner in (flat(value) if isinstance(value, list) else [value])]


def features(images: Tensor) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = SmallFeatures()(images).double().numpy()
    return found


def of_training(objects: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    return features(take(Shapes(32, 64, seed, objects), range(64))["images"])


def written(result: Result) -> set[str]:
    return {Path(shown.path).name for shown in result.shown if not shown.preview}


@pytest.mark.slow
def test_kl_and_vq_are_measured_alike(registry: Registry, tmp_path: Path) -> None:
    result = run(registry, tmp_path, "kl_and_vq", "compare", "sweep", codes="codes", copies="copies", decoded="decoded")
    table, values = rows(result), result.values
    names = ["KL", "KL, rescaled", "VQ", "VQ, rescaled"]
    assert [(row["seed"], row["first_stage"]) for row in table] == [(seed, name) for seed in (0, 1) for name in names]
    originals, real = take(Shapes(32, UNSEEN, 1), range(UNSEEN))["images"], of_training()
    for row, z, copies, images in zip(
        table, *(flat(values[f"sweep.{name}"]) for name in ("codes", "copies", "decoded")), strict=True
    ):
        errors = (copies.clamp(-1, 1) - originals).double().square().mean((1, 2, 3))
        assert row["psnr"] == pytest.approx(float((10 * (4 / errors).log10()).mean()), rel=1e-4)
        assert row["variance"] == pytest.approx(float(z.double().var()), rel=1e-4)
        assert row["reconstruction_distance"] == pytest.approx(frechet(real, features(copies)), rel=1e-2)
        assert row["distance"] == pytest.approx(frechet(real, features(images)), rel=1e-2)
    means = result.values["means"].columns
    for name in ("psnr", "distance"):
        pairs = [[row[name] for row in table if row["first_stage"] == kind] for kind in means["first_stage"]]
        assert means[f"{name}_mean"] == pytest.approx([statistics.fmean(pair) for pair in pairs])
        assert means[f"{name}_deviation"] == pytest.approx([statistics.stdev(pair) for pair in pairs])
    for plain, rescaled in ((0, 1), (2, 3), (4, 5), (6, 7)):
        assert table[rescaled]["psnr"] == pytest.approx(table[plain]["psnr"], abs=1e-3), (
            "the scale is undone in decoding"
        )
        assert table[rescaled]["variance"] == pytest.approx(1, abs=0.5)
    assert written(result) == {"kl-and-vq.csv", "kl-and-vq-means.csv", "kl-and-vq.png", "kl-and-vq-grid.png"}


def places(unet: UNet) -> tuple[int, int, int]:
    """How many transformers the way down, the middle and the way up have."""
    parts = (unet.input_blocks, unet.middle_block, unet.output_blocks)
    down, middle, up = (sum(isinstance(module, SpatialTransformer) for module in part.modules()) for part in parts)
    return down, middle, up


@pytest.mark.slow
def test_attention_sits_where_its_row_says_and_obedience_is_the_judges(registry: Registry, tmp_path: Path) -> None:
    given = {"z": "sample", "unet": "diffusion.ema.unet", "judge": "judge.models.classifier"}
    result = run(registry, tmp_path, "attention_places", "repeats", "arms", **given)
    table, values = rows(result), result.values
    names = ["middle", "lowest level", "two levels", "all levels"]
    assert [(row["places"], row["seed"]) for row in table] == [(name, seed) for name in names for seed in (0, 1)]
    unets = flat(values["arms.unet"])
    assert [places(unet) for unet in unets[::2]] == [(0, 1, 0), (1, 1, 2), (2, 1, 4), (3, 1, 6)]
    labels = take(Shapes(32, UNSEEN, 1), range(8))["labels"]
    for row, z, judge in zip(table, flat(values["arms.z"]), flat(values["arms.judge"]), strict=True):
        with torch.no_grad():
            likeliest = judge(z, torch.zeros(len(z))).argmax(1)
        assert row["found"] == pytest.approx(float((likeliest == labels).double().mean()))
    pairs = [[row["found"] for row in table if row["places"] == name] for name in names]
    means = values["means"].columns
    assert list(means["places"]) == names
    assert means["found_mean"] == pytest.approx([statistics.fmean(pair) for pair in pairs])
    assert written(result) == {f"attention-places{name}" for name in (".csv", "-means.csv", ".png", "-grid.png")}


def test_larger_pictures_are_measured_where_their_maps_say(registry: Registry, tmp_path: Path) -> None:
    given = {"z": "clean", "decoded": "decoded"}
    result = run(registry, tmp_path, "latent_rescaling", "sizes", "arms", "sweep", **given)
    table, values = rows(result), result.values
    assert [(row["seed"], row["latents"], row["area"]) for row in table] == [
        (seed, name, area) for seed in (0, 1) for name in ("as they are", "rescaled") for area in (1, 4)
    ]
    scenes = take(Shapes(32, UNSEEN, 2, 3), range(8))
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = float(np.prod(1 - betas[:501]))
    real = of_training(objects=3, seed=1)
    for row, z, images in zip(table, flat(values["sweep.z"]), flat(values["sweep.decoded"]), strict=True):
        assert row["snr"] == pytest.approx(float(z.double().var()) * kept / (1 - kept), rel=1e-3)
        side = 32 if row["area"] == 1 else 64
        assert images.shape[2:] == (side, side)
        crops = torch.stack(
            [
                image[:, y : y + 32, x : x + 32]
                for image in images
                for y in range(0, side, 32)
                for x in range(0, side, 32)
            ]
        )
        near = (crops - scenes["images"]).abs().mean(1) < 0.25
        inside = scenes["segmentation"] > 0
        assert row["agreement"] == pytest.approx(float(near[inside].double().mean()), abs=1e-6)
        assert row["distance"] == pytest.approx(frechet(real, features(crops)), rel=1e-2)
    means = values["means"].columns
    pair = [row["agreement"] for row in table if (row["latents"], row["area"]) == ("rescaled", 4)]
    where = list(zip(means["latents"], means["area"], strict=True)).index(("rescaled", 4))
    assert means["agreement_mean"][where] == pytest.approx(statistics.fmean(pair))
    assert written(result) == {f"latent-rescaling{name}" for name in (".csv", "-means.csv", ".png", "-grid.png")}
