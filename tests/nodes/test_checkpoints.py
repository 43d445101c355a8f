"""Model files through the nodes: the three forms saved and loaded, LoRA merged, and what is wrong said in a sentence."""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints.compvis import save_compvis
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import read_about
from core.checkpoints.load import save_checkpoint as save_whole
from core.checkpoints.weights import read_weights, write_weights
from graph_runner.base import events
from graph_runner.base.events import Log
from graph_runner.base.problems import WorkflowError
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import validate
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow, read
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
import tiny_ldm
import tiny_pipelines

LOAD = {"type": "load_checkpoint", "params": {"path": "m"}}
PARTS = {"unet": "model.unet", "autoencoder": "model.autoencoder", "schedule": "model.schedule"}


def graph(**nodes: Any) -> Workflow:
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


def loaded(engine: Engine, path: str, *ports: str, **params: Any) -> list[Any]:
    node = {"type": "load_checkpoint", "params": {"path": path} | params}
    values = engine.run(graph(model=node), targets=[f"model.{port}" for port in ports]).values
    return [values[f"model.{port}"] for port in ports]


def failure(engine: Engine, path: str, port: str = "unet", **params: Any) -> str:
    """The one sentence that reaches the user: the node's name, then what is wrong; the same in the event stream."""
    node = {"type": "load_checkpoint", "params": {"path": path} | params}
    told: list[events.Event] = []
    with pytest.raises(NodeError) as caught:
        engine.run(graph(my_model=node), targets=[f"my_model.{port}"], listeners=[told.append])
    assert caught.value.node == "my_model"
    [failed] = [event for event in told if isinstance(event, events.Failed)]
    assert failed.message == str(caught.value)
    sentence = str(caught.value)
    assert sentence.startswith("my_model: ")
    assert "\n" not in sentence
    return sentence


def same(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


KINDS = {
    "Stable Diffusion 1": (tiny_ldm.stable_diffusion, "text_encoder"),
    "text": (tiny_ldm.ldm_text, "text_encoder"),
    "class": (tiny_ldm.class_conditional, "class_embedder"),
    "semantic map": (tiny_ldm.semantic, "rescaler"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_compvis_file_is_loaded_part_by_part(kind: str, engine: Engine, tmp_path: Path) -> None:
    make, conditioner = KINDS[kind]
    model = make()
    save_compvis(model, tmp_path / "m.ckpt")
    unet, autoencoder, condition, schedule = loaded(engine, "m.ckpt", "unet", "autoencoder", conditioner, "schedule")
    assert same(unet, model.unet)
    assert same(autoencoder, model.autoencoder)
    assert same(condition, model.conditioner)
    assert schedule == model.schedule
    assert not any(parameter.requires_grad for parameter in unet.parameters())


def test_what_a_checkpoint_lacks_is_told_where_it_is_read(engine: Engine, tmp_path: Path) -> None:
    save_compvis(tiny_ldm.class_conditional(), tmp_path / "m.ckpt")
    assert failure(engine, "m.ckpt", "text_encoder").startswith("my_model: it gives no text_encoder")
    save_compvis(tiny_ldm.semantic(), tmp_path / "s.ckpt")
    assert failure(engine, "s.ckpt", "class_embedder").startswith("my_model: it gives no class_embedder")
    said = failure(engine, "m.ckpt", "tokenizer")
    assert "it gives no tokenizer, which another node reads; give it tokenizer (the folder of the text" in said


def test_settings_of_the_file_can_be_overruled(engine: Engine, tmp_path: Path) -> None:
    save_compvis(tiny_ldm.class_conditional(), tmp_path / "m.ckpt")
    (tmp_path / "m.yaml").rename(tmp_path / "elsewhere.yaml")
    [schedule] = loaded(engine, "m.ckpt", "schedule", config="elsewhere.yaml", parametrisation="v")
    assert schedule.parametrisation == "v"


def test_an_autoencoder_alone_is_given_the_scale_that_its_file_lacks(engine: Engine, tmp_path: Path) -> None:
    autoencoder = tiny_ldm.stable_diffusion().autoencoder
    save_compvis(LatentDiffusion(autoencoder=autoencoder), tmp_path / "vae.safetensors")
    (tmp_path / "vae.yaml").unlink()
    state = {key: value for key, value in read_weights(tmp_path / "vae.safetensors").items() if key != "scale_factor"}
    write_weights(state, tmp_path / "vae.safetensors")  # as Stability's own files are
    [plain] = loaded(engine, "vae.safetensors", "autoencoder")
    [scaled] = loaded(engine, "vae.safetensors", "autoencoder", scale_factor=0.18215)
    assert (float(plain.scale_factor), float(scaled.scale_factor)) == pytest.approx((1.0, 0.18215))


def test_a_second_conditioner_is_not_lost_in_silence(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.class_conditional(), tmp_path / "m")
    save_whole(tiny_ldm.semantic(), tmp_path / "s")
    wires = {"class_embedder": "model.class_embedder", "rescaler": "other.rescaler"}
    other = {"type": "load_checkpoint", "params": {"path": "s"}}
    with pytest.raises(NodeError, match=r"^save: a checkpoint holds one conditioner; wire one of them"):
        engine.run(graph(model=LOAD, other=other, save={"type": "save_checkpoint", "wires": wires}))


@pytest.mark.parametrize("form", ["latent loom", "compvis", "diffusers"])
@pytest.mark.parametrize("kind", ["Stable Diffusion 1", "text"])
def test_three_forms_are_saved_and_loaded_again(kind: str, form: str, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    tiny_pipelines.PIPELINES["LDM text" if kind == "text" else kind](tmp_path).save_pretrained(folder)
    wires = PARTS | {"text_encoder": "model.text_encoder", "tokenizer": "model.tokenizer"}
    save = {"type": "save_checkpoint", "wires": wires, "params": {"name": "copy", "form": form}}
    model = {"type": "load_checkpoint", "params": {"path": "theirs"}}
    ports = ["unet", "autoencoder", "text_encoder", "schedule"]
    first = engine.run(graph(model=model, save=save), targets=[f"model.{port}" for port in ports]).values
    path = "models/copy.safetensors" if form == "compvis" else "models/copy"
    again = loaded(engine, path, *ports)
    assert all(same(first[f"model.{port}"], found) for port, found in zip(ports[:3], again[:3], strict=True))
    assert again[3] == first["model.schedule"]
    if form == "latent loom":
        assert set(read(read_about(tmp_path / path)["workflow"]).nodes) == {"model", "save"}, "the graph is kept inside"
    if form == "diffusers":
        from diffusers import DiffusionPipeline

        assert type(DiffusionPipeline.from_pretrained(tmp_path / path).unet).__name__ == "UNet2DConditionModel"


@pytest.mark.parametrize("form", ["latent loom", "compvis", "diffusers"])
def test_half_precision_halves_the_file_and_not_the_scale(form: str, engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.stable_diffusion(), tmp_path / "m")
    parts = PARTS | {"text_encoder": "model.text_encoder"}
    nodes = {
        name: {
            "type": "save_checkpoint",
            "wires": parts,
            "params": {"name": name, "form": form, "precision": precision},
        }
        for name, precision in (("whole", "float32"), ("half", "float16"))
    }
    [unet, autoencoder] = engine.run(
        graph(model=LOAD, **nodes), targets=["model.unet", "model.autoencoder"]
    ).values.values()
    suffix = ".safetensors" if form == "compvis" else ""
    sizes = [
        sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.suffix == ".safetensors")
        for path in (tmp_path / f"models/{name}{suffix}" for name in ("whole", "half"))
    ]
    assert sizes[1] < 0.62 * sizes[0]  # headers and a schedule are not halved
    places = ("half/unet", "half/vae") if form == "diffusers" else (f"half{suffix}",) * 2
    ports = ("unet", "autoencoder")
    again = [loaded(engine, f"models/{place}", port)[0] for place, port in zip(places, ports, strict=True)]
    for model, found in zip((unet, autoencoder), again, strict=True):
        assert all(
            torch.equal(a.half().float(), b) for a, b in zip(model.parameters(), found.parameters(), strict=True)
        )
    assert float(again[1].scale_factor) == float(autoencoder.scale_factor)


def test_averaged_weights_lie_beside_the_raw_ones(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.class_conditional(), tmp_path / "m")
    averaged = tiny_ldm.class_conditional()
    torch.nn.init.ones_(averaged.unet.out[2].bias)
    save_whole(averaged, tmp_path / "averaged")
    wires = PARTS | {"class_embedder": "model.class_embedder", "ema_unet": "ema.unet"}
    ema = {"type": "load_checkpoint", "params": {"path": "averaged"}}
    save = {"type": "save_checkpoint", "wires": wires, "params": {"name": "both", "form": "compvis"}}
    engine.run(graph(model=LOAD, ema=ema, save=save))
    for weights, bias in (("ema", 1.0), ("raw", None)):
        [unet] = loaded(engine, "models/both.safetensors", "unet", weights=weights)
        assert (unet.out[2].bias == 1).all() == (bias is not None)
    save["params"] = {"name": "no", "form": "diffusers"}
    with pytest.raises(NodeError, match=r"^save: the form 'diffusers' holds one UNet; wire the averaged one to unet"):
        engine.run(graph(model=LOAD, ema=ema, save=save))


def test_a_name_cannot_leave_the_models_folder(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.class_conditional(), tmp_path / "m")
    save = {"type": "save_checkpoint", "wires": {"unet": "model.unet"}, "params": {"name": "../out"}}
    with pytest.raises(WorkflowError, match=r"^save\.name: the name '\.\./out' leaves its folder; give a plain name"):
        engine.run(graph(model=LOAD, save=save))
    assert not (tmp_path / "out").exists()


def test_versions_in_names_are_kept_apart_and_what_is_replaced_is_told(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.class_conditional(), tmp_path / "m")

    def saves(name: str) -> list[str]:
        params = {"name": name, "form": "compvis"}
        save = {"type": "save_checkpoint", "wires": {"unet": "model.unet"}, "params": params}
        told = engine.run(graph(model=LOAD, save=save)).events
        return [event.message for event in told if isinstance(event, events.Log)]

    for name in ("sd-v1.4", "sd-v1.5", "sd-v1"):
        assert saves(name) == []
    names = [f"{stem}.{suffix}" for stem in ("sd-v1", "sd-v1.4", "sd-v1.5") for suffix in ("safetensors", "yaml")]
    assert sorted(file.name for file in (tmp_path / "models").iterdir()) == sorted(names)
    told = saves("sd-v1.5")
    assert [sentence.partition(",")[0] for sentence in told] == [
        "replaces models/sd-v1.5.safetensors", "replaces models/sd-v1.5.yaml",
    ]  # fmt: skip
    save = {"type": "save_checkpoint", "wires": {"unet": "model.unet"}, "params": {"name": "a/unet.safetensors"}}
    models = {"type": "save_models", "wires": {"models": {"unet": "model.unet"}}, "params": {"name": "a"}}
    with pytest.raises(
        WorkflowError, match=r"saves models/a/unet\.safetensors, and .save. saves models/a/unet\.safetensors"
    ):
        engine.run(graph(model=LOAD, save=save, models=models))


# LoRA


def lora(path: Path, model: nn.Module, module: str, name: str, rank: int = 2) -> torch.Tensor:
    """A kohya file for one linear layer; returns what it adds to the weight at strength 1."""
    weight = model.get_submodule(module).weight
    generator = torch.Generator().manual_seed(3)
    down = torch.randn(rank, weight.shape[1], generator=generator)
    up = torch.randn(weight.shape[0], rank, generator=generator)
    state = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(float(rank))}
    write_weights({f"{name}.{key}": value for key, value in state.items()}, path)
    return up @ down


TO_Q = "transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize("strength", [1.0, 0.0, -0.5])
def test_a_lora_file_is_merged_with_a_strength_and_the_original_kept(
    strength: float, engine: Engine, tmp_path: Path
) -> None:
    model = tiny_ldm.stable_diffusion()
    save_whole(model, tmp_path / "m")
    place, text_place = f"input_blocks.1.1.{TO_Q}", "transformer.encoder.layers.1.self_attn.v_proj"
    name = f"lora_unet_down_blocks_0_attentions_0_{TO_Q.replace('.', '_')}"
    text_name = "lora_te_text_model_encoder_layers_1_self_attn_v_proj"
    added = {
        "u": lora(tmp_path / "u.safetensors", model.unet, place, name),
        "t": lora(tmp_path / "t.safetensors", model.conditioner, text_place, text_name),
    }
    nodes = {
        "model": LOAD,
        "u": {
            "type": "lora_unet",
            "wires": {"unet": "model.unet"},
            "params": {"path": "u.safetensors", "strength": strength},
        },
        "t": {
            "type": "lora_text_encoder",
            "wires": {"text_encoder": "model.text_encoder"},
            "params": {"path": "t.safetensors", "strength": strength},
        },
    }
    values = engine.run(graph(**nodes), targets=["u", "t", "model.unet", "model.text_encoder"]).values
    for found, original, module in (("u", "model.unet", place), ("t", "model.text_encoder", text_place)):
        before = values[original].get_submodule(module).weight
        after = values[found].get_submodule(module).weight
        torch.testing.assert_close(after, before + strength * added[found])
    assert same(values["model.unet"], model.unet), "merging changed the model that others read"


def test_clip_skip_leaves_out_the_last_layers(engine: Engine, tmp_path: Path) -> None:
    """Equal to transformers' own hidden state of that depth, normed; exactly."""
    save_whole(tiny_ldm.stable_diffusion(), tmp_path / "m")
    skip = {"type": "clip_skip", "wires": {"text_encoder": "model.text_encoder"}, "params": {"layers": 1}}
    values = engine.run(graph(model=LOAD, skip=skip), targets=["skip", "model.text_encoder"]).values
    theirs = values["model.text_encoder"].transformer
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        wanted = theirs.final_layer_norm(theirs(tokens, output_hidden_states=True).hidden_states[-2])
        assert torch.equal(values["skip"](tokens), wanted)
        assert not torch.equal(values["model.text_encoder"](tokens), wanted)
    save_whole(tiny_ldm.ldm_text(), tmp_path / "m")
    with pytest.raises(NodeError, match=r"^skip: only CLIP text encoders skip layers, not a BERTEmbedder"):
        engine.run(graph(model=LOAD, skip=skip), targets=["skip"])


def test_a_lora_file_for_another_model_or_another_encoder_is_said(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.ldm_text(), tmp_path / "m")
    write_weights({"lora_unet_nowhere_to_q.lora_down.weight": torch.ones(2, 3)}, tmp_path / "u.safetensors")
    for type, port in (("lora_unet", "unet"), ("lora_text_encoder", "text_encoder")):
        node = {"type": type, "wires": {port: f"model.{port}"}, "params": {"path": "u.safetensors"}}
        with pytest.raises(NodeError, match=r"^merged: ") as caught:
            engine.run(graph(model=LOAD, merged=node), targets=["merged"])
        assert "u.safetensors" in str(caught.value) or "not a BERTEmbedder" in str(caught.value)


def test_a_lora_file_without_effect_is_told_at_check_and_in_the_run(engine: Engine, tmp_path: Path) -> None:
    model = tiny_ldm.stable_diffusion()
    save_whole(model, tmp_path / "m")
    place = "transformer.encoder.layers.1.self_attn.v_proj"
    lora(tmp_path / "t.safetensors", model.conditioner, place, "lora_te_text_model_encoder_layers_1_self_attn_v_proj")
    merged = {"type": "lora_unet", "wires": {"unet": "model.unet"}, "params": {"path": "t.safetensors"}}
    workflow = graph(model=LOAD, merged=merged)
    logs = [event for event in engine.run(workflow, targets=["merged"]).events if isinstance(event, Log)]
    assert [(log.node, log.level) for log in logs] == [("merged", "warning")]
    assert "t.safetensors has nothing for the denoiser, only for the text encoder" in logs[0].message
    top, _ = validate(workflow, engine.registry, Paths(engine.workspace))
    [problem] = dry_run(top, engine.workspace).problems
    assert (problem.node, problem.severity, problem.message) == ("merged", "warning", logs[0].message)


@pytest.mark.parametrize(
    ("unet", "form", "words"),
    [
        ({"context_dim": 8, "use_scale_shift_norm": True}, "diffusers", ""),
        ({"context_dim": 8, "resblock_updown": True}, "diffusers", "resblock_updown"),
        ({"context_dim": 8, "use_scale_shift_norm": True}, "compvis", ""),
        ({"conv_resample": False}, "diffusers", "conv_resample"),
        ({}, "diffusers", ""),
    ],
)
def test_an_export_that_the_form_cannot_hold_is_told_by_check(
    unet: dict[str, Any], form: str, words: str, engine: Engine
) -> None:
    small = {"model_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1}
    nodes = {
        "unet": {"type": "unet", "params": small | unet},
        "save": {"type": "save_checkpoint", "wires": {"unet": "unet"}, "params": {"form": form}},
    }
    top, _ = validate(graph(**nodes), engine.registry)
    problems = dry_run(top, engine.workspace).problems
    assert [(problem.node, problem.severity) for problem in problems] == ([("save", "error")] if words else [])
    assert all(words in problem.message for problem in problems)


# What is wrong with a file, in a sentence that names the node, the file and the remedy


class Evil:
    """Runs code where a pickle is loaded carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_truncated_file(engine: Engine, tmp_path: Path) -> None:
    for name in ("m.ckpt", "m.safetensors"):
        save_compvis(tiny_ldm.class_conditional(), tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        sentence = failure(engine, name)
        assert f"{tmp_path / name} is truncated or damaged" in sentence
        assert "again" in sentence, "the remedy"


def test_a_wrong_architecture(engine: Engine, tmp_path: Path) -> None:
    save_compvis(tiny_ldm.class_conditional(), tmp_path / "a.ckpt")
    save_compvis(tiny_ldm.stable_diffusion(), tmp_path / "b.ckpt")
    sentence = failure(engine, "a.ckpt", config="b.yaml")
    assert f"{tmp_path / 'a.ckpt'} does not fit the architecture of the configured" in sentence
    assert "Give the configuration that the weights were trained with" in sentence
    write_weights({"classifier.weight": torch.ones(2, 2)}, tmp_path / "other.safetensors")
    assert "other.safetensors" in failure(engine, "other.safetensors")


def test_a_pickle_with_code_in_it_is_refused_and_not_run(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps({"state_dict": Evil(mark)}))
    torch.save({"state_dict": Evil(mark)}, tmp_path / "new.ckpt")
    assert zipfile.is_zipfile(tmp_path / "new.ckpt")
    for name, what in (("old.ckpt", "torch.save did not write"), ("new.ckpt", "would run code on loading")):
        sentence = failure(engine, name)
        assert f"{tmp_path / name} is a pickle that {what}" in sentence
        assert "get the model as safetensors" in sentence
    assert not mark.exists(), "the file's code was run"


def test_a_missing_shard(engine: Engine, tmp_path: Path) -> None:
    save_diffusers(tiny_ldm.unconditional(), tmp_path / "m")
    weights = tmp_path / "m" / "unet" / "diffusion_pytorch_model.safetensors"
    state = read_weights(weights)
    names = {key: f"part-{i % 2}.safetensors" for i, key in enumerate(sorted(state))}
    for part in set(names.values()):
        write_weights({key: value for key, value in state.items() if names[key] == part}, weights.with_name(part))
    index = json.dumps({"metadata": {}, "weight_map": names})
    weights.with_name(f"{weights.name}.index.json").write_text(index)
    weights.unlink()
    [unet] = loaded(engine, "m", "unet")
    assert unet.out_channels == 3
    weights.with_name("part-1.safetensors").unlink()
    sentence = failure(engine, "m")
    assert "part-1.safetensors is missing, one of the 2 shards" in sentence
    assert "download it into the same folder" in sentence


def test_a_missing_file_is_told_before_anything_runs(engine: Engine) -> None:
    with pytest.raises(WorkflowError, match=r"model\.path: there is no file or folder .*nowhere"):
        loaded(engine, "nowhere", "unet")


def test_both_halves_of_a_model_take_a_lora_by_one_node(engine: Engine, tmp_path: Path) -> None:
    model = tiny_ldm.stable_diffusion()
    save_whole(model, tmp_path / "m")
    place, text_place = f"input_blocks.1.1.{TO_Q}", "transformer.encoder.layers.1.self_attn.v_proj"
    name = f"lora_unet_down_blocks_0_attentions_0_{TO_Q.replace('.', '_')}"
    added = lora(tmp_path / "u.safetensors", model.unet, place, name)
    text_name = "lora_te_text_model_encoder_layers_1_self_attn_v_proj"
    text_added = lora(tmp_path / "t.safetensors", model.conditioner, text_place, text_name)
    state = read_weights(tmp_path / "u.safetensors") | read_weights(tmp_path / "t.safetensors")
    write_weights(state, tmp_path / "both.safetensors")
    params = {"path": "both.safetensors", "strength": 0.5, "text_strength": 2.0}
    wires = {"unet": "model.unet", "text_encoder": "model.text_encoder"}
    once = {"type": "lora", "wires": wires, "params": params}
    twice = {"type": "lora", "wires": {"unet": "once.unet", "text_encoder": "once.text_encoder"}, "params": params}
    values = engine.run(
        graph(model=LOAD, once=once, twice=twice), targets=["once.unet", "twice.unet", "twice.text_encoder"]
    ).values
    before = model.unet.get_submodule(place).weight
    torch.testing.assert_close(values["once.unet"].get_submodule(place).weight, before + 0.5 * added)
    torch.testing.assert_close(values["twice.unet"].get_submodule(place).weight, before + added)
    text = values["twice.text_encoder"].get_submodule(text_place).weight
    torch.testing.assert_close(text, model.conditioner.get_submodule(text_place).weight + 4 * text_added)
    alone = {"type": "lora", "wires": {"unet": "model.unet"}, "params": params}
    told = [
        event.message
        for event in engine.run(graph(model=LOAD, lora=alone), targets=["lora.unet"]).events
        if isinstance(event, Log)
    ]
    assert "changes the text encoder too; wire that as well" in told[0]


def test_an_autoencoder_takes_over_the_scale_of_the_one_it_replaces(engine: Engine, tmp_path: Path) -> None:
    save_whole(tiny_ldm.stable_diffusion(), tmp_path / "m")
    save_whole(LatentDiffusion(autoencoder=tiny_ldm.kl()), tmp_path / "other")
    other = {"type": "load_checkpoint", "params": {"path": "other", "scale_factor": 1.0}}
    wires = {"autoencoder": "other.autoencoder"}
    like = {"type": "scale_latents_for", "wires": wires | {"like": "model.autoencoder"}}
    named = {"type": "scale_latents_for", "wires": wires, "params": {"model": "Stable Diffusion XL"}}
    values = engine.run(graph(model=LOAD, other=other, like=like, named=named), targets=["like", "named"]).values
    assert float(values["like"].scale_factor) == pytest.approx(0.18215)
    assert float(values["named"].scale_factor) == pytest.approx(0.13025)
    wrong = {"type": "scale_latents_for", "wires": wires, "params": {"model": "Flux"}}
    with pytest.raises(NodeError, match=r"^wrong: Flux has latents of 16 channels, and this autoencoder 4"):
        engine.run(graph(other=other, wrong=wrong), targets=["wrong"])
