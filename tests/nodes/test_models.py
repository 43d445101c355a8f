"""Models, tokenizers and the latents' scale through the nodes: saved, loaded again, and the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.data.loader import take
from core.data.shapes import Shapes
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

AUTOENCODER = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 8}
UNET = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_factors": [2], "num_heads": 2}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "wires": wires, "params": params or {}}


def run(engine: Engine, *targets: str, **nodes: Any) -> dict[str, Any]:
    return dict(engine.run(Workflow.model_validate({"loom": 1, "nodes": nodes}), targets=targets).values)


def test_saved_models_are_loaded_again_each_by_its_node(engine: Engine) -> None:
    models = {
        "autoencoder": node("vq_autoencoder", AUTOENCODER | {"codes": 16}),
        "unet": node("unet", UNET | {"norm_groups": 4}),
        "class_embedder": node("class_embedder", {"classes": 5, "dim": 16}),
        "discriminator": node("patch_discriminator", {"base_channels": 4}),
    }
    save = node("save_models", {"name": "mine"}, models={name: name for name in models})
    made = run(engine, *models, **models, save=save)
    load = {f"{name}_": node(f"load_{name}", {"path": f"models/mine/{name}.safetensors"}) for name in models}
    found = run(engine, *load, **load)
    for name in models:
        one, two = made[name].state_dict(), found[f"{name}_"].state_dict()
        assert made[name].config == found[f"{name}_"].config
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    wrong = node("load_unet", {"path": "models/mine/discriminator.safetensors"})
    with pytest.raises(NodeError, match=r"^wrong: .*holds a NLayerDiscriminator, not a UNet; give another file"):
        run(engine, "wrong", wrong=wrong)


def test_a_unet_of_rarer_options(engine: Engine) -> None:
    rare = {"depth_by_level": [1, 2], "use_linear_in_transformer": True, "conv_resample": False, "context_dim": 8}
    params = UNET | {"norm_groups": 4, "channel_mult": [1, 2], "attention_factors": [1, 2]} | rare
    model = run(engine, "unet", unet=node("unet", params))["unet"]
    assert model.config["transformer_depth"] == [1, 2]
    assert isinstance(model.middle_block[1].proj_in, torch.nn.Linear)
    assert len(model.middle_block[1].transformer_blocks) == 2
    assert not any("op" in name for name, _ in model.input_blocks.named_parameters())
    with pytest.raises(NodeError, match=r"^unet: transformer_depth has 3 entries for the 2 levels"):
        run(engine, "unet", unet=node("unet", params | {"depth_by_level": [1, 1, 1]}))


@pytest.mark.parametrize("form", ["latent loom", "compvis", "diffusers"])
@pytest.mark.parametrize("kind", ["kl_autoencoder", "vq_autoencoder"])
def test_the_latents_scale_is_measured_once_and_stays_with_the_model(engine: Engine, kind: str, form: str) -> None:
    noisy = {"logvar_init": -2.0} if kind == "kl_autoencoder" else {"codes": 16}
    made = run(
        engine,
        *("raw", "scaled"),
        data=node("shapes_dataset", {"size": 64}),
        raw=node(kind, AUTOENCODER | noisy),
        scaled=node("rescale_latents", {"samples": 64}, autoencoder="raw", data="data"),
        save=node("save_checkpoint", {"name": "m", "form": form}, autoencoder="scaled"),
    )
    images = take(Shapes(32, 64), range(64))["images"]
    with torch.no_grad():
        noise = torch.randn(64, 3 if kind == "vq_autoencoder" else 4, 16, 16)
        std = made["raw"].encode(images, noise).std()  # of sampled latents, as the paper measures
    assert float(made["raw"].scale_factor) == 1, "the model that others read is left alone"
    assert float(made["scaled"].scale_factor) == pytest.approx(1 / float(std), rel=0.02)
    path = {"latent loom": "models/m", "compvis": "models/m.safetensors", "diffusers": "models/m/vae"}[form]
    again = run(engine, "model.autoencoder", model=node("load_checkpoint", {"path": path}))["model.autoencoder"]
    assert float(again.scale_factor) == pytest.approx(float(made["scaled"].scale_factor), rel=1e-6)


def test_a_tokenizer_trained_on_captions_is_loaded_from_its_folder(engine: Engine) -> None:
    trained = node("wordpiece_tokenizer", {"vocabulary": 64, "length": 12}, data="data")
    made = run(
        engine,
        "trained",
        data=node("shapes_dataset", {"size": 64}),
        trained=trained,
        save=node("save_checkpoint", {"name": "m"}, tokenizer="trained"),
    )["trained"]
    found = run(engine, "loaded", loaded=node("load_tokenizer", {"path": "models/m/tokenizer"}))["loaded"]
    short = run(engine, "short", short=node("load_tokenizer", {"path": "models/m/tokenizer", "length": 5}))["short"]
    texts = ["a red circle", "a blue square left of a green cross", ""]
    assert torch.equal(found(texts), made(texts))
    assert torch.equal(short(["a"]), made(["a"])[:, :5])
