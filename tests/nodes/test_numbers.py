"""What our nodes do with values that are no numbers: decoding, showing, saving, measuring, training and loading refuse them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.checkpoints.files import CheckpointError
from core.checkpoints.lora import read_lora
from core.checkpoints.model_io import load_model, save_model
from core.models.autoencoder import KLAutoencoder
from core.numbers import finite, spoilt
from graph_runner.contract import node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from graph_runner.store.folders import load_tree
from nodes.wires import Autoencoder, Features, Image, Latent, Loss, Scalar
from tests.graph_runner.toys import Number

TINY = {"model_channels": 4, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 2}
BAD = [float("nan"), float("inf"), float("-inf")]


@node(category="toy")
def marred_images(value: float | str = 0.0, side: int = 16) -> Image:
    """Grey images, of which one has one value of its own."""
    images = torch.zeros(2, 3, side, side)
    images[1, 2, 0, 0] = float(value)
    return images


@node(category="toy")
def marred_latents(value: float | str = 0.0) -> Latent:
    """Latents, of which one has one value of its own."""
    z = torch.zeros(2, 4, 8, 8)
    z[1, 2, 0, 0] = float(value)
    return z


@node(category="toy")
def marred_features(value: float | str = 0.0) -> Features:
    """Features, of which one has one value of its own."""
    features = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    features[3, 1] = float(value)
    return features


@node(category="toy")
def marred_scalar(value: float | str = 0.0) -> Scalar:
    """A number."""
    return torch.tensor(float(value))


@node(category="toy", mutates=("autoencoder",))
def overflowing(autoencoder: Autoencoder) -> Autoencoder:
    """An autoencoder whose decoder gives more than float16 can hold, and what float32 can."""
    with torch.no_grad():
        autoencoder.post_quant_conv.weight.mul_(1e7)
        autoencoder.post_quant_conv.bias.add_(1e6)
    return autoencoder


@node(category="toy")
def root_of(x: Number, lower: float = 0.0) -> Loss:
    """√(x − lower): a loss that is NaN once x is below."""
    return (x - lower).sqrt()


@pytest.fixture(scope="module")
def registry() -> Registry:
    toys = ["tests.graph_runner.toys", "tests.nodes.toy_data"]
    return Registry.scan(["graph_runner.zones", "nodes", *toys, __name__])


def refusal(registry: Registry, workspace: Path, nodes: dict[str, Any], *targets: str, **options: Any) -> NodeError:
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
    with pytest.raises(NodeError) as caught:
        Engine(registry, workspace, **options).run(workflow, targets=targets)
    assert isinstance(caught.value.__cause__, FloatingPointError)
    return caught.value


SINKS: dict[str, dict[str, Any]] = {
    "save_image": {"wires": {"images": "marred"}},
    "preview_image": {"wires": {"images": "marred"}},
    "image_grid": {"wires": {"images": "marred"}},
    "side_by_side": {"wires": {"images": ["fine", "marred"]}},
    "psnr": {"wires": {"images": "marred", "originals": "fine"}},
    "ssim": {"wires": {"images": "fine", "originals": "marred"}},
    "perceptual_distance": {"wires": {"images": "marred", "originals": "fine", "network": "haar"}},
    "image_features": {"wires": {"images": "marred", "network": "small"}},
    "decode": {"wires": {"z": "latents", "autoencoder": "autoencoder"}},
    "decode_tiles": {"wires": {"z": "latents", "autoencoder": "autoencoder"}},
    "frechet_distance": {"wires": {"real": "features", "generated": "fine_features"}},
    "kernel_distance": {"wires": {"real": "fine_features", "generated": "features"}},
    "precision_recall": {"wires": {"real": "features", "generated": "fine_features"}},
}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("sink", SINKS)
def test_sinks_refuse_values_that_are_no_numbers(registry: Registry, tmp_path: Path, sink: str, value: float) -> None:
    def nodes(marred: float) -> dict[str, Any]:
        return {
            "fine": {"type": "marred_images"},
            "marred": {"type": "marred_images", "params": {"value": str(marred)}},
            "latents": {"type": "marred_latents", "params": {"value": str(marred)}},
            "features": {"type": "marred_features", "params": {"value": str(marred)}},
            "fine_features": {"type": "marred_features"},
            "haar": {"type": "haar_network"},
            "small": {"type": "small_features"},
            "autoencoder": {"type": "kl_autoencoder", "params": TINY},
            "sink": {"type": sink, **SINKS[sink]},
        }

    error = refusal(registry, tmp_path, nodes(value), "sink")
    maker = {"decode": "latents", "decode_tiles": "latents"}.get(
        sink, "features" if "features" in str(SINKS[sink]) else "marred"
    )
    assert error.node == maker, "where they came up"
    assert "sink refused what came of it" in str(error)
    assert not list(tmp_path.rglob("*.png"))
    workflow = Workflow.model_validate({"loom": 1, "nodes": nodes(0.5)})
    assert Engine(registry, tmp_path).run(workflow, targets=["sink"]).status == "done"


@pytest.mark.parametrize("value", BAD)
def test_a_report_refuses_what_is_no_number(registry: Registry, tmp_path: Path, value: float) -> None:
    nodes = {
        "y": {"type": "marred_scalar", "params": {"value": str(value)}},
        "r": {"type": "log_metrics", "wires": {"values": {"error": "y"}}},
    }
    assert refusal(registry, tmp_path, nodes).node == "y"


def test_the_decoder_that_overflows_in_float16_is_named_with_the_remedy(registry: Registry, tmp_path: Path) -> None:
    nodes = {
        "z": {"type": "marred_latents"},
        "plain": {"type": "kl_autoencoder", "params": TINY},
        "autoencoder": {"type": "overflowing", "wires": {"autoencoder": "plain"}},
        "image": {"type": "decode", "wires": {"autoencoder": "autoencoder", "z": "z"}},
        "save": {"type": "save_image", "wires": {"images": "image"}},
    }
    error = refusal(registry, tmp_path, nodes, dtype="float16")
    assert error.node == "image"
    assert "float16 overflows beyond 65,504, and needs bfloat16 or float32 then (--dtype" in str(error)
    for dtype in ("float32", "bfloat16"):
        workflow = Workflow.model_validate({"loom": 1, "nodes": nodes})
        assert Engine(registry, tmp_path, dtype=dtype).run(workflow).status == "done"


def training(lower: float, steps: int = 12, lr: float = 0.1) -> dict[str, Any]:
    """A weight that falls by about `lr` a step from 1; the loss is NaN once it is below `lower`."""
    body = {
        "x": {"type": "batch_number", "wires": {"batch": "fit.batch"}},
        "y": {"type": "apply", "wires": {"model": "fit.models.m", "x": "x"}},
        "loss": {"type": "root_of", "wires": {"x": "y"}, "params": {"lower": lower}},
        "aim": {"type": "objective", "wires": {"loss": "loss", "models": ["fit.models.m"], "optimizer": "adam"}},
    }
    return {
        "data": {"type": "toy_data", "params": {"values": [1.0]}},
        "model0": {"type": "scalar_model"},
        "adam": {"type": "adamw", "params": {"lr": lr, "weight_decay": 0}},
        "fit": {
            "type": "train",
            "wires": {"data": "data", "models": {"m": "model0"}},
            "params": {"steps": steps, "batch_size": 1, "ema": 0.5, "log_every": 4},
            "body": {"nodes": body, "results": {"objectives": ["aim"]}},
        },
    }


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_a_training_that_meets_nan_stops_names_the_node_and_keeps_no_spoilt_weights(
    registry: Registry, tmp_path: Path, seconds: float
) -> None:
    workflow = Workflow.model_validate({"loom": 1, "nodes": training(0.45)})
    with pytest.raises(NodeError) as caught:
        Engine(registry, tmp_path).run(workflow, targets=["fit.models.m"], checkpoint_seconds=seconds)
    assert caught.value.node == "loss"
    assert ", in step 7 of fit. fit refused what came of it: the loss of objective" in str(caught.value)
    assert "lower its learning rate" in str(caught.value)
    kept = sorted(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("*/step-*"))
    assert kept == ([5, 6] if seconds == 0 else [])
    for step in kept:
        tree = load_tree(next((tmp_path / "checkpoints").glob(f"*/step-{step}")))
        assert not spoilt(tree["models"]["m"])
        assert not spoilt(tree["averages"]["m"])
    shorter = Workflow.model_validate({"loom": 1, "nodes": training(0.45, steps=6)})
    assert Engine(registry, tmp_path).run(shorter, targets=["fit.models.m"]).status == "done", (
        "what was learned is there"
    )


def test_weights_spoilt_by_the_last_step_are_not_handed_on(registry: Registry, tmp_path: Path) -> None:
    """The root's gradient is infinite where the root is 0: the loss is a number, and the step makes the weight none."""
    workflow = Workflow.model_validate({"loom": 1, "nodes": training(1.0, steps=1)})
    with pytest.raises(NodeError, match=r"^fit: .*NaN .*in what it gives") as caught:
        Engine(registry, tmp_path).run(workflow, targets=["fit.models.m"])
    assert "models.m.weight" in str(caught.value)
    assert not list((tmp_path / "checkpoints").glob("*/step-*"))


def test_a_model_that_is_no_number_is_neither_saved_nor_loaded(tmp_path: Path) -> None:
    model, file = KLAutoencoder(**TINY), tmp_path / "model.safetensors"
    save_model(model, file)
    header, tensors = _header(file), load_file(file)
    del header["crc32"]  # as other programs' files, which have none
    tensors["decoder.conv_out.bias"][1] = float("nan")
    save_file(tensors, file, header)
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors: 1 of the 3 values of decoder\.conv_out\.bias are no"
    ):
        load_model(file)
    with torch.no_grad():
        model.decoder.conv_out.bias[0] = float("inf")
    with pytest.raises(FloatingPointError, match=r"decoder\.conv_out\.bias.*other\.safetensors"):
        save_model(model, tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_nan_in_lora_factors_is_told_when_loaded(tmp_path: Path) -> None:
    down, up = torch.ones(2, 4), torch.ones(4, 2)
    up[3, 1] = float("nan")
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    file = tmp_path / "style.safetensors"
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, file)
    with pytest.raises(
        CheckpointError, match=rf"style\.safetensors: 1 of the 8 values of {name}\.lora_up\.weight are no"
    ):
        read_lora(file)


def test_what_carries_gradients_or_no_contents_is_not_looked_at() -> None:
    nan = torch.tensor([float("nan")])
    assert finite(nan.clone().requires_grad_(), "x").requires_grad
    assert finite(torch.empty(2, device="meta"), "x").is_meta
    assert spoilt({"a": torch.ones(2), "b": nan, "c": nan}) == "b"
    with pytest.raises(FloatingPointError, match="1 of the 1 values of x are no numbers"):
        finite(nan, "x")


def _header(file: Path) -> dict[str, str]:
    from core.checkpoints.weights import read_metadata

    return read_metadata(file)
