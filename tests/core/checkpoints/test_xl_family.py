"""Stable Diffusion XL's family around its pipelines: LoRA files, any UNet configuration, presets, training."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import randomise
from tiny_xl import PROJECTION, SIZE_DIM, WIDTHS, text_encoder, xl_unet

from core.checkpoints import diffusers_config as configs
from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.identify import identity_of
from core.checkpoints.listing import Entry, Listing
from core.checkpoints.lora import changes_nothing, merge_lora, read_lora
from core.checkpoints.sdxl_text import beside_each_other
from core.checkpoints.untold import untold
from core.checkpoints.weights import write_weights
from core.conditioning.conditioning import Conditioning
from core.conditioning.published import random_condition
from core.conditioning.sdxl import SDXLTextEmbedder
from core.models.denoiser import denoise
from core.models.presets import LATENT_DIFFUSION
from core.models.unet import UNet
from tests.effort import cases

PARAMETERS = {
    "stable-diffusion-xl": 2_567_463_684,
    "stable-diffusion-xl-refiner": 2_259_526_660,  # of UNet2DConditionModel with the refiner's published configuration
    "stable-diffusion-xl-inpainting": 2_567_463_684 + 5 * 320 * 9,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_presets_have_the_published_number_of_weights(name: str) -> None:
    with torch.device("meta"):
        unet = UNet(**LATENT_DIFFUSION[name]["unet"])
    assert sum(parameter.numel() for parameter in unet.parameters()) == PARAMETERS[name]


NAMED: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "whole": (
        {
            "model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3),
            "model.diffusion_model.label_emb.0.0.weight": (8, 2816),
            "conditioner.embedders.1.model.token_embedding.weight": (9, 1280),
        },
        "a Stable Diffusion XL checkpoint",
    ),
    "UNet": (
        {"input_blocks.0.0.weight": (8, 4, 3, 3), "label_emb.0.0.weight": (8, 2816)},
        "a Stable Diffusion XL UNet",
    ),
    "diffusers' UNet": (
        {"conv_in.weight": (8, 4, 3, 3), "add_embedding.linear_1.weight": (8, 2816)},
        "a Stable Diffusion XL UNet",
    ),
    "refiner": (
        {"input_blocks.0.0.weight": (8, 4, 3, 3), "label_emb.0.0.weight": (8, 2560)},
        "a Stable Diffusion XL refiner",
    ),
    "bigG": (
        {"text_model.embeddings.token_embedding.weight": (9, 1280)},
        "a CLIP text encoder of Stable Diffusion XL (OpenCLIP bigG)",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_each_file_is_called_what_it_is_and_can_be_loaded(name: str) -> None:
    shapes, words = NAMED[name]
    found = identity_of(Listing({key: Entry(shape, "F16") for key, shape in shapes.items()}))
    assert (found.name, found.use) == (words, "checkpoint")


@pytest.mark.parametrize("mark", ["ztsnr", "edm_mean", "edm_vpred.sigma_max"])
def test_another_noise_process_is_told(mark: str) -> None:
    [sentence] = untold({mark: torch.zeros(1)}, 2048, alone=False, told="v", described=False)
    assert sentence.startswith(f"{mark} in this file asks for ")


# --- LoRA -----------------------------------------------------------------------------------------------------------

MODULE = "encoder.layers.1.self_attn.v_proj"
NAMES = {
    "kohya": (lambda i: f"lora_te{i}_text_model_{MODULE.replace('.', '_')}", "lora_down", "lora_up"),
    "diffusers": (lambda i: f"text_encoder{'_2' * (i == 2)}.text_model.{MODULE}", "lora_A", "lora_B"),
}


def both_encoders(folder: Path) -> tuple[dict[int, Any], SDXLTextEmbedder]:
    theirs = {1: text_encoder(False, 3), 2: text_encoder(True, 4)}
    parts = []
    for i, each in theirs.items():
        each.save_pretrained(folder / str(i))
        parts.append(load_diffusers(folder / str(i)).conditioner)
    return theirs, beside_each_other(*parts)


@torch.no_grad()
@pytest.mark.parametrize("naming", NAMES)
def test_a_lora_changes_both_text_encoders(naming: str, tmp_path: Path) -> None:
    """Each half against the sum written out on transformers' own module; the same strength for both."""
    theirs, ours = both_encoders(tmp_path)
    name, down, up = NAMES[naming]
    generator = torch.Generator().manual_seed(5)
    state = {}
    for i, each in theirs.items():
        width = WIDTHS[i - 1]
        a, b = (torch.randn(*shape, generator=generator) / 4 for shape in ((2, width), (width, 2)))
        state |= {f"{name(i)}.{down}.weight": a, f"{name(i)}.{up}.weight": b, f"{name(i)}.alpha": torch.tensor(1.0)}
        each.get_submodule(f"text_model.{MODULE}" if i == 2 else MODULE).weight.add_(0.5 * (b @ a) * 0.8)
    write_weights(state, tmp_path / "xl.safetensors")
    lora = read_lora(tmp_path / "xl.safetensors")
    assert changes_nothing(lora, "text encoder") == ""
    assert "nothing for the denoiser, only for the text encoder" in changes_nothing(lora, "denoiser")
    merged = merge_lora(ours, lora, 0.8)
    tokens = torch.tensor([[598, 40, 599, 599]])
    padded = torch.tensor([[598, 40, 599, 0]])
    context, vector = merged(tokens, pooled=True)
    second = theirs[2](padded, output_hidden_states=True)
    first = theirs[1](tokens, output_hidden_states=True).hidden_states[-2]
    wanted = torch.cat([first, second.hidden_states[-2]], dim=-1)
    merged.pads = (599, 0)
    context, vector = merged(tokens, pooled=True)
    torch.testing.assert_close(context, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(vector, second.text_embeds, rtol=0, atol=1e-5)
    assert (context - ours(tokens)).abs().max() > 1e-3


def test_a_lora_for_what_the_refiner_lacks_is_named(tmp_path: Path) -> None:
    _, ours = both_encoders(tmp_path)
    alone = SDXLTextEmbedder(**ours.config | {"clip_l": None})
    state = {"lora_te1_text_model_encoder_layers_1_mlp_fc1.lora_down.weight": torch.ones(2, 32)}
    state |= {"lora_te1_text_model_encoder_layers_1_mlp_fc1.lora_up.weight": torch.ones(64, 2)}
    write_weights(state, tmp_path / "te1.safetensors")
    with pytest.raises(CheckpointError, match="modules that this SDXLTextEmbedder does not have"):
        merge_lora(alone, read_lora(tmp_path / "te1.safetensors"))


# --- any configuration ----------------------------------------------------------------------------------------------


def a_configuration(draw: random.Random) -> dict[str, Any]:
    """Mostly as the family has it, sometimes with an option that our UNet has in one form only."""
    levels = draw.choice([2, 3])
    attended = [draw.random() < 0.6 for _ in range(levels)]
    down = ["CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attended]
    head = draw.choice([8, 16])
    channels = [16 * mult for mult in draw.choice([[1, 2, 4], [1, 2, 2], [2, 2, 4], [1, 1, 2]])[:levels]]
    config: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": draw.choice([4, 4, 9, 8]),
        "out_channels": 4,
        "block_out_channels": channels,
        "down_block_types": down,
        "up_block_types": [each.replace("Down", "Up") for each in reversed(down)],
        "layers_per_block": draw.choice([1, 2]),
        "norm_num_groups": draw.choice([4, 8]),
        "cross_attention_dim": draw.choice([12, 20]),
        "transformer_layers_per_block": draw.choice([1, 2, [draw.choice([1, 2]) for _ in range(levels)]]),
        "attention_head_dim": draw.choice([2, [width // head for width in channels]]),
        "use_linear_projection": draw.random() < 0.7,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_DIM,
        "projection_class_embeddings_input_dim": PROJECTION + draw.choice([5, 6]) * SIZE_DIM,
    }
    odd = [
        {"time_embedding_act_fn": "gelu"},
        {"timestep_post_act": "silu"},
        {"time_cond_proj_dim": 8},
        {"class_embed_type": "timestep"},
        {"num_class_embeds": 5},
        {"resnet_time_scale_shift": "scale_shift"},
        {"resnet_skip_time_act": True},
        {"resnet_out_scale_factor": 1.5},
        {"conv_in_kernel": 5},
        {"act_fn": "gelu"},
        {"freq_shift": 1},
        {"flip_sin_to_cos": False},
        {"dual_cross_attention": True},
        {"only_cross_attention": True},
        {"upcast_attention": True},
        {"mid_block_scale_factor": 1.5},
        {"center_input_sample": True},
        {"norm_eps": 1e-3},
        {"mid_block_type": None},
        {"layers_per_block": [1, 2, 1][:levels]},
        {"cross_attention_norm": "layer_norm"},
        {"encoder_hid_dim": 12, "encoder_hid_dim_type": "text_proj"},
        {"attention_type": "gated"},
    ]
    return config | (draw.choice(odd) if draw.random() < 0.4 else {})


def read(theirs: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Our arguments, or the sentence that refuses."""
    try:
        return configs.conditional_unet_from_diffusers(theirs), ""
    except ValueError as error:
        return None, str(error)


@torch.no_grad()
def test_any_unet_of_the_family_predicts_the_same_or_is_refused_by_the_options_name() -> None:
    from diffusers import UNet2DConditionModel

    from core.checkpoints.diffusers_keys import unet_from_diffusers

    equal = refused = 0
    for seed in range(cases(12, 500)):
        config = a_configuration(random.Random(seed))
        try:
            theirs = randomise(UNet2DConditionModel(**config), seed)
        except (NotImplementedError, TypeError, ValueError):
            continue  # diffusers has no such UNet either
        told = dict(theirs.config)
        ours, sentence = read(told)
        if ours is None:
            assert any(re.search(rf"\b{name}\b", sentence) for name in (*config, "heads", "block")), sentence
            refused += 1
            continue
        unet = UNet(**ours).eval()
        unet.load_state_dict(unet_from_diffusers(theirs.state_dict(), ours))
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(2, config["in_channels"], 8, 8, generator=generator)
        context = torch.randn(2, 5, config["cross_attention_dim"], generator=generator)
        text = torch.randn(2, PROJECTION, generator=generator)
        numbers = (config["projection_class_embeddings_input_dim"] - PROJECTION) // SIZE_DIM
        ids = torch.randint(0, 1024, (2, numbers), generator=generator).float()
        sizes = theirs.add_time_proj(ids.flatten()).reshape(2, -1)
        added = {"text_embeds": text, "time_ids": ids}
        labels = {"class_labels": torch.tensor([1, 2])} if config.get("num_class_embeds") else {}
        wanted = theirs(z, torch.tensor([7, 500]), context, added_cond_kwargs=added, **labels).sample
        condition = Conditioning(context=context, y=torch.cat([text, sizes], dim=1))
        if z.shape[1] > 4:
            condition |= Conditioning(concat=z[:, 4:])
        found = denoise(unet, z[:, :4], torch.tensor([7, 500]), condition)
        assert (found - wanted).abs().max() <= 1e-4 * wanted.std().clamp(min=1), (seed, config)
        equal += 1
    assert equal >= 3
    assert refused >= 1


def test_a_vector_of_another_width_is_named() -> None:
    theirs = xl_unet()
    ours = UNet(**configs.conditional_unet_from_diffusers(dict(theirs.config)))
    condition = Conditioning(torch.zeros(1, 3, sum(WIDTHS)), y=torch.zeros(1, PROJECTION))
    with pytest.raises(ValueError, match="this UNet's vector has 68 numbers, and the condition's has 20"):
        denoise(ours, torch.zeros(1, 4, 8, 8), torch.tensor([3]), condition)


def test_a_preset_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset's own condition, of encoders made small, has the parts that its UNet needs."""

    class Numbers:
        randn = staticmethod(torch.randn)

        @staticmethod
        def randint(high: int, *shape: int) -> torch.Tensor:
            return torch.randint(high, shape)

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    preset = LATENT_DIFFUSION["stable-diffusion-xl-inpainting"]
    text = preset["conditioner"]["config"] | {"clip_l": small, "clip_g": small}
    monkeypatch.setitem(preset, "conditioner", {"model": "SDXLTextEmbedder", "config": text})
    told = random_condition("stable-diffusion-xl-inpainting", 2, 8, Numbers())
    assert {name: tuple(part.tensors()[0].shape) for name, part in told.parts.items()} == {
        "context": (2, 77, 16),
        "vector": (2, 2816),
        "concat": (2, 5, 8, 8),
    }
