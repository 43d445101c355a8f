"""CompVis single files: round trips, published yaml files, detection from the weights alone, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_ldm import EVERY_KIND, assert_same, class_conditional, kl, ldm_text, randomise, stable_diffusion, text_unet

from core.checkpoints.compvis import load_compvis, save_compvis
from core.checkpoints.compvis_config import exact_schedule, from_compvis, schedule_family, to_compvis
from core.checkpoints.detect import detect_autoencoder, detect_conditioner, detect_unet
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import Architecture, LatentDiffusion, Part
from core.checkpoints.model_io import MODELS
from core.checkpoints.weights import read_weights, write_weights
from core.diffusion.schedule import NoiseSchedule
from core.models.autoencoder import VQAutoencoder
from core.models.presets import AUTOENCODERS, LATENT_DIFFUSION, build_autoencoder, build_unet
from core.models.unet import UNet

# name: the published UNet's options, in CompVis' words
UNETS: dict[str, dict[str, Any]] = {
    "ffhq256": {"model_channels": 224, "attention_resolutions": [8, 4, 2], "num_head_channels": 32},
    "lsun_churches256": {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 192,
        "channel_mult": [1, 2, 2, 4, 4],
        "attention_resolutions": [1, 2, 4, 8],
        "num_heads": 8,
        "use_scale_shift_norm": True,
        "resblock_updown": True,
    },
    "cin256": {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 256,
        "channel_mult": [1, 2, 4],
        "attention_resolutions": [4, 2, 1],
        "num_head_channels": 32,
        "use_spatial_transformer": True,
        "context_dim": 512,
    },
    "cin256-v2": {
        "model_channels": 192,
        "channel_mult": [1, 2, 3, 5],
        "attention_resolutions": [8, 4, 2],
        "num_heads": 1,
        "use_spatial_transformer": True,
        "context_dim": 512,
    },
    "txt2img-1p4B": {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "channel_mult": [1, 2, 4, 4],
        "attention_resolutions": [4, 2, 1],
        "num_heads": 8,
        "use_spatial_transformer": True,
        "context_dim": 1280,
    },
    "layout2img-openimages256": {
        "model_channels": 128,
        "attention_resolutions": [8, 4, 2],
        "num_head_channels": 32,
        "use_spatial_transformer": True,
        "transformer_depth": 3,
        "context_dim": 512,
    },
    "semantic_synthesis256": {
        "in_channels": 6,
        "model_channels": 128,
        "channel_mult": [1, 4, 8],
        "attention_resolutions": [32, 16, 8],
        "num_heads": 8,
    },
    "bsr_sr": {
        "in_channels": 6,
        "model_channels": 160,
        "channel_mult": [1, 2, 2, 4],
        "attention_resolutions": [16, 8],
        "num_head_channels": 32,
    },
    "inpainting_big": {
        "in_channels": 7,
        "model_channels": 256,
        "attention_resolutions": [8, 4, 2],
        "num_heads": 8,
        "resblock_updown": True,
    },
    "stable-diffusion-v2": {
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 320,
        "channel_mult": [1, 2, 4, 4],
        "attention_resolutions": [4, 2, 1],
        "num_head_channels": 64,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "context_dim": 1024,
    },
}
COMMON = {"in_channels": 3, "out_channels": 3, "channel_mult": [1, 2, 3, 4], "num_res_blocks": 2}

VQ_F4 = """
target: ldm.models.autoencoder.VQModelInterface
params:
  embed_dim: 3
  n_embed: 8192
  ddconfig: {double_z: false, z_channels: 3, resolution: 256, in_channels: 3, out_ch: 3, ch: 128, ch_mult: [1, 2, 4],
    num_res_blocks: 2, attn_resolutions: [], dropout: 0.0}
"""
KL_F32 = """
target: ldm.models.autoencoder.AutoencoderKL
params:
  embed_dim: 64
  ddconfig: {double_z: true, z_channels: 64, resolution: 256, in_channels: 3, out_ch: 3, ch: 128,
    ch_mult: [1, 1, 2, 2, 4, 4], num_res_blocks: 2, attn_resolutions: [16, 8], dropout: 0.0}
"""


def compvis_unet(name: str) -> dict[str, Any]:
    params = COMMON | UNETS[name] | {"image_size": 64}
    first_stage = yaml.safe_load(VQ_F4)
    return {"params": {"unet_config": {"params": params}, "first_stage_config": first_stage}}


def on_meta(part: Part) -> torch.nn.Module:
    with torch.device("meta"):
        return part.kind(**part.config)


@pytest.mark.parametrize("make", EVERY_KIND.values(), ids=list(EVERY_KIND))
@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_what_is_written_is_read_to_the_bit(make: Callable[[], LatentDiffusion], suffix: str, tmp_path: Path) -> None:
    model = make()
    save_compvis(model, tmp_path / f"model.{suffix}")
    assert_same(load_compvis(tmp_path / f"model.{suffix}"), model)


def test_names_are_compvis_own(tmp_path: Path) -> None:
    save_compvis(stable_diffusion(), tmp_path / "sd.ckpt")
    keys = read_weights(tmp_path / "sd.ckpt").keys()
    assert {
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.out.2.weight",
        "first_stage_model.encoder.down.0.block.0.norm1.weight",
        "first_stage_model.post_quant_conv.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "betas",
        "scale_factor",
    } <= keys
    save_compvis(stable_diffusion(2), tmp_path / "sd2.ckpt")
    state = read_weights(tmp_path / "sd2.ckpt")
    assert state["cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"].shape == (96, 32)
    assert state["cond_stage_model.model.positional_embedding"].shape == (77, 32)
    save_compvis(LatentDiffusion(autoencoder=kl()), tmp_path / "kl.ckpt")
    assert {"encoder.conv_in.weight", "quant_conv.bias"} <= read_weights(tmp_path / "kl.ckpt").keys()


def test_averaged_weights_are_preferred_and_raw_ones_kept(tmp_path: Path) -> None:
    model, ema = stable_diffusion(), randomise(text_unet(32), 42)
    save_compvis(model, tmp_path / "m.ckpt", ema=ema)
    assert "model_ema.diffusion_modelinput_blocks00weight" in read_weights(tmp_path / "m.ckpt")
    assert_same(load_compvis(tmp_path / "m.ckpt"), dataclasses.replace(model, unet=ema))
    assert_same(load_compvis(tmp_path / "m.ckpt", weights="raw"), model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    model = class_conditional()
    model.autoencoder.scale_factor.fill_(0.18215)
    save_compvis(model.in_precision(dtype), tmp_path / "half.safetensors")
    assert next(model.unet.parameters()).dtype == torch.float32, "only the copy is rounded"
    again = load_compvis(tmp_path / "half.safetensors")
    for name in ("unet", "autoencoder", "conditioner"):
        wanted, found = getattr(model, name).state_dict(), getattr(again, name).state_dict()
        exact = {"scale_factor"}
        assert all(torch.equal(found[key], wanted[key].to(dtype).float()) for key in wanted.keys() - exact)
        assert all(torch.equal(found[key], wanted[key]) for key in wanted.keys() & exact)
    assert next(load_compvis(tmp_path / "half.safetensors", dtype=dtype).unet.parameters()).dtype == dtype
    assert again.schedule == model.schedule


def test_a_measured_scale_is_a_buffer_and_shows_in_the_yaml(tmp_path: Path) -> None:
    model = ldm_text()
    model.autoencoder.scale_factor.fill_(0.625)
    save_compvis(model, tmp_path / "m.ckpt")
    assert load_compvis(tmp_path / "m.ckpt").autoencoder.scale_factor.item() == 0.625
    assert yaml.safe_load((tmp_path / "m.yaml").read_text())["model"]["params"]["scale_factor"] == 0.625


@pytest.mark.parametrize("name", list(UNETS))
def test_published_unets_are_read_from_their_yaml(name: str) -> None:
    found = on_meta(from_compvis(compvis_unet(name)).unet)
    with torch.device("meta"):
        assert found.config == build_unet(name).config


@pytest.mark.parametrize("section", [VQ_F4, KL_F32, VQ_F4.replace("dropout: 0.0", "attn_type: none")])
def test_published_autoencoders_are_read_from_their_yaml(section: str) -> None:
    found = on_meta(from_compvis(yaml.safe_load(section)).autoencoder)
    name = {VQ_F4: "vq-f4", KL_F32: "kl-f32"}.get(section, "vq-f4-noattn")
    with torch.device("meta"):
        unsaid = {"embed_dim": found.config["embed_dim"]}  # the preset leaves it out where it is z_channels
        assert found.config == build_autoencoder(name).config | unsaid


@pytest.mark.parametrize("name", list(LATENT_DIFFUSION))
def test_every_published_model_is_detected_from_its_weights(name: str) -> None:
    preset = LATENT_DIFFUSION[name]
    with torch.device("meta"):
        unet = build_unet(name)
        conditioner = preset["conditioner"] and MODELS[preset["conditioner"]["model"]](
            **preset["conditioner"]["config"]
        )
    found = on_meta(detect_unet(unet.state_dict(), "file"))
    effective = [f for f in unet.config["attention_factors"] if f < 2 ** len(unet.config["channel_mult"])]
    assert found.config == unet.config | {"attention_factors": sorted(effective)}
    if conditioner is not None:
        autoencoder = Part(VQAutoencoder, AUTOENCODERS[preset["first_stage"]]["config"])
        again = on_meta(detect_conditioner(conditioner.state_dict(), autoencoder))
        assert again.config == conditioner.config


@pytest.mark.parametrize("name", [name for name in LATENT_DIFFUSION if "-xl" not in name])
def test_a_yaml_says_how_a_published_models_condition_enters(name: str) -> None:
    """CompVis' programs read it from `conditioning_key`, and take no condition where the stage is unconditional."""
    preset = LATENT_DIFFUSION[name]
    with torch.device("meta"):
        unet = build_unet(name)
    conditioner = preset["conditioner"] and Part(
        MODELS[preset["conditioner"]["model"]], preset["conditioner"]["config"]
    )
    if conditioner:
        conditioner = conditioner._replace(config=on_meta(conditioner).config)
    params = to_compvis(Architecture(Part(UNet, unet.config), None, conditioner))["model"]["params"]
    stage = params["cond_stage_config"]
    assert params["conditioning_key"] == preset["conditioning_key"]
    assert (stage == "__is_unconditional__") == (preset["conditioning_key"] is None)
    as_it_is = {"inpainting_big": "__is_first_stage__", "bsr_sr": {"target": "torch.nn.Identity"}}
    assert name not in as_it_is or stage == as_it_is[name]  # models/ldm/*/config.yaml of latent-diffusion


@pytest.mark.parametrize("name", list(AUTOENCODERS))
def test_every_published_autoencoder_is_detected_from_its_weights(name: str) -> None:
    with torch.device("meta"):
        wanted = build_autoencoder(name)
    found = on_meta(detect_autoencoder(wanted.state_dict(), 1.0))
    assert type(found) is type(wanted)
    assert found.config == wanted.config | {"embed_dim": wanted.config["z_channels"]}


@pytest.mark.parametrize("make", EVERY_KIND.values(), ids=list(EVERY_KIND))
def test_yaml_and_exact_description_agree(make: Callable[[], LatentDiffusion]) -> None:
    architecture = make().architecture
    again = from_compvis(to_compvis(architecture)["model"])
    for one, two in zip(architecture[:3], again[:3], strict=True):
        assert (one is None) == (two is None)
        if one is not None and one.kind.__name__ != "CLIPTextEmbedder":  # whose sizes a yaml does not say
            unsaid = {} if architecture.unet else {"scale_factor": None}  # belongs to the diffusion model's section
            assert on_meta(one).config | unsaid == on_meta(two).config | unsaid
    assert again.schedule == architecture.schedule


@pytest.mark.parametrize("make", [class_conditional, ldm_text], ids=["class", "text"])
def test_conditioners_are_detected_from_weights(make: Callable[[], LatentDiffusion]) -> None:
    conditioner = make().conditioner
    found = detect_conditioner(conditioner.state_dict(), None)
    assert on_meta(found).config == conditioner.config


def test_stable_diffusion_without_a_yaml_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stable_diffusion()
    monkeypatch.setitem(LATENT_DIFFUSION, "tiny", LATENT_DIFFUSION["stable-diffusion-v1"] | {"unet": model.unet.config})
    save_compvis(model, tmp_path / "sd.safetensors")
    (tmp_path / "sd.yaml").unlink()
    again = load_compvis(tmp_path / "sd.safetensors")
    assert again.conditioner.config == model.conditioner.config | {"num_attention_heads": 1}  # heads of 64 channels
    assert_same(dataclasses.replace(again, conditioner=None), dataclasses.replace(model, conditioner=None))
    assert again.autoencoder.config["scale_factor"] == 0.18215
    assert load_compvis(tmp_path / "sd.safetensors", parametrisation="v").schedule.parametrisation == "v"
    state = read_weights(tmp_path / "sd.safetensors")
    write_weights({key: state[key] for key in state if key != "betas"}, tmp_path / "sd.safetensors")
    assert load_compvis(tmp_path / "sd.safetensors").schedule == model.schedule


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_halved_files_schedule_is_the_published_one(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that halve a file halve its betas too, which moves the last sigma by a per cent in bfloat16."""
    model = stable_diffusion()
    monkeypatch.setitem(LATENT_DIFFUSION, "tiny", LATENT_DIFFUSION["stable-diffusion-v1"] | {"unet": model.unet.config})
    save_compvis(model, tmp_path / "sd.safetensors")
    (tmp_path / "sd.yaml").unlink()
    state = {key: value.to(dtype) for key, value in read_weights(tmp_path / "sd.safetensors").items()}
    write_weights(state, tmp_path / "sd.safetensors")
    assert load_compvis(tmp_path / "sd.safetensors").schedule == model.schedule
    other = NoiseSchedule.linear()
    write_weights(state | {"betas": torch.tensor(other.betas).to(dtype)}, tmp_path / "sd.safetensors")
    found = load_compvis(tmp_path / "sd.safetensors").schedule
    assert found.betas == pytest.approx(other.betas, rel=1e-2), "a schedule of the file's own is kept"


def test_a_config_yaml_in_the_folder_is_found_and_an_explicit_one_wins(tmp_path: Path) -> None:
    save_compvis(class_conditional(), tmp_path / "model.ckpt")
    (tmp_path / "model.yaml").rename(tmp_path / "config.yaml")
    assert_same(load_compvis(tmp_path / "model.ckpt"), class_conditional())
    with pytest.raises(CheckpointError, match=r"other\.yaml does not exist; give the yaml that came with"):
        load_compvis(tmp_path / "model.ckpt", config=tmp_path / "other.yaml")


def test_published_extras_are_left_out(tmp_path: Path) -> None:
    """What the published files hold besides: the loss's networks, the first stage as conditioner, position ids."""
    model = stable_diffusion()
    save_compvis(model, tmp_path / "sd.ckpt")
    state = read_weights(tmp_path / "sd.ckpt") | {
        "first_stage_model.loss.logvar": torch.zeros(()),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "sqrt_alphas_cumprod": torch.zeros(1000),
    }
    write_weights(state, tmp_path / "sd.ckpt")
    assert_same(load_compvis(tmp_path / "sd.ckpt"), model)


def test_openclips_last_layer_is_left_out() -> None:
    from core.checkpoints.text_keys import clip_from_files

    layer = {"ln_1.weight": torch.ones(2), "attn.in_proj_bias": torch.arange(6.0)}
    state = {"model.token_embedding.weight": torch.ones(3, 2), "model.text_projection": torch.ones(2, 2)}
    state |= {f"model.transformer.resblocks.{i}.{key}": value for i in (22, 23) for key, value in layer.items()}
    found = clip_from_files(state)
    assert found["transformer.encoder.layers.22.self_attn.k_proj.bias"].tolist() == [2, 3]
    assert len(found) == 5


def test_schedules_are_recognised_after_float32() -> None:
    for schedule, family in (
        (NoiseSchedule.linear(1000, 0.00085, 0.012), "linear"),
        (NoiseSchedule.plain_linear(), "plain_linear"),
        (NoiseSchedule.cosine(), "cosine"),
    ):
        assert schedule_family(schedule)[0] == family
        assert exact_schedule(torch.tensor(schedule.betas).tolist()) == schedule
    assert schedule_family(NoiseSchedule.linear().with_zero_terminal_snr()) is None


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"lora_unet_down.lora_up.weight": 1}, "is a LoRA file; load its base model and merge it"),
        ({"conditioner.embedders.0.x": 1}, r".*the text encoder of Stable Diffusion XL lacks its text_projection"),
        ({"something.weight": 1}, r"is no checkpoint of latent diffusion: it has neither model\.diffusion_model"),
        ({"model.diffusion_model.x": 1}, r"holds no UNet of latent diffusion \(there is no 'input_blocks.0.0.weight'"),
        ({"first_stage_model.encoder.x": 1}, r"holds an incomplete autoencoder"),
    ],
)
def test_other_files_are_named(tmp_path: Path, state: dict[str, int], message: str) -> None:
    write_weights({key: torch.zeros(1) for key in state}, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors " + message):
        load_compvis(tmp_path / "m.safetensors")


def test_unknown_heads_ask_for_the_yaml(tmp_path: Path) -> None:
    save_compvis(class_conditional(), tmp_path / "m.ckpt")
    (tmp_path / "m.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"m\.ckpt: the number of attention heads .* give its yaml"):
        load_compvis(tmp_path / "m.ckpt")


def test_a_yaml_of_another_model_is_named(tmp_path: Path) -> None:
    save_compvis(class_conditional(), tmp_path / "a.ckpt")
    save_compvis(ldm_text(), tmp_path / "b.ckpt")
    with pytest.raises(CheckpointError, match=r"a\.ckpt does not fit the architecture of the configured UNet"):
        load_compvis(tmp_path / "a.ckpt", config=tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "is not a yaml file"),
        ("a: 1", "has no 'model' section"),
        ("model: {params: {unet_config: {params: {}}}}", "describes a model that cannot be built here"),
        (
            "{model: {}, latent_loom: {unet: {model: os.system, config: {}}}}",
            "describes no model that this program knows",
        ),
    ],
)
def test_bad_yaml_is_named(tmp_path: Path, text: str, message: str) -> None:
    save_compvis(class_conditional(), tmp_path / "m.ckpt")
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=rf"m\.yaml {message}"):
        load_compvis(tmp_path / "m.ckpt")


def test_unsupported_options_are_named() -> None:
    section = compvis_unet("ffhq256")
    section["params"]["unet_config"]["params"]["use_new_attention_order"] = True
    with pytest.raises(ValueError, match="use_new_attention_order = True is not supported"):
        from_compvis(section)
    section = compvis_unet("ffhq256") | {}
    section["params"]["cond_stage_config"] = {"target": "ldm.modules.encoders.modules.FrozenClipImageEmbedder"}
    with pytest.raises(ValueError, match="FrozenClipImageEmbedder is not supported"):
        from_compvis(section)


def test_no_unet_detection_mixes_up_depth_and_levels() -> None:
    """One residual block a level and no convolution where the size changes: levels show only as missing numbers."""
    config = {"in_channels": 3, "out_channels": 3, "model_channels": 320, "channel_mult": [1, 2, 4, 4]}
    config |= {"num_res_blocks": 1, "attention_factors": [2], "context_dim": 768, "num_heads": 8}
    wanted = on_meta(Part(UNet, config | {"conv_resample": False}))
    assert on_meta(detect_unet(wanted.state_dict(), "file")).config == wanted.config
