"""Metrics through the nodes: of reconstructions over a whole data set, and with the weight files that a user has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.data.loader import take
from core.data.shapes import Shapes
from core.metrics.distribution import frechet_distance
from core.metrics.distribution import inception_score as score
from core.metrics.features import SmallFeatures
from core.metrics.inception import InceptionV3
from core.metrics.reconstruction import psnr, ssim
from core.models.lpips import LPIPS
from graph_runner.context import Processes
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from nodes.edges import edge_agreement
from nodes.metrics import inception_score


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "wires": wires, "params": params or {}}


TINY = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}
DATA = {
    "data": node("shapes_dataset", {"size": 40}),
    "kl": node("kl_autoencoder", TINY),
    "again": node("reconstruct_dataset", autoencoder="kl", data="data"),
}


def run(engine: Engine, *targets: str, **nodes: Any) -> dict[str, Any]:
    return dict(engine.run(Workflow.model_validate({"loom": 1, "nodes": DATA | nodes}), targets=targets).values)


def test_a_data_set_and_its_reconstructions_are_compared_batch_by_batch(engine: Engine) -> None:
    found = run(
        engine,
        *("rfid", "psnr", "ssim", "kl"),
        network=node("small_features"),
        real=node("data_features", {"batch_size": 16}, network="network", data="data"),
        lossy=node("data_features", {"batch_size": 16}, network="network", data="again"),
        rfid=node("frechet_distance", real="real", generated="lossy"),
        some=node("take_images", {"count": 4, "start": 20}, data="data"),
        lost=node("take_images", {"count": 4, "start": 20}, data="again"),
        psnr=node("psnr", images="lost", originals="some"),
        ssim=node("ssim", images="lost", originals="some"),
    )
    images = take(Shapes(32, 40), range(40))["images"]
    with torch.no_grad():
        reconstructed = found["kl"].decode(found["kl"].encode(images))
        network = SmallFeatures()
        rfid = frechet_distance(network(images), network(reconstructed))
    assert float(found["rfid"]) == pytest.approx(rfid, rel=1e-3)
    for name, measure in (("psnr", psnr), ("ssim", ssim)):
        wanted = measure(reconstructed[20:24], images[20:24]).mean()
        assert float(found[name]) == pytest.approx(float(wanted), rel=1e-4)


def test_statistics_are_kept_saved_and_read_again(engine: Engine) -> None:
    nodes = {
        "network": node("small_features"),
        "real": node("data_features", {"batch_size": 16}, network="network", data="data"),
        "lossy": node("data_features", {"batch_size": 16}, network="network", data="again"),
        "rfid": node("frechet_distance", real="real", generated="lossy"),
        "reference": node("feature_statistics", features="real"),
        "save": node("save_statistics", {"name": "shapes"}, statistics="reference"),
        "by_reference": node("frechet_to_statistics", statistics="reference", generated="lossy"),
        "spread": node("density_coverage", real="real", generated="lossy"),
    }
    found = run(engine, "rfid", "by_reference", "save", "spread", **nodes)
    assert float(found["by_reference"]) == pytest.approx(float(found["rfid"]), rel=1e-5)
    assert 0 <= float(found["spread.coverage"]) <= 1
    nodes["reference"] = node("load_statistics", {"path": "statistics/shapes.npz"})
    del nodes["save"]
    assert float(run(engine, "by_reference", **nodes)["by_reference"]) == pytest.approx(float(found["rfid"]), rel=1e-5)


def test_a_reconstruction_keeps_its_samples_other_fields(engine: Engine) -> None:
    again = run(engine, "again")["again"]
    original = take(Shapes(32, 40), [3, 7])
    assert len(again) == 40
    assert torch.equal(take(again, [3, 7])["labels"], original["labels"])
    assert again[7]["caption"] == original["captions"][1]
    assert again.classes == Shapes.classes


@pytest.mark.parametrize("files", [1, 2])
def test_lpips_measures_with_the_users_weight_files(engine: Engine, tmp_path: Path, files: int) -> None:
    torch.manual_seed(0)
    lpips = LPIPS()
    state = lpips.state_dict()
    parts = [{key: value for key, value in state.items() if key.startswith(start)} for start in ("net", "lin")]
    params = {"vgg": "vgg.pth"}
    torch.save(parts[0] if files == 2 else state, tmp_path / "vgg.pth")
    if files == 2:
        params["heads"] = "heads.pth"
        torch.save(parts[1], tmp_path / "heads.pth")
    found = run(
        engine,
        *("distance", "loss"),
        network=node("lpips_network", params),
        some=node("take_images", {"count": 2}, data="data"),
        lost=node("take_images", {"count": 2}, data="again"),
        distance=node("perceptual_distance", network="network", images="lost", originals="some"),
        loss=node("reconstruction_loss", {"reduction": "mean"}, network="network", a="lost", b="some"),
    )
    images = take(Shapes(32, 40), range(2))["images"]
    again = run(engine, "again")["again"].get_batch(torch.arange(2).numpy())["images"]
    with torch.no_grad():
        distance = lpips(again, images).mean()
    assert float(found["distance"]) == pytest.approx(float(distance), rel=1e-4)
    wanted = (again - images).abs().mean() + distance
    assert float(found["loss"]) == pytest.approx(float(wanted), rel=1e-4)


def test_the_inception_score_reads_the_networks_classes() -> None:
    torch.manual_seed(0)
    network = InceptionV3()
    features: Tensor = torch.rand(20, 2048)
    wanted = score(network.logits(features), splits=2)
    found = inception_score(network, features, splits=2)
    assert (float(found.score), float(found.deviation)) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="a SmallFeatures knows no classes; wire inception_network"):
        inception_score(SmallFeatures(), features)


def test_chance_is_measured_at_the_next_pictures_edges() -> None:
    edges = torch.full((2, 3, 8, 8), -1.0)
    edges[0, :, 2, 2:4] = edges[1, :, 6, 6] = 1
    assert tuple(map(float, edge_agreement(edges, edges, Processes()))) == (1, 0)
    with pytest.raises(ValueError, match="give at least two pictures"):
        edge_agreement(edges[:1], edges[:1], Processes())
