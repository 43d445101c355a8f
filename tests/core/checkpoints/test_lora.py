"""LoRA files: merged weights against the definition, applied to diffusers' and transformers' own modules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import clip, text_unet, unconditional
from torch import Tensor, nn

from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.lora import Lora, changes_nothing, merge_lora, read_lora
from core.checkpoints.weights import write_weights
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.conditioning import Conditioning
from core.models.unet import UNet

RANK, ALPHA = 3, 2.0
BLOCK = "down_blocks.0.attentions.0"
UNET_MODULES = [
    f"{BLOCK}.proj_in",
    f"{BLOCK}.transformer_blocks.0.attn1.to_q",
    f"{BLOCK}.transformer_blocks.0.attn2.to_out.0",
    f"{BLOCK}.transformer_blocks.0.ff.net.0.proj",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.0.resnets.1.conv2",
    "time_embedding.linear_1",
]
TEXT_MODULES = ["encoder.layers.1.self_attn.v_proj", "encoder.layers.0.mlp.fc1"]


def kohya(place: str, module: str) -> tuple[str, str, str, str]:
    prefix = "lora_unet_" if place == "unet" else "lora_te_text_model_"
    name = prefix + module.replace(".", "_")
    return f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.lora_mid.weight", f"{name}.alpha"


def peft(place: str, module: str) -> tuple[str, str, str, str]:
    name = ("unet." if place == "unet" else "text_encoder.text_model.") + module
    return f"{name}.lora_A.weight", f"{name}.lora_B.weight", "", f"{name}.alpha"


def diffusers_old(place: str, module: str) -> tuple[str, str, str, str]:
    name = ("unet." if place == "unet" else "text_encoder.text_model.") + module
    middle = "lora" if place == "unet" else "lora_linear_layer"
    if ".attn" in name:  # the attention processors' own naming
        head, _, projection = name.partition(".to_")
        name = f"{head}.processor.to_{projection.removesuffix('.0')}_lora"
        return f"{name}.down.weight", f"{name}.up.weight", "", f"{head}.to_{projection}.alpha"
    return f"{name}.{middle}.down.weight", f"{name}.{middle}.up.weight", "", f"{name}.alpha"


Naming = Callable[[str, str], tuple[str, str, str, str]]
NAMINGS = {"kohya": kohya, "diffusers, peft": peft, "diffusers, before peft": diffusers_old}


def factors(layer: nn.Module, seed: int) -> tuple[Tensor, Tensor]:
    """Random down and up of a linear layer or convolution, in the shapes that trainers write."""
    generator = torch.Generator().manual_seed(seed)
    weight = layer.weight
    rest = weight.shape[2:]
    down = torch.randn(RANK, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
    return down, torch.randn(weight.shape[0], RANK, *(1 for _ in rest), generator=generator) / RANK**0.5


@torch.no_grad()
def apply_by_definition(layer: nn.Module, down: Tensor, up: Tensor, scale: float) -> None:
    """y + scale · up(down(x)), with layers of their own, as a trainer has them."""
    if isinstance(layer, nn.Conv2d):
        first = nn.Conv2d(layer.in_channels, RANK, layer.kernel_size, layer.stride, layer.padding, bias=False)
        second: nn.Module = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
    else:
        first, second = nn.Linear(layer.in_features, RANK, bias=False), nn.Linear(RANK, layer.out_features, bias=False)
    first.weight.copy_(down)
    second.weight.copy_(up)
    layer.register_forward_hook(lambda _, inputs, output: output + scale * second(first(inputs[0])))


def file_for(
    path: Path, naming: Naming, place: str, modules: list[str], layers: nn.Module, strength: float = 1.0
) -> Path:
    """Write a LoRA for these modules of diffusers' or transformers' model, and apply it to that model by definition."""
    state: dict[str, Tensor] = {}
    for seed, module in enumerate(modules):
        layer = layers.get_submodule(module)
        down, up = factors(layer, seed)
        keys = naming(place, module)
        state |= {keys[0]: down, keys[1]: up, keys[3]: torch.tensor(ALPHA)}
        apply_by_definition(layer, down, up, strength * ALPHA / RANK)
    write_weights(state, path)
    return path


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=list(NAMINGS))
def test_a_unet_with_a_merged_lora_equals_diffusers_with_the_lora_applied(naming: Naming, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = text_unet(16)
    save_diffusers(LatentDiffusion(unet), tmp_path / "f")
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "f/unet").eval()
    path = file_for(tmp_path / "lora.safetensors", naming, "unet", UNET_MODULES, theirs, strength=0.8)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    merged = merge_lora(unet, read_lora(path), strength=0.8)
    z, t, context = torch.randn(2, 4, 8, 8), torch.tensor([5, 500]), torch.randn(2, 7, 16)
    told = Conditioning(context)
    with torch.no_grad():
        wanted = theirs(z, t, context).sample
        torch.testing.assert_close(merged(z, t, told), wanted, rtol=0, atol=2e-5 * wanted.std().item())
        assert (unet(z, t, told) - wanted).abs().max() >= 1e-2 * wanted.std()
    assert all(torch.equal(before[key], value) for key, value in unet.state_dict().items())


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=list(NAMINGS))
def test_a_text_encoder_with_a_merged_lora_equals_transformers_with_the_lora_applied(
    naming: Naming, tmp_path: Path
) -> None:
    text, other = clip(), clip()
    path = file_for(tmp_path / "lora.safetensors", naming, "text", TEXT_MODULES, other.transformer)
    merged = merge_lora(text, read_lora(path))
    tokens = torch.arange(77)[None]
    with torch.no_grad():
        torch.testing.assert_close(merged(tokens), other(tokens), rtol=0, atol=2e-5)
        assert (text(tokens) - other(tokens)).abs().max() >= 1e-2


def tiny_lora(tmp_path: Path, state: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    write_weights({key: torch.as_tensor(value) for key, value in state.items()}, tmp_path / "l.safetensors", metadata)
    return tmp_path / "l.safetensors"


def linear(unet: UNet) -> Tensor:
    return unet.state_dict()["time_embed.0.weight"]


def test_compvis_names_mid_factors_and_declared_alphas(tmp_path: Path) -> None:
    unet = text_unet(16)
    down, up = torch.randn(RANK, 32), torch.randn(128, RANK)
    ours = tiny_lora(
        tmp_path, {"lora_unet_time_embed_0.lora_down.weight": down, "lora_unet_time_embed_0.lora_up.weight": up}
    )
    assert torch.allclose(linear(merge_lora(unet, read_lora(ours))), linear(unet) + up @ down, atol=1e-6)

    module = "time_embedding.linear_1"
    state = {f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}
    declared = tiny_lora(tmp_path, state, {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 6, "unet.r": RANK})})
    assert torch.allclose(linear(merge_lora(unet, read_lora(declared))), linear(unet) + 2 * up @ down, atol=1e-5)

    name = "lora_unet_conv_in"
    mid = {
        "lora_down": torch.randn(2, 4, 1, 1),
        "lora_mid": torch.randn(2, 2, 3, 3),
        "lora_up": torch.randn(32, 2, 1, 1),
    }
    path = tiny_lora(tmp_path, {f"{name}.{part}.weight": value for part, value in mid.items()})
    merged = merge_lora(unet, read_lora(path))
    delta = merged.state_dict()["input_blocks.0.0.weight"] - unet.state_dict()["input_blocks.0.0.weight"]
    z = torch.randn(1, 4, 6, 6)
    step = nn.functional.conv2d(nn.functional.conv2d(z, mid["lora_down"]), mid["lora_mid"], padding=1)
    wanted = nn.functional.conv2d(step, mid["lora_up"])
    assert torch.allclose(nn.functional.conv2d(z, delta, padding=1), wanted, atol=1e-4)


def test_fused_projections_take_an_update_of_one_of_their_parts(tmp_path: Path) -> None:
    unet = unconditional().unet
    down, up = torch.randn(RANK, 64), torch.randn(64, RANK)
    name = "unet.mid_block.attentions.0.to_k"
    path = tiny_lora(tmp_path, {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up})
    before, after = (u.state_dict()["middle_block.1.qkv.weight"] for u in (unet, merge_lora(unet, read_lora(path))))
    changed = (after - before)[..., 0].view(4, 3, 16, 64)  # heads, q k v, channels, inputs
    assert changed[:, [0, 2]].abs().max() == 0
    assert torch.allclose(changed[:, 1].reshape(64, 64), up @ down, atol=1e-5)


def test_strength_zero_changes_nothing_and_merges_add_up(tmp_path: Path) -> None:
    unet = text_unet(16)
    name = "lora_unet_time_embedding_linear_1"
    path = tiny_lora(
        tmp_path, {f"{name}.lora_down.weight": torch.randn(1, 32), f"{name}.lora_up.weight": torch.randn(128, 1)}
    )
    lora = read_lora(path)
    assert torch.equal(linear(merge_lora(unet, lora, 0.0)), linear(unet))
    twice = merge_lora(merge_lora(unet, lora, 0.5), lora, 0.5)
    assert torch.allclose(linear(twice), linear(merge_lora(unet, lora)), atol=1e-6)
    half = merge_lora(text_unet(16).half(), lora)
    assert linear(half).dtype == torch.float16


def test_a_model_that_the_file_does_not_change_is_given_back(tmp_path: Path) -> None:
    text: CLIPTextEmbedder = clip()
    path = tiny_lora(tmp_path, {"lora_unet_x.lora_down.weight": [[1.0]], "lora_unet_x.lora_up.weight": [[1.0]]})
    assert merge_lora(text, read_lora(path)) is text


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"lora_unet_x.hada_w1_a": [1.0]}, "lacks half of the update of x; it is incomplete"),
        ({"unet.x.dora_scale": [1.0]}, "lacks half of the update of x; it is incomplete"),
        ({"lora_unet_x.oft_blocks": [[1.0]]}, "is an OFT file; get it as a LoRA, LoHa or LoKr"),
        ({"encoder.weight": [1.0]}, "is no LoRA file: encoder.weight is no part of one"),
        (
            {"lora_unet_x.lora_down.weight": [[1.0]]},
            "lacks half of the update of x; it is incomplete, download it again",
        ),
    ],
)
def test_other_files_are_named(state: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"l\.safetensors {message}"):
        read_lora(tiny_lora(tmp_path, state))


def test_a_lora_for_another_model_is_named(tmp_path: Path) -> None:
    unet = text_unet(16)
    name = "lora_unet_down_blocks_2_attentions_0_proj_in"
    path = tiny_lora(tmp_path, {f"{name}.lora_down.weight": [[1.0]], f"{name}.lora_up.weight": [[1.0]]})
    with pytest.raises(CheckpointError, match="changes 1 modules that this UNet does not have, such as down_blocks_2_"):
        merge_lora(unet, read_lora(path))
    name = "lora_unet_time_embedding_linear_1"
    path = tiny_lora(tmp_path, {f"{name}.lora_down.weight": [[1.0]], f"{name}.lora_up.weight": [[1.0]]})
    with pytest.raises(
        CheckpointError, match=r"does not fit the shape \(128, 32\) of time_embedding\.linear_1\.weight"
    ):
        merge_lora(unet, read_lora(path))


def test_a_file_that_changes_nothing_is_found_out(tmp_path: Path) -> None:
    module = "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    down, up = torch.ones(2, 4), torch.ones(4, 2)

    def read(**parts: Any) -> Lora:
        return read_lora(tiny_lora(tmp_path, parts))

    for_unet = {f"lora_unet_{module}.lora_down.weight": down, f"lora_unet_{module}.lora_up.weight": up}
    assert changes_nothing(read(**for_unet), "denoiser") == ""
    assert "nothing for the text encoder, only for the denoiser" in changes_nothing(read(**for_unet), "text encoder")
    untrained = for_unet | {f"lora_unet_{module}.lora_up.weight": torch.zeros(4, 2)}
    assert "is zero: it was never trained" in changes_nothing(read(**untrained), "denoiser")
    assert changes_nothing(read(**untrained), "denoiser", by_names_alone=True) == ""
    off = for_unet | {f"lora_unet_{module}.alpha": torch.tensor(0.0)}
    assert "is zero" in changes_nothing(read(**off), "denoiser")
