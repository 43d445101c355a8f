"""Every kind of condition through the nodes: its dropout in training, its guidance in sampling, alone and combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import train_wordpiece
from core.diffusion import guidance
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample as solve
from core.models.denoiser import denoise
from core.models.unet import UNet
from graph_runner.base import events
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from nodes.conditioning import vector_condition
from nodes.text import text_context

Nodes = dict[str, Any]
Kind = tuple[Nodes, str, Nodes, Nodes, Nodes, Nodes]
"""The conditioner's node and its name on the training zone; the nodes of its condition in a batch, `cond` the last, and
of its null, `null` the last; nodes read by both; options of the UNet."""

WIDTH = 16
UNET = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_factors": [2], "num_heads": 2}
AUTOENCODER = {"model_channels": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "norm_groups": 4}


def node(type: str, params: Nodes | None = None, **wires: Any) -> Nodes:
    return {"type": type, "wires": wires, "params": params or {}}


def field(kind: str) -> Nodes:
    return {kind.removeprefix("batch_"): node(kind, batch="BATCH")}


CLASS = (
    {"embedder": node("class_embedder", {"classes": 24, "dim": WIDTH})},
    "embedder",
    field("batch_labels") | {"cond": node("embed_classes", embedder="MODEL", labels="labels")},
    {"null": node("class_context", embedder="MODEL")},
    {},
    {"context_dim": WIDTH},
)
CLASS_ADDED = (
    {},
    "",
    field("batch_labels") | {"cond": node("labels_y", labels="labels")},
    {"null": node("class_y", {"classes": [24]})},
    {},
    {"num_classes": 25},
)
TEXT = (
    {"text": node("bert_text_encoder", {"dim": WIDTH, "layers": 1}, tokenizer="tokenizer")},
    "text",
    field("batch_captions")
    | {"cond": node("embed_captions", text_encoder="MODEL", tokenizer="tokenizer", captions="captions")},
    {"null": node("text_context", text_encoder="MODEL", tokenizer="tokenizer")},
    {"tokenizer": node("wordpiece_tokenizer", {"vocabulary": 64, "length": 12}, data="data")},
    {"context_dim": WIDTH},
)
LAYOUT = (
    {"layout": node("layout_encoder", {"dim": WIDTH, "layers": 1}, tokenizer="places")},
    "layout",
    field("batch_boxes")
    | field("batch_object_labels")
    | {
        "tokens": node("layout_tokens", tokenizer="places", labels="object_labels", boxes="boxes"),
        "cond": node("embed_tokens", text_encoder="MODEL", tokens="tokens"),
    },
    {"null": node("null_layout", text_encoder="MODEL", tokenizer="places")},
    {"places": node("layout_tokenizer", {"vocabulary": 64, "max_objects": 3, "with_crop": False})},
    {"context_dim": WIDTH},
)
ZERO = {"null": node("null_like", conditioning="cond")}
SEMANTIC_MAP = (
    {"rescaler": node("spatial_rescaler", {"stages": 1, "in_channels": 25, "out_channels": 3})},
    "rescaler",
    field("batch_semantic_map") | {"cond": node("semantic_condition", rescaler="MODEL", semantic_map="semantic_map")},
    ZERO,
    {},
    {"in_channels": 7},
)
LOW_RESOLUTION = (
    {},
    "",
    {
        "low": node("degrade_images", {"factor": 4}, images="images"),
        "cond": node("low_resolution_condition", low="low", z="z0"),
    },
    ZERO,
    {},
    {"in_channels": 7},
)
INPAINTING = (
    {},
    "",
    {
        "mask": node("random_mask", images="images"),
        "hidden": node("mask_image", images="images", mask="mask"),
        "masked": node("encode", autoencoder="autoencoder", images="hidden"),
        "cond": node("inpainting_condition", masked="masked", mask="mask"),
    },
    ZERO,
    {},
    {"in_channels": 9},
)
HYBRID = (
    TEXT[0],
    "text",
    TEXT[2]
    | {"words": TEXT[2]["cond"]}
    | LOW_RESOLUTION[2]
    | {"small": LOW_RESOLUTION[2]["cond"], "cond": node("combine_conditions", a="words", b="small")},
    {
        "nothing": TEXT[3]["null"],
        "grey": node("null_like", conditioning="small"),
        "null": node("combine_conditions", a="nothing", b="grey"),
    },
    TEXT[4],
    {"context_dim": WIDTH, "in_channels": 7},
)
KINDS: dict[str, Kind] = {
    "class": CLASS,
    "class in the time embedding": CLASS_ADDED,
    "text": TEXT,
    "layout": LAYOUT,
    "semantic map": SEMANTIC_MAP,
    "low resolution": LOW_RESOLUTION,
    "inpainting": INPAINTING,
    "hybrid": HYBRID,
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def placed(nodes: Nodes, prefix: str, batch: str, model: str) -> Nodes:
    """The nodes with ids of their own, reading this batch and this conditioner."""
    names = {id: prefix + id for id in nodes} | {name: prefix + name for name in ("images", "z0")}
    names |= {"BATCH": batch, "MODEL": model}
    return {
        prefix + id: part | {"wires": {port: names.get(source, source) for port, source in part["wires"].items()}}
        for id, part in nodes.items()
    }


def images(prefix: str, batch: str) -> Nodes:
    return {
        f"{prefix}images": node("batch_images", batch=batch),
        f"{prefix}z0": node("encode", autoencoder="autoencoder", images=f"{prefix}images"),
    }


def graph(kind: str, extra: Callable[[Kind, str], Nodes]) -> Workflow:
    conditioner, name, cond, null, shared, unet = KINDS[kind]
    parts = {
        "data": node("shapes_dataset", {"size": 16, "objects": 2}),
        "autoencoder": node("kl_autoencoder", AUTOENCODER),
        "schedule": node("noise_schedule"),
        "unet0": node("unet", UNET | {"norm_groups": 4} | unet),
        "unet": node("awakened_unet", model="unet0"),
        "batch": node("take_batch", {"count": 8}, data="data"),
        **conditioner,
        **shared,
        **images("", "batch"),
        **placed(cond | null, "", "batch", name),
    }
    return Workflow.model_validate({"loom": 1, "nodes": parts | extra(KINDS[kind], name)})


def test_brackets_alone_play_a_word_down() -> None:
    """As the web interfaces have it, `[red]` weighs 1/1.1, also where no round bracket is in the prompt."""
    tokenizer = train_wordpiece(["a red circle", "a blue square"], 64, 12)
    torch.manual_seed(0)
    encoder = BERTEmbedder(WIDTH, 1, tokenizer.vocab_size, 12).eval()
    plain, weak, said, literal = (
        text_context(encoder, tokenizer, torch.device("cpu"), print, [prompt]).context
        for prompt in ("a red circle", "a [red] circle", "a (red:0.9090909) circle", r"a \[red\] circle")
    )
    assert torch.allclose(weak, said, atol=1e-6)
    assert not torch.allclose(weak, plain, atol=1e-4)
    assert torch.allclose(literal, encoder(tokenizer(["a [red] circle"])), atol=1e-6)


@every_kind
def test_a_dropped_sample_loses_all_of_its_condition(kind: str, engine: Engine) -> None:
    drop = {"dropped": node("drop_conditions", {"probability": 0.5}, conditioning="cond", null="null")}
    values = engine.run(graph(kind, lambda *_: drop), targets=["dropped", "cond", "null"], seed=1).values
    rows = []
    for found, cond, null in zip(*(values[name].tensors() for name in ("dropped", "cond", "null")), strict=True):
        null = null.expand_as(cond)
        for i in range(len(found)):
            assert torch.equal(found[i], cond[i]) or torch.equal(found[i], null[i])
        rows.append([bool(torch.equal(found[i], null[i])) for i in range(len(found))])
    assert all(row == rows[0] for row in rows), "all parts of a sample, or none"
    assert 0 < sum(rows[0]) < len(rows[0])


@every_kind
def test_guidance_in_a_sampling_zone_is_guidance_in_python(kind: str, engine: Engine) -> None:
    def sampling(*_: Any) -> Nodes:
        body = {
            id: node("denoise", model="unet", z="sample.z", t="sample.t", condition=context)
            for id, context in (("with", "cond"), ("without", "null"))
        }
        body["guide"] = node("cfg_combine", {"scale": 3.0}, cond="with", uncond="without")
        zone = node("sample", {"steps": 3}, noise="noise", schedule="schedule")
        zone["body"] = {"nodes": body, "results": {"prediction": "guide"}}
        return {"noise": node("gaussian_noise", {"shape": [8, 4, 16, 16]}), "sample": zone}

    targets = ["sample", "noise", "unet", "cond", "null"]
    values = engine.run(graph(kind, sampling), targets=targets).values

    def denoiser(z: Tensor, t: Tensor) -> Tensor:
        cond, uncond = (denoise(values["unet"], z, t, values[name]) for name in ("cond", "null"))
        assert not torch.allclose(cond, uncond, rtol=1e-3), "the condition makes no difference"
        return guidance.classifier_free(cond, uncond, 3.0)

    with torch.no_grad():
        expected = solve(denoiser, values["noise"], NoiseSchedule.linear(), "ddim", steps=3)
    assert float((values["sample"] - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@every_kind
def test_it_trains_under_dropout_with_its_conditioner(kind: str, engine: Engine) -> None:
    def training(parts: Kind, name: str) -> Nodes:
        conditioner, _, cond, null, _, _ = parts
        models = {"unet": "unet"} | ({name: name} if conditioner else {})
        body = {
            **images("in_", "train.batch"),
            **placed(cond | null, "in_", "train.batch", f"train.models.{name}"),
            "noise": node("noise_like", z="in_z0"),
            "offset": node("offset_noise", {"strength": 0.1}, noise="noise"),
            "t": node("random_timesteps", schedule="schedule", z="in_z0"),
            "z": node("add_noise", schedule="schedule", z0="in_z0", noise="offset", t="t"),
            "dropped": node("drop_conditions", {"probability": 0.3}, conditioning="in_cond", null="in_null"),
            "out": node("denoise", model="train.models.unet", z="z", t="t", condition="dropped"),
            "loss": node("diffusion_loss", schedule="schedule", prediction="out", z0="in_z0", noise="offset", t="t"),
            "adamw": node("adamw", {"lr": 1e-3, "weight_decay": 0.0}),
            "goal": node("objective", loss="loss", models=[f"train.models.{m}" for m in models], optimizer="adamw"),
        }
        zone = node("train", {"steps": 3, "batch_size": 8, "log_every": 1}, data="data", models=models)
        return {"train": zone | {"body": {"nodes": body, "results": {"objectives": ["goal"]}}}}

    conditioner, name = KINDS[kind][:2]
    trained = ["unet"] + ([name] if conditioner else [])
    targets = [*trained, *(f"train.models.{model}" for model in trained)]
    result = engine.run(graph(kind, training), targets=targets)
    losses = [event.values["loss/loss"] for event in result.events if isinstance(event, events.Metric)]
    assert len(losses) == 3
    assert all(0 < loss < 100 for loss in losses)
    for model in trained:
        before, after = (result.values[id].state_dict() for id in (model, f"train.models.{model}"))
        assert any(not torch.equal(before[key], after[key]) for key in before), f"{model} was not trained"


def test_vectors_of_two_lengths_are_refused_and_those_of_one_are_added_to_the_time_embedding() -> None:
    cpu = torch.device("cpu")
    unet = UNet(4, 4, 8, (1, 2), 1, (), num_heads=2, adm_in_channels=3, norm_groups=4)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    z, t = torch.randn(2, 4, 8, 8), torch.tensor(5)
    a, b = (denoise(unet, z, t, vector_condition(cpu, [vector])) for vector in ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0]))
    assert not torch.allclose(a, b, atol=1e-4)
    with pytest.raises(ValueError, match="lengths 1, 2; give vectors of one length"):
        vector_condition(cpu, [[1.0], [1.0, 2.0]])
