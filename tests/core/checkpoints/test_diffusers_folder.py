"""diffusers folders: round trips over every format, the same pictures as diffusers' pipelines, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from tiny_ldm import EVERY_KIND, assert_same, class_conditional, kl, randomise
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, STEPS, modules, noise, quiet, stable_diffusion
from torch import Tensor

from core.checkpoints.compvis import load_compvis, save_compvis
from core.checkpoints.diffusers_folder import load_diffusers, save_diffusers
from core.checkpoints.diffusers_scheduler import schedule_from_diffusers, schedule_to_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from core.models.denoiser import denoise
from core.models.unet import UNet


@torch.no_grad()
def our_pictures(model: LatentDiffusion) -> Tensor:
    """Prompts to images in [-1, 1] with our tokenizer, text encoder, UNet, guidance, DDIM and decoder."""
    contexts = [Conditioning(model.conditioner(model.tokenizer(texts))) for texts in ([""] * len(PROMPTS), PROMPTS)]
    both = Conditioning.cat(contexts)

    def guided(z: Tensor, t: Tensor) -> Tensor:
        uncond, cond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    z = sample(guided, noise(model.unet.in_channels), model.schedule, "ddim", steps=STEPS)
    return model.autoencoder.decode(z)


@torch.no_grad()
def their_pictures(pipeline: Any) -> Tensor:
    """The same from diffusers' pipeline, which gives [0, 1]."""
    unet = pipeline.unet
    options = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "latents": noise(unet.config.in_channels)}
    images = pipeline(PROMPTS, height=64, width=64, output_type="pt", **options).images
    return images * 2 - 1


@pytest.mark.parametrize("name", ["Stable Diffusion 1", "Stable Diffusion 2", "LDM text"])
def test_pictures_are_the_pipelines(name: str, tmp_path: Path) -> None:
    """Pixels in [-1, 1], from the same noise, through the folder that the pipeline saved."""
    pipeline = PIPELINES[name](tmp_path)
    pipeline.save_pretrained(tmp_path / "saved")
    theirs, ours = their_pictures(pipeline), our_pictures(load_diffusers(tmp_path / "saved"))
    assert ours.abs().le(1).float().mean() > 0.5, "most pixels are clipped, which hides differences"
    assert theirs[0].sub(theirs[1]).abs().max() > 0.1, "the prompts make no difference"
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("make", PIPELINES.values(), ids=list(PIPELINES))
def test_round_trip_over_every_format_is_bit_equal(make: Any, tmp_path: Path) -> None:
    """diffusers → ours → CompVis → ours → diffusers."""
    from diffusers import DiffusionPipeline

    original = make(tmp_path)
    original.save_pretrained(tmp_path / "theirs")
    ours = load_diffusers(tmp_path / "theirs")
    save_compvis(ours, tmp_path / "single.ckpt")
    again = dataclasses.replace(load_compvis(tmp_path / "single.ckpt"), tokenizer=ours.tokenizer)
    assert_same(again, ours)
    save_diffusers(again, tmp_path / "ours", sample_size=8)
    back = quiet(DiffusionPipeline.from_pretrained(tmp_path / "ours"))
    assert type(back) is type(original)
    for name, wanted in modules(original).items():
        found = modules(back)[name].state_dict()
        assert found.keys() == wanted.state_dict().keys()
        assert all(torch.equal(found[key], value) for key, value in wanted.state_dict().items()), name
    if ours.tokenizer:
        assert (their_pictures(back) - their_pictures(original)).abs().max() <= 1e-5  # alignment may cost a bit
        written = load_diffusers(tmp_path / "ours").tokenizer
        assert torch.equal(written(PROMPTS), ours.tokenizer(PROMPTS))
    else:
        pictures = [
            pipe(generator=torch.Generator().manual_seed(0), num_inference_steps=3, output_type="np").images
            for pipe in (original, back)
        ]
        assert abs(pictures[0] - pictures[1]).max() <= 1e-5


def test_diffusers_reads_our_single_file(tmp_path: Path) -> None:
    """Its converter, given the folder for the sizes, finds the same weights in the CompVis file."""
    from diffusers import StableDiffusionPipeline

    original = stable_diffusion(tmp_path)
    original.save_pretrained(tmp_path / "folder")
    save_compvis(load_diffusers(tmp_path / "folder"), tmp_path / "single.safetensors")
    found = StableDiffusionPipeline.from_single_file(
        tmp_path / "single.safetensors", config=str(tmp_path / "folder"), local_files_only=True
    )
    for name in ("unet", "vae", "text_encoder"):
        wanted, state = modules(original)[name].state_dict(), modules(found)[name].state_dict()
        assert all(torch.equal(state[key], wanted[key]) for key in wanted), name


@pytest.mark.parametrize("name", ["class", "KL autoencoder", "VQ autoencoder", "unconditional"])
def test_components_are_read_alone(name: str, tmp_path: Path) -> None:
    model = EVERY_KIND[name]()
    save_diffusers(model, tmp_path / "f")
    assert (tmp_path / "f/model_index.json").exists() == (name == "unconditional")
    for folder, part in (("unet", "unet"), ("vae", "autoencoder"), ("vqvae", "autoencoder")):
        if (tmp_path / "f" / folder).exists():
            found = load_diffusers(tmp_path / "f" / folder)
            assert_same(found, LatentDiffusion(**{part: getattr(model, part)}))


@pytest.mark.parametrize(
    "options",
    [
        {"num_head_channels": 16, "attention_factors": [1, 2], "use_scale_shift_norm": True, "resblock_updown": True},
        {"num_heads": 2, "attention_factors": [8], "resblock_updown": True, "num_classes": 3},
        {"num_head_channels": 16, "attention_factors": [2], "norm_groups": 8},
        {"num_head_channels": 16, "attention_factors": [1, 2], "context_dim": 8, "transformer_depth": 2},
        {"num_heads": 4, "attention_factors": [1], "context_dim": 8, "num_classes": 3},
        {"num_heads": 4, "attention_factors": [1], "context_dim": 8, "use_scale_shift_norm": True, "norm_groups": 8},
        {"num_heads": 4, "attention_factors": [1], "context_dim": 8, "adm_in_channels": 6},
    ],
    ids=[
        "scale-shift norm, resblock_updown",
        "mid attention only, class embedding",
        "eight norm groups",
        "cross-attention, num_head_channels, depth 2",
        "cross-attention, num_heads, class embedding",
        "cross-attention, scale-shift norm",
        "cross-attention, a vector",
    ],
)
def test_unet_variants_predict_as_diffusers_loads_them(options: dict[str, Any], tmp_path: Path) -> None:
    """Configurations are translated right: diffusers' own module, from our folder, predicts the same (≤ 2e-5)."""
    from diffusers import UNet2DConditionModel, UNet2DModel

    model = randomise(UNet(3, 3, 32, [1, 2], num_res_blocks=1, **options))
    save_diffusers(LatentDiffusion(model), tmp_path / "f")
    again = load_diffusers(tmp_path / "f/unet").unet
    effective = {"attention_factors": [f for f in options["attention_factors"] if f < 4]}
    heads = again.config["num_heads"], again.config["num_head_channels"]
    same = {"num_heads": heads[0], "num_head_channels": heads[1]}  # may say the same by the other name
    assert again.config == model.config | effective | same
    kind = UNet2DConditionModel if "context_dim" in options else UNet2DModel
    theirs = kind.from_pretrained(tmp_path / "f/unet").eval()
    z, t = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 700])
    context = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)) if "context_dim" in options else None
    y = torch.tensor([0, 2]) if "num_classes" in options else None
    y = torch.linspace(-1, 1, 12).reshape(2, 6) if "adm_in_channels" in options else y
    with torch.no_grad():
        wanted = theirs(z, t, *([] if context is None else [context]), class_labels=y).sample
        for unet in (model, again):
            torch.testing.assert_close(
                denoise(unet, z, t, Conditioning(context, y=y)), wanted, rtol=0, atol=2e-5 * wanted.std().item()
            )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 2, "attention_factors": [1, 2]}, "the same channels in every head, which differ here by level"),
        ({"num_heads": 2, "conv_resample": False}, "diffusers has no UNet with conv_resample = False"),
        ({"num_heads": 2, "context_dim": 8, "resblock_updown": True}, "no cross-attention UNet with resblock_updown"),
        ({"num_heads": 2, "norm_groups": 48}, "48 norm groups"),
    ],
)
def test_what_diffusers_cannot_express_is_refused_and_nothing_is_left(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        save_diffusers(LatentDiffusion(UNet(3, 3, 32, [1, 2], num_res_blocks=1, **options)), tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "schedule",
    [
        NoiseSchedule.linear(1000, 0.00085, 0.012),
        NoiseSchedule.plain_linear(500, parametrisation="x0"),
        NoiseSchedule.cosine(100, parametrisation="v"),
        NoiseSchedule.linear().with_zero_terminal_snr(),
    ],
)
def test_schedules_go_to_diffusers_and_back(schedule: NoiseSchedule) -> None:
    from diffusers import DDIMScheduler

    config = schedule_to_diffusers(schedule)
    assert schedule_from_diffusers(config) == schedule
    theirs = DDIMScheduler.from_config(config)
    assert torch.allclose(theirs.alphas_cumprod.float(), schedule.alphas_cumprod, rtol=1e-5, atol=1e-8)


def test_zero_snr_option_is_read_as_diffusers_computes_it() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True, prediction_type="v_prediction")
    ours = schedule_from_diffusers(dict(theirs.config))
    assert torch.allclose(theirs.alphas_cumprod, ours.alphas_cumprod, rtol=1e-4, atol=1e-7)


def test_half_precision_and_bin_and_sharded_folders_are_read(tmp_path: Path) -> None:
    model = LatentDiffusion(autoencoder=kl())
    save_diffusers(model, tmp_path / "f")
    folder = tmp_path / "f/vae"
    state = read_weights(folder / "diffusion_pytorch_model.safetensors")
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(state, folder / "diffusion_pytorch_model.bin")
    assert_same(load_diffusers(folder), model)
    (folder / "diffusion_pytorch_model.bin").unlink()
    names = sorted(state)
    half = len(names) // 2
    shards = {"a.safetensors": names[:half], "b.safetensors": names[half:]}
    for shard, keys in shards.items():
        write_weights({key: state[key] for key in keys}, folder / shard)
    index = {"weight_map": {key: shard for shard, keys in shards.items() for key in keys}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert_same(load_diffusers(folder), model)
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors is missing, one of the 2 shards"):
        load_diffusers(folder)
    write_weights(
        {key: value.half() for key, value in state.items()}, folder / "diffusion_pytorch_model.fp16.safetensors"
    )
    (folder / "diffusion_pytorch_model.safetensors.index.json").unlink()
    again = load_diffusers(folder).autoencoder
    assert torch.equal(again.decoder.conv_in.weight, model.autoencoder.decoder.conv_in.weight.half().float())


def test_shards_of_a_variant_are_read_as_diffusers_names_them(tmp_path: Path) -> None:
    model = LatentDiffusion(autoencoder=kl())
    save_diffusers(model, tmp_path / "f")
    theirs = diffusers.AutoencoderKL.from_pretrained(tmp_path / "f" / "vae", torch_dtype=torch.float16)
    theirs.save_pretrained(tmp_path / "half", variant="fp16", max_shard_size="20KB")
    assert (tmp_path / "half" / "diffusion_pytorch_model.safetensors.index.fp16.json").is_file()
    wanted = dict(model.autoencoder.named_parameters())
    for key, found in load_diffusers(tmp_path / "half").autoencoder.named_parameters():
        assert torch.equal(found, wanted[key].half().float()), key


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_diffusers(class_conditional(), tmp_path / "f")
    return tmp_path / "f"


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_missing_scaling_factor_means_what_the_published_folders_mean(tmp_path: Path) -> None:
    for model, expected in ((kl(), 0.18215), (class_conditional().autoencoder, 1.0)):
        save_diffusers(LatentDiffusion(autoencoder=model), tmp_path / "f")
        config = json.loads((tmp_path / "f/vae/config.json").read_text())
        del config["scaling_factor"]
        (tmp_path / "f/vae/config.json").write_text(json.dumps(config))
        assert load_diffusers(tmp_path / "f/vae").autoencoder.scale_factor.item() == pytest.approx(expected)


def test_damaged_folders_are_named_with_a_remedy(saved: Path) -> None:
    weights = saved / "unet/diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=r"unet/diffusion_pytorch_model\.safetensors is truncated or damaged"):
        load_diffusers(saved / "unet")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"unet holds no weights: expected a file such as .* download it there"):
        load_diffusers(saved / "unet")
    with pytest.raises(CheckpointError, match=r"model_index\.json does not exist"):
        load_diffusers(saved)
    weights.write_bytes(content)
    edited(saved / "unet/config.json", block_out_channels=[64, 128])
    with pytest.raises(
        CheckpointError, match=r"unet/config\.json cannot be used: .* the configuration wants \(256, 64\)"
    ):
        load_diffusers(saved / "unet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "FluxTransformer2DModel"}, "describes a FluxTransformer2DModel; known are UNet2DCondition"),
        ({"addition_embed_type": "image"}, "the option addition_embed_type = image is not supported"),
        (
            {"addition_embed_type": "text_time"},
            "text_time goes with projection_class_embeddings_input_dim, which is None",
        ),
        ({"time_cond_proj_dim": 256}, "the option time_cond_proj_dim = 256 is not supported"),
        ({"flip_sin_to_cos": False}, "the option flip_sin_to_cos = False is not supported, only True"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "the block SkipDownBlock2D is not supported"),
        ({"block_out_channels": [32, 40]}, "are not multiples of the first"),
    ],
)
def test_models_that_are_not_ours_are_named(saved: Path, changes: dict[str, Any], message: str) -> None:
    edited(saved / "unet/config.json", **changes)
    with pytest.raises(CheckpointError, match=rf"unet/config\.json .*{message}"):
        load_diffusers(saved / "unet")


def test_a_pipeline_without_its_tokenizer_is_named(tmp_path: Path) -> None:
    stable_diffusion(tmp_path).save_pretrained(tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd/tokenizer")
    with pytest.raises(CheckpointError, match=r"sd/tokenizer holds no tokenizer.*Download the folder tokenizer again"):
        load_diffusers(tmp_path / "sd")
