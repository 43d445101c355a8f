"""T2I-Adapters: the same pictures as diffusers' pipeline, every kind and form of file, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from tiny_ldm import randomise
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, STEPS, noise, quiet
from torch import Tensor

from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.model_io import save_model
from core.checkpoints.t2i_adapter import load_t2i_adapter, t2i_adapter_files
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.diffusion.guidance import classifier_free
from core.diffusion.solvers import sample
from core.models.denoiser import denoise
from core.models.t2i_adapter import T2IAdapter, adapted

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The decode_latents method:FutureWarning"),  # diffusers' pipeline calls its own
]


def made(seed: int = 21, **options: Any) -> Any:
    """A random adapter of diffusers whose features are of order one."""
    return randomise(diffusers.T2IAdapter(**({"channels": [32, 64], "num_res_blocks": 1} | options)), seed)


def picture(seed: int = 3, side: int = 64, channels: int = 3) -> Tensor:
    """A picture for each prompt in [0, 1], as diffusers takes it."""
    return torch.rand(len(PROMPTS), channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("weights", [[0.8], [0.5, 0.7]])
@torch.no_grad()
def test_pictures_are_the_pipelines(weights: list[float], tmp_path: Path) -> None:
    """Pixels in [-1, 1], from the same noise; one adapter, and the sum of two."""
    base = PIPELINES["Stable Diffusion 1"](tmp_path)
    base.save_pretrained(tmp_path / "base")
    theirs = [made(seed) for seed in range(len(weights))]
    pictures = [picture(seed) for seed in range(len(weights))]
    one = theirs[0] if len(theirs) == 1 else diffusers.MultiAdapter(theirs)
    parts = {name: part for name, part in base.components.items() if name != "image_encoder"}
    pipeline = quiet(diffusers.StableDiffusionAdapterPipeline(**parts, adapter=one, requires_safety_checker=False))
    images = pipeline(
        PROMPTS,
        image=pictures[0] if len(theirs) == 1 else pictures,
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        latents=noise(4),
        adapter_conditioning_scale=weights[0] if len(theirs) == 1 else weights,
        output_type="np",
    ).images
    nets = []
    for i, each in enumerate(theirs):
        each.save_pretrained(tmp_path / f"adapter{i}")
        nets.append(load_t2i_adapter(tmp_path / f"adapter{i}"))
    model = load_diffusers(tmp_path / "base")

    def guided(z: Tensor, t: Tensor) -> Tensor:
        both = [Conditioning(model.conditioner(model.tokenizer(texts))) for texts in ([""] * len(PROMPTS), PROMPTS)]
        for net, shown, weight in zip(nets, pictures, weights, strict=True):
            both = [adapted(net, 2 * shown - 1, each, weight) for each in both]
        uncond, cond = (denoise(model.unet, z, t, each) for each in both)
        return classifier_free(cond, uncond, SCALE)

    found = model.autoencoder.decode(sample(guided, noise(4), model.schedule, "ddim", steps=STEPS)).clamp(-1, 1)
    torch.testing.assert_close(found, 2 * torch.from_numpy(images).movedim(3, 1) - 1, rtol=0, atol=1e-3)


KINDS: dict[str, dict[str, Any]] = {
    "full": {"channels": [32, 64, 64]},
    "of one channel": {"channels": [32, 64, 64], "in_channels": 1, "num_res_blocks": 2},
    "light": {"channels": [32, 64], "adapter_type": "light_adapter", "num_res_blocks": 2},
    "XL": {"channels": [32, 64, 64, 64], "adapter_type": "full_adapter_xl", "downscale_factor": 16},
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind_changes_the_unet_as_in_diffusers(kind: str, tmp_path: Path) -> None:
    blocks = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D") if kind == "XL" else None
    blocks = blocks or ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=blocks,
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(blocks)),
        cross_attention_dim=32,
        attention_head_dim=2,
    )
    randomise(unet, 1).save_pretrained(tmp_path / "unet")
    theirs = made(**KINDS[kind])
    theirs.save_pretrained(tmp_path / "adapter")
    channels = KINDS[kind].get("in_channels", 3)
    shown, z, t, context = (
        picture(channels=channels),
        torch.randn(2, 4, 8, 8),
        torch.tensor([10, 700]),
        torch.randn(2, 5, 32),
    )
    features = [each.clone() for each in theirs(shown)]
    expected = unet(z, t, context, down_intrablock_additional_residuals=[each.clone() for each in features]).sample
    model, net = load_diffusers(tmp_path / "unet").unet, load_t2i_adapter(tmp_path / "adapter")
    told = adapted(net, 2 * shown.expand(2, 3, 64, 64) - 1, Conditioning(context))
    torch.testing.assert_close(denoise(model, z, t, told), expected, rtol=0, atol=1e-4)
    assert (denoise(model, z, t, Conditioning(context)) - expected).abs().mean() > 0.01


def in_original_names(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """As TencentARC's files have them: a full adapter's residual blocks numbered through, a light one's under `body`."""
    light = "adapter.conv_in.weight" not in state

    def name(key: str) -> str:
        key = key.removeprefix("adapter.")
        if light:
            return key.replace(".resnets.", ".body.")
        match = re.match(r"body\.(\d+)\.(?:resnets\.(\d+)\.)?(.+)", key)
        return key if match is None else f"body.{blocks * int(match[1]) + int(match[2] or 0)}.{match[3]}"

    return {name(key): value for key, value in state.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_file_is_read_and_known_by_name(kind: str, tmp_path: Path) -> None:
    theirs = made(**({"num_res_blocks": 2} | KINDS[kind]))
    theirs.save_pretrained(tmp_path / "folder")
    net = load_t2i_adapter(tmp_path / "folder")
    state = read_weights(tmp_path / "folder" / "diffusion_pytorch_model.safetensors")
    write_weights(state, tmp_path / "names.safetensors")
    torch.save(in_original_names(state, 2), tmp_path / "original.pth")
    save_model(net, tmp_path / "own.safetensors")
    for name in (
        "folder",
        "folder/diffusion_pytorch_model.safetensors",
        "names.safetensors",
        "original.pth",
        "own.safetensors",
    ):
        found = load_t2i_adapter(tmp_path / name)
        assert found.config == net.config, name
        state = found.state_dict()
        assert all(value.equal(state[key]) for key, value in net.state_dict().items()), name
        known = identify(tmp_path / name)
        assert known is not None
        assert known.use == ("checkpoint" if name.startswith("own") else "adapter"), name
        assert all(file.is_file() for file in t2i_adapter_files(tmp_path / name).values())


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path / "folder")
    write_weights({"something.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name, told in {"absent": "does not exist", "other.safetensors": "holds no T2I-Adapter"}.items():
        with pytest.raises(CheckpointError, match=told) as raised:
            load_t2i_adapter(tmp_path / name)
        assert name in str(raised.value)
    config = tmp_path / "folder" / "config.json"
    theirs = json.loads(config.read_text())
    for option, value in {"adapter_type": "heavy_adapter", "some_new_option": 3}.items():
        config.write_text(json.dumps(theirs | {option: value}))
        with pytest.raises(CheckpointError, match=f"the option {option} = {value}"):
            load_t2i_adapter(tmp_path / "folder")
    net = T2IAdapter(channels=(32, 64))
    with pytest.raises(ValueError, match="multiples of 8"):
        net(torch.zeros(1, 3, 60, 64))
