"""ControlNets: the same pictures as diffusers' pipelines, every form of file, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from tiny_ldm import randomise
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, STEPS, noise, quiet
from torch import Tensor

from core.checkpoints.controlnet import controlnet_files, load_controlnet, save_controlnet
from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.model_io import save_model
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.diffusion.guidance import classifier_free
from core.diffusion.solvers import sample
from core.models.controlnet import ControlNet, controlled
from core.models.denoiser import denoise

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def made(unet: Any, seed: int = 11, **options: Any) -> Any:
    """A random ControlNet of diffusers beside its UNet, which adds little enough for pictures to stay pictures."""
    net = diffusers.ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=(8, 12, 16, 24), load_weights_from_unet=False
    )
    if options:
        net = diffusers.ControlNetModel.from_config(net.config, **options)
    randomise(net, seed)
    with torch.no_grad():
        for zero in (*net.controlnet_down_blocks, net.controlnet_mid_block):
            zero.weight.mul_(0.5)
    return net


def hint(seed: int = 3) -> Tensor:
    """A picture for each prompt in [0, 1], as diffusers takes it."""
    return torch.rand(len(PROMPTS), 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def pipeline(folder: Path, name: str, nets: Any) -> Any:
    base = PIPELINES[name](folder / "base")
    nets = [made(base.unet, **each) for each in nets]
    return quiet(
        diffusers.StableDiffusionControlNetPipeline(
            **base.components, controlnet=nets if len(nets) > 1 else nets[0], requires_safety_checker=False
        )
    )


@torch.no_grad()
def ours(
    model: LatentDiffusion,
    nets: list[ControlNet],
    hints: list[Tensor],
    strengths: list[float],
    within: list[tuple[float, float]],
    guess: bool,
) -> Tensor:
    step = 0

    def guided(z: Tensor, t: Tensor) -> Tensor:
        nonlocal step
        both = [Conditioning(model.conditioner(model.tokenizer(texts))) for texts in ([""] * len(PROMPTS), PROMPTS)]
        share, step = step / STEPS, step + 1
        for i in (1,) if guess else (0, 1):
            for net, picture, strength, (start, end) in zip(nets, hints, strengths, within, strict=True):
                if start <= share < end:
                    both[i] = controlled(net, z, t, 2 * picture - 1, both[i], strength, guess)
        uncond, cond = (denoise(model.unet, z, t, each) for each in both)
        return classifier_free(cond, uncond, SCALE)

    return model.autoencoder.decode(sample(guided, noise(model.unet.in_channels), model.schedule, "ddim", steps=STEPS))


@pytest.mark.parametrize(
    ("name", "nets", "options"),
    [
        ("Stable Diffusion 1", [{}], {}),
        ("Stable Diffusion 2", [{}], {"strength": [0.7]}),
        (
            "Stable Diffusion 1",
            [{"seed": 11}, {"seed": 12}],
            {"strength": [0.8, 0.5], "within": [(0.2, 1.0), (0.0, 0.6)]},
        ),
        ("Stable Diffusion 1", [{}], {"guess": True}),
        ("Stable Diffusion 1", [{"controlnet_conditioning_channel_order": "bgr"}], {}),
        ("Stable Diffusion 1", [{"global_pool_conditions": True}], {"guess": True}),
    ],
)
def test_pictures_are_the_pipelines(
    name: str, nets: list[dict[str, Any]], options: dict[str, Any], tmp_path: Path
) -> None:
    """Pixels in [-1, 1], from the same noise, through the folders that were saved."""
    theirs = pipeline(tmp_path, name, nets)
    theirs.save_pretrained(tmp_path / "saved")
    count = len(nets)
    strengths, within = options.get("strength", [1.0] * count), options.get("within", [(0.0, 1.0)] * count)
    guess, hints = options.get("guess", False), [hint(seed) for seed in range(count)]
    one = (lambda values: values[0]) if count == 1 else list
    images = theirs(
        PROMPTS,
        image=one(hints),
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        latents=noise(4),
        controlnet_conditioning_scale=one(strengths),
        control_guidance_start=one([start for start, _ in within]),
        control_guidance_end=one([end for _, end in within]),
        guess_mode=guess,
        output_type="pt",
    ).images
    folders = [tmp_path / "saved" / ("controlnet" if i == 0 else f"controlnet_{i}") for i in range(count)]
    read = [load_controlnet(folder) for folder in folders]
    model = load_diffusers(tmp_path / "saved")
    expected = 2 * images - 1
    found = ours(model, read, hints, strengths, within, guess).clamp(-1, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    without = ours(model, [], [], [], [], guess=False).clamp(-1, 1)
    assert (without - expected).abs().mean() > 0.01, "the picture says nothing"


def test_it_begins_as_a_copy_that_changes_nothing_and_is_saved_for_diffusers(tmp_path: Path) -> None:
    base = PIPELINES["Stable Diffusion 2"](tmp_path)
    base.save_pretrained(tmp_path / "base")
    unet = load_diffusers(tmp_path / "base").unet
    net = ControlNet.beside(unet, hint_widths=(8, 12, 16, 24)).eval()
    z, t, told = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), Conditioning(torch.randn(2, 7, 32))
    picture = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(denoise(unet, z, t, controlled(net, z, t, picture, told)), denoise(unet, z, t, told))
        assert net.state_dict()["input_blocks.1.0.in_layers.2.weight"].equal(
            unet.input_blocks[1][0].in_layers[2].weight
        )
        randomise(net, 5)
        save_controlnet(net, tmp_path / "saved")
        theirs = diffusers.ControlNetModel.from_pretrained(tmp_path / "saved")
        found = net(z, t, picture, told).added
        down, middle = theirs(z, t, told.context, picture / 2 + 0.5, return_dict=False)
    for mine, other in zip(found, (*down, middle), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    again = load_controlnet(tmp_path / "saved").state_dict()
    assert all(value.equal(again[name]) for name, value in net.state_dict().items())


def forms(folder: Path, net: ControlNet, unet: Any) -> dict[str, Path]:
    """The same network in every form of file."""
    save_controlnet(net, folder / "diffusers")
    save_controlnet(net, folder / "original.safetensors", "original")
    save_model(net, folder / "own.safetensors")
    torch.save(
        {"state_dict": {f"control_model.{name}": value for name, value in net.state_dict().items()}},
        folder / "original.pth",
    )
    write_weights(net.state_dict(), folder / "bare.safetensors")
    write_weights(
        read_weights(folder / "diffusers" / "diffusion_pytorch_model.safetensors"), folder / "names.safetensors"
    )
    weights = unet.state_dict()
    less = {name: value - weights[name] if name in weights else value for name, value in net.state_dict().items()}
    changed = {f"control_model.{name}": value for name, value in less.items()} | {"difference": torch.zeros(())}
    write_weights(changed, folder / "difference.safetensors")
    names = (
        "original.safetensors",
        "original.pth",
        "bare.safetensors",
        "names.safetensors",
        "difference.safetensors",
        "own.safetensors",
    )
    return {
        "folder": folder / "diffusers",
        "file of a folder": folder / "diffusers" / "diffusion_pytorch_model.safetensors",
    } | {name: folder / name for name in names}


@pytest.mark.parametrize("version", ["Stable Diffusion 1", "Stable Diffusion 2"])
def test_every_form_of_file_is_read_and_known_by_name(version: str, tmp_path: Path) -> None:
    base = PIPELINES[version](tmp_path)
    base.save_pretrained(tmp_path / "base")
    unet = load_diffusers(tmp_path / "base").unet
    net = randomise(ControlNet.beside(unet, hint_widths=(8, 12, 16, 24)), 5)
    wanted = net.state_dict()
    for form, path in forms(tmp_path, net, unet).items():
        found = load_controlnet(path, unet)
        state = found.state_dict()
        assert all(torch.allclose(value, state[name], atol=1e-5) for name, value in wanted.items()), form
        assert found.config["num_heads"] == net.config["num_heads"], form
        assert found.config["num_head_channels"] == net.config["num_head_channels"], form
        known = identify(path)
        assert known is not None
        assert known.use in ("control", "checkpoint" if "own" in form else "control"), form
        assert all(file.is_file() for file in controlnet_files(path).values())


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    base = PIPELINES["Stable Diffusion 1"](tmp_path)
    base.save_pretrained(tmp_path / "base")
    unet = load_diffusers(tmp_path / "base").unet
    net = ControlNet.beside(unet, hint_widths=(8, 12, 16, 24))
    paths = forms(tmp_path, net, unet)
    for path, told in {
        tmp_path / "absent": "does not exist",
        paths["difference.safetensors"]: "wire that UNet to base",
        paths["bare.safetensors"]: "the number of attention heads does not show",
        tmp_path / "base" / "unet": "is a UNet2DConditionModel",
        tmp_path / "base" / "unet" / "diffusion_pytorch_model.safetensors": "is a UNet of diffusers",
    }.items():
        with pytest.raises(CheckpointError, match=told) as raised:
            load_controlnet(path)
        assert path.name in str(raised.value)
    config = paths["folder"] / "config.json"
    theirs = json.loads(config.read_text())
    for option, value in {
        "controlnet_conditioning_channel_order": "gbr",
        "act_fn": "gelu",
        "encoder_hid_dim": 12,
        "some_new_option": 3,
        "class_embed_type": "timestep",
    }.items():
        config.write_text(json.dumps(theirs | {option: value}))
        with pytest.raises(CheckpointError, match=f"the option {option} = {value}"):
            load_controlnet(paths["folder"])


def test_what_was_made_for_another_unet_or_size_is_told(tmp_path: Path) -> None:
    base = PIPELINES["Stable Diffusion 1"](tmp_path)
    base.save_pretrained(tmp_path / "base")
    unet = load_diffusers(tmp_path / "base").unet
    net = ControlNet.beside(unet, hint_widths=(8, 12, 16, 24)).eval()
    z, t, told = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), Conditioning(torch.randn(1, 7, 32))
    with pytest.raises(ValueError, match="64 × 64 pixels, not"):
        controlled(net, z, t, torch.zeros(1, 3, 32, 32), told)
    with pytest.raises(ValueError, match="the ControlNet needs context"):
        controlled(net, z, t, torch.zeros(1, 3, 64, 64))
    deeper = ControlNet(4, 32, (1, 2, 2), 1, (1,), num_heads=2, context_dim=32, hint_widths=(8, 12, 16, 24))
    with pytest.raises(ValueError, match="made for another UNet"):
        denoise(unet, z, t, controlled(deeper, z, t, torch.zeros(1, 3, 64, 64), told))
