"""Classifier guidance through the nodes: the gradient is autograd's, and a training lowers the likelihood's negative."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine

TINY = {"in_channels": 4, "model_channels": 16, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "wires": wires, "params": params or {}}


GUIDED = {
    "prediction": node("denoise", model="unet", z="sample.z", t="sample.t"),
    "scores": node("classify", classifier="classifier", z="sample.z", t="sample.t"),
    "likelihood": node("class_likelihood", scores="scores", labels="labels"),
    "slope": node("likelihood_gradient", log_likelihood="likelihood", z="sample.z"),
    "steered": node(
        "gradient_guidance",
        {"scale": 200},
        prediction="prediction",
        gradient="slope",
        t="sample.t",
        schedule="schedule",
    ),
}
NODES = {
    "schedule": node("noise_schedule"),
    "unet": node("unet", TINY | {"attention_factors": [], "num_heads": 2}),
    "classifier": node("noisy_classifier", TINY | {"num_classes": 6, "num_head_channels": 8, "sample_size": 8}),
    "labels": node("class_labels", {"classes": [0, 5, 2]}),
    "noise": node("gaussian_noise", {"shape": [3, 4, 8, 8], "seed": 1}),
    "sample": {
        **node("sample", {"steps": 4}, noise="noise", schedule="schedule"),
        "body": {"nodes": GUIDED, "results": {"prediction": "steered"}},
    },
}


def test_the_gradient_is_that_of_autograd_by_hand(engine: Engine) -> None:
    workflow = Workflow.model_validate({"loom": 1, "nodes": NODES})
    found = engine.run(workflow, targets=["sample", "noise", "unet", "classifier"]).values
    unet, classifier, schedule = found["unet"], found["classifier"], NoiseSchedule.linear()
    slopes = []

    def guided(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            log_p = F.log_softmax(classifier(z, t), dim=1)[range(3), [0, 5, 2]]
            (slope,) = torch.autograd.grad(log_p.sum(), z)
        slopes.append(slope)
        with torch.no_grad():
            noise = (1 - schedule.alphas_cumprod[t.long()]).sqrt()[:, None, None, None]
            return unet(z, t) - 200 * noise * slope

    wanted = sample(guided, found["noise"], schedule, "ddim", steps=4)
    assert (found["sample"] - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert min(float(slope.abs().max()) for slope in slopes) > 1e-4, "the classifier does not steer"


def training(steps: int) -> Workflow:
    body = {
        "images": node("batch_latents", batch="fit.batch"),
        "labels": node("batch_labels", batch="fit.batch"),
        "t": node("random_timesteps", schedule="schedule", z="images"),
        "eps": node("noise_like", z="images"),
        "zt": node("add_noise", schedule="schedule", z0="images", noise="eps", t="t"),
        "scores": node("classify", classifier="fit.models.classifier", z="zt", t="t"),
        "nll": node("classification_loss", scores="scores", labels="labels"),
        "objective": node("objective", loss="nll", models=["fit.models.classifier"], optimizer="adam"),
    }
    params = TINY | {"num_classes": 24, "num_head_channels": 8, "pool": "average"}
    nodes = {
        "shapes": node("shapes_dataset", {"size": 16}),
        "kl": node("kl_autoencoder", {"model_channels": 8, "channel_mult": [1, 2, 2], "norm_groups": 4}),
        "latents": node("encode_dataset", autoencoder="kl", data="shapes"),
        "schedule": node("noise_schedule", {"timesteps": 10}),
        "adam": node("adamw", {"lr": 0.02}),
        "classifier0": node("noisy_classifier", params),
        "fit": {
            **node("train", {"steps": steps, "batch_size": 16}, data="latents", models={"classifier": "classifier0"}),
            "body": {"nodes": body, "results": {"objectives": ["objective"]}},
        },
        "keep": node("save_models", {"name": "c"}, models={"classifier": "fit.models.classifier"}),
        "some": node("take_batch", {"count": 16}, data="latents"),
        "z": node("batch_latents", batch="some"),
        "labels0": node("batch_labels", batch="some"),
        "scores0": node("classify", classifier="classifier0", z="z", t="clean"),
        "clean": node("random_timesteps", schedule="schedule", z="z"),
        "scores1": node("classify", classifier="fit.models.classifier", z="z", t="clean"),
        "before": node("classification_loss", scores="scores0", labels="labels0"),
        "after": node("classification_loss", scores="scores1", labels="labels0"),
        "right": node("classification_accuracy", scores="scores1", labels="labels0"),
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def test_a_classifier_learns_is_kept_and_loaded(engine: Engine) -> None:
    found = engine.run(training(60), targets=["before", "after", "right", "keep", "fit.models.classifier"]).values
    assert float(found["after"]) < 0.92 * float(found["before"])
    assert float(found["right"]) > 1.5 / 24
    loaded = {"again": node("load_classifier", {"path": "models/c/classifier.safetensors"})}
    again = engine.run(Workflow.model_validate({"loom": 1, "nodes": loaded}), targets=["again"]).values["again"]
    state = found["fit.models.classifier"].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
