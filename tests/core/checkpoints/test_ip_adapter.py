"""IP-Adapters: the same pictures as diffusers' pipelines, every kind and form of file, training, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_ip_adapter import EMBEDDING, SIDE, adapter_state, flat, image_encoder
from tiny_ldm import text_unet
from tiny_pipelines import PIPELINES, PROMPTS, SCALE, STEPS, noise
from tiny_xl import xl_pipeline
from torch import Tensor
from transformers import CLIPImageProcessorPil as CLIPImageProcessor

from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identify
from core.checkpoints.ip_adapter import ip_adapter_files, load_ip_adapter, save_ip_adapter
from core.checkpoints.model_io import save_model
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.conditioning import Conditioning
from core.conditioning.image_encoder import ImageEncoder
from core.conditioning.image_prompt import ImagePrompt
from core.conditioning.sizes import size_vector
from core.conditioning.text_condition import text_condition
from core.diffusion.guidance import classifier_free
from core.diffusion.solvers import sample
from core.models.denoiser import denoise
from core.models.ip_adapter import IPAdapter, image_prompted
from core.models.kept_context import CONTEXTS, constant_context

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def photographs(count: int, side: int = SIDE) -> list[Image.Image]:
    """Random pictures of 8 bits, smooth enough that resizing keeps something."""
    generator = np.random.default_rng(5)
    small = [generator.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(count)]
    return [Image.fromarray(each).resize((side, side + side // 4), Image.Resampling.BICUBIC) for each in small]


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture) / 127.5 - 1).float().permute(2, 0, 1)[None]


CASES: dict[str, tuple[str, list[str], list[float], int]] = {
    "plain": ("SD 1", ["plain"], [0.7], 1),
    "plain, two pictures": ("SD 1", ["plain"], [1.0], 2),
    "plus": ("SD 1", ["plus"], [0.6], 1),
    "full face": ("SD 1", ["full-face"], [0.6], 1),
    "plain and plus at once": ("SD 1", ["plain", "plus"], [0.4, 0.5], 1),
    "XL": ("XL", ["plain"], [0.7], 1),
    "XL plus": ("XL", ["plus"], [0.5], 2),
}
QUICK = ("plain", "plus", "XL")
"""In the fast suite; the others are marked slow."""


@pytest.mark.parametrize(
    "case", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in CASES]
)
@torch.no_grad()
def test_pictures_are_the_pipelines(case: str, tmp_path: Path) -> None:
    """Pixels in [-1, 1], from the same noise, with guidance."""
    base, kinds, strengths, count = CASES[case]
    pipeline = PIPELINES["Stable Diffusion 1"](tmp_path) if base == "SD 1" else xl_pipeline(tmp_path)
    pipeline.save_pretrained(tmp_path / "base")
    image_encoder().save_pretrained(tmp_path / "encoder")
    model, encoder = load_diffusers(tmp_path / "base"), ImageEncoder.load(tmp_path / "encoder")
    pipeline.register_modules(
        image_encoder=image_encoder(), feature_extractor=CLIPImageProcessor(size=SIDE, crop_size=SIDE)
    )
    states = [adapter_state(kind, pipeline.unet, seed) for seed, kind in enumerate(kinds)]
    for i, state in enumerate(states):
        torch.save(state, tmp_path / f"adapter{i}.bin")
    pipeline.load_ip_adapter(states if len(states) > 1 else states[0], subfolder="", weight_name=[""] * len(states))
    pipeline.set_ip_adapter_scale(strengths)
    shown = photographs(count)
    options: dict[str, Any] = {"latents": noise(4), "num_inference_steps": STEPS, "guidance_scale": SCALE}
    options |= {"negative_prompt": ["blue"] * 2, "height": 64, "width": 64, "output_type": "pt"}
    without = {"ip_adapter_image": [shown] * len(states)}
    theirs = 2 * pipeline(PROMPTS, **without, **options).images - 1
    both = [text_condition(model.conditioner, model.tokenizer(texts)) for texts in (PROMPTS, ["blue"] * 2)]
    if base == "XL":
        side, corner = torch.tensor([[64, 64]]), torch.tensor([[0, 0]])
        told = Conditioning(y=size_vector(side, corner, side, dim=8))
        both = [each | told.expand(2) for each in both]
    plain = list(both)
    for i, strength in enumerate(strengths):
        net = load_ip_adapter(tmp_path / f"adapter{i}.bin")
        pictures = [as_tensor(each) for each in shown]
        both = [
            image_prompted(net, encoder, pictures, each, strength, nothing=side == 1) for side, each in enumerate(both)
        ]

    def picture(conditions: list[Conditioning]) -> Tensor:
        def guided(z: Tensor, t: Tensor) -> Tensor:
            joined = Conditioning.cat([each.expand(2) for each in conditions])
            cond, uncond = denoise(model.unet, torch.cat([z, z]), torch.cat([t, t]), joined).chunk(2)
            return classifier_free(cond, uncond, SCALE)

        return model.autoencoder.decode(sample(guided, noise(4), model.schedule, "ddim", steps=STEPS)).clamp(-1, 1)

    found = picture(both)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-3)
    assert (picture(plain) - theirs).abs().mean() > 0.01, "the picture makes no difference"


@torch.no_grad()
def test_the_encoder_sees_what_transformers_does(tmp_path: Path) -> None:
    """Pictures of other sizes too, cut out and brought to its size as CLIPImageProcessor does."""
    theirs = image_encoder()
    theirs.save_pretrained(tmp_path)
    ours = ImageEncoder.load(tmp_path)
    for side, tolerance in ((SIDE, 1e-5), (50, 0.1)):  # Pillow's values may round to the next one
        picture = photographs(1, side)[0]
        pixels = CLIPImageProcessor(size=SIDE, crop_size=SIDE)(picture, return_tensors="pt").pixel_values
        seen = theirs(pixels, output_hidden_states=True)
        torch.testing.assert_close(ours(as_tensor(picture)), seen.image_embeds, rtol=0, atol=tolerance)
        torch.testing.assert_close(
            ours(as_tensor(picture), tokens=True), seen.hidden_states[-2], rtol=0, atol=tolerance
        )
        assert not ours(as_tensor(picture), nothing=True).any()
    (tmp_path / "config.json").write_text('{"model_type": "clip_text_model"}')
    with pytest.raises(CheckpointError, match="a folder of 'clip_vision_model' is wanted"):
        ImageEncoder.load(tmp_path)


@torch.no_grad()
def test_nothing_costs_no_picture(tmp_path: Path) -> None:
    """A zero embedding is not computed; the grey picture of all rows is one."""
    image_encoder().save_pretrained(tmp_path)
    encoder = ImageEncoder.load(tmp_path)
    shown = torch.cat([as_tensor(each) for each in photographs(3)])
    wanted = encoder.network(torch.zeros(3, 3, SIDE, SIDE), output_hidden_states=True).hidden_states[-2]
    rows: list[int] = []
    encoder.network.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    zeros = encoder(shown, nothing=True)
    assert (zeros.shape, zeros.any().item(), zeros.dtype) == ((3, EMBEDDING), False, torch.float32)
    assert rows == []
    torch.testing.assert_close(encoder(shown, tokens=True, nothing=True), wanted, rtol=0, atol=1e-6)
    assert rows == [1]


@pytest.mark.parametrize("kind", ["plain", "plus"])
@torch.no_grad()
def test_a_sampling_looks_at_pictures_once(kind: str, tmp_path: Path) -> None:
    """More of them than there are contexts kept for a layer, and with another strength at each step."""
    torch.save(adapter_state(kind, PIPELINES["Stable Diffusion 1"](tmp_path).unet), tmp_path / "adapter.bin")
    image_encoder().save_pretrained(tmp_path / "encoder")
    net, encoder = load_ip_adapter(tmp_path / "adapter.bin"), ImageEncoder.load(tmp_path / "encoder")
    shown = [as_tensor(each) for each in photographs(CONTEXTS + 1)]
    calls: list[object] = []
    for module in (encoder, net):
        module.register_forward_hook(lambda module, args, out: calls.append(module))

    def told(step: int) -> list[Tensor]:
        sides = [image_prompted(net, encoder, shown, None, 0.1 * step, nothing) for nothing in (False, True)]
        return [tensor for side in sides for tensor in side.tensors()]

    anew = [told(step) for step in range(3)]
    calls.clear()
    with constant_context():
        kept = [told(step) for step in range(3)]
    assert [calls.count(encoder), calls.count(net)] == [2 * len(shown), 2]
    assert all(
        torch.equal(a, b) for one, other in zip(kept, anew, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert not torch.equal(kept[1][1], kept[2][1]), "the strength is another"


@pytest.mark.parametrize("kind", ["plain", "plus", "full-face"])
def test_every_form_of_file_is_read_and_known_by_name(kind: str, tmp_path: Path) -> None:
    unet = PIPELINES["Stable Diffusion 1"](tmp_path).unet
    state = adapter_state(kind, unet)
    torch.save(state, tmp_path / "nested.bin")
    write_weights(flat(state), tmp_path / "names.safetensors")
    net = load_ip_adapter(tmp_path / "names.safetensors")
    save_model(net, tmp_path / "own")
    save_model(net, tmp_path / "own.safetensors")
    save_ip_adapter(net, tmp_path / "saved.safetensors")
    assert read_weights(tmp_path / "saved.safetensors").keys() == flat(state).keys()
    for name in ("nested.bin", "own", "own.safetensors", "saved.safetensors"):
        found = load_ip_adapter(tmp_path / name)
        assert found.config == net.config, name
        assert all(value.equal(flat(state)[key]) for key, value in found.state_dict().items()), name
        known = identify(tmp_path / name)
        assert known is not None
        if not name.startswith("own"):
            assert (known.name, known.use) == ("an IP-Adapter", "image_prompt")
        assert all(file.is_file() for file in ip_adapter_files(tmp_path / name).values())
    image_encoder().save_pretrained(tmp_path / "encoder")
    found = identify(tmp_path / "encoder")
    assert found is not None
    assert found.use == "image_encoder"


FACES: dict[str, dict[str, tuple[int, ...]]] = {
    "FaceID": {"proj.0.weight": (4, 4), "proj.2.weight": (4, 4), "norm.weight": (4,)},
    "FaceID plus": {"proj.0.weight": (4, 4), "norm.weight": (4,), "perceiver_resampler.proj_in.weight": (4, 4)},
}


@pytest.mark.parametrize("kind", FACES)
def test_those_of_faces_are_named(kind: str, tmp_path: Path) -> None:
    state = {f"image_proj.{name}": torch.zeros(shape) for name, shape in FACES[kind].items()}
    write_weights(state | {"ip_adapter.1.to_k_ip.weight": torch.zeros(4, 768)}, tmp_path / "face.safetensors")
    with pytest.raises(CheckpointError, match=r"face\.safetensors is an IP-Adapter FaceID; it cannot be used here yet"):
        load_ip_adapter(tmp_path / "face.safetensors")


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    write_weights({"something.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name, told in {"absent": "does not exist", "other.safetensors": "holds no IP-Adapter"}.items():
        with pytest.raises(CheckpointError, match=told) as raised:
            load_ip_adapter(tmp_path / name)
        assert name in str(raised.value)
    unet, other = text_unet(16), text_unet(16, linear=True)
    net = IPAdapter.beside(unet, EMBEDDING)
    with pytest.raises(ValueError, match="embeddings of 24 numbers, and the image encoder gives 16"):
        net([torch.zeros(1, 16)])
    prompt = net([torch.zeros(1, EMBEDDING)])
    z, t, context = torch.randn(1, 4, 8, 8), torch.tensor([5]), torch.randn(1, 3, 16)
    short = ImagePrompt((prompt.adapters[0][:-1],))
    for wrong in (short, IPAdapter(EMBEDDING, 16, [8, 8, 8, 8])([torch.zeros(1, EMBEDDING)])):
        with pytest.raises(ValueError, match="the adapter was made for another UNet"):
            denoise(other, z, t, Conditioning(context, parts=[wrong]))
    with pytest.raises(ValueError, match="made for UNets of other shapes"):
        prompt.join(short)
    with pytest.raises(ValueError, match="projection is linear, resampler or mlp"):
        IPAdapter(8, 8, [8], "square")  # type: ignore[arg-type]


def test_a_condition_handles_it_like_its_other_parts() -> None:
    unet = text_unet(16).eval()
    net = IPAdapter.beside(unet, EMBEDDING)
    context, z, t = torch.randn(1, 3, 16), torch.randn(2, 4, 8, 8), torch.tensor([5, 900])
    told = Conditioning(context, parts=[net([torch.randn(1, EMBEDDING)])])
    with torch.no_grad():
        alone, seen = denoise(unet, z, t, Conditioning(context)), denoise(unet, z, t, told)
        assert (alone - seen).abs().max() > 1e-3
        nothing = Conditioning(context, parts=[told[ImagePrompt].null()])
        assert torch.allclose(denoise(unet, z, t, nothing), alone, atol=1e-6)
        weak = Conditioning(context, parts=[told[ImagePrompt].scaled(0.0)])
        assert torch.allclose(denoise(unet, z, t, weak), alone, atol=1e-6)
    again = Conditioning.from_tree(told.to_tree())
    assert all(map(torch.equal, again.tensors(), told.tensors()))


@pytest.mark.parametrize("recompute", [False, True])
def test_it_learns_and_the_unet_does_not(recompute: bool) -> None:
    unet = text_unet(16).requires_grad_(False)
    unet.gradient_checkpointing = recompute
    net = IPAdapter.beside(unet, EMBEDDING)
    told = Conditioning(torch.randn(2, 3, 16), parts=[net([torch.randn(2, EMBEDDING)])])
    denoise(unet, torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), told).square().mean().backward()
    assert all(parameter.grad is None for parameter in unet.parameters())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
