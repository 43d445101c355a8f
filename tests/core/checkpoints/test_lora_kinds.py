"""LoHa, LoKr, DoRA, differences, rank-stabilised and peft's adapters: the merged weight against the formula of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_ldm import clip, text_unet
from torch import Tensor

from core.checkpoints import lora
from core.checkpoints.files import CheckpointError
from core.checkpoints.lora import changes_nothing, merge_lora, read_lora
from core.checkpoints.weights import write_weights
from core.models.unet import UNet

LINEAR, OURS = "lora_unet_time_embedding_linear_1", "time_embed.0"  # (128, 32)
CONV, OUR_CONV = "lora_unet_conv_in", "input_blocks.0.0"  # (32, 4, 3, 3)
NORM, OUR_NORM = "lora_unet_conv_norm_out", "out.0"
PATH = "time_embedding.linear_1"
R, ALPHA = 3, 2.0


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def changed(path: Path, parts: dict[str, Tensor], module: str = OURS, strength: float = 1.0, **metadata: str) -> Tensor:
    """What merging a file of these parts makes of a module's weight, beside what it was."""
    write_weights(parts, path / "l.safetensors", metadata or None)
    return weight(merge_lora(text_unet(16), read_lora(path / "l.safetensors"), strength), module)


def weight(unet: UNet, module: str = OURS, of: str = "weight") -> Tensor:
    return unet.state_dict()[f"{module}.{of}"]


def same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def hada(module: str, *shape: int) -> dict[str, Tensor]:
    out, *rest = shape
    inputs = torch.Size(rest).numel()
    sides = {"hada_w1_a": (out, R), "hada_w1_b": (R, inputs), "hada_w2_a": (out, R), "hada_w2_b": (R, inputs)}
    parts = {f"{module}.{name}": random(*side, seed=n) for n, (name, side) in enumerate(sides.items())}
    return parts | {f"{module}.alpha": torch.tensor(ALPHA)}


@pytest.mark.parametrize(("module", "ours", "shape"), [(LINEAR, OURS, (128, 32)), (CONV, OUR_CONV, (32, 4, 3, 3))])
def test_a_loha_is_the_product_by_element_of_two_products(
    module: str, ours: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    parts = hada(module, *shape)
    w1a, w1b, w2a, w2b, _ = parts.values()
    wanted = ((w1a @ w1b) * (w2a @ w2b)).reshape(shape) * ALPHA / R
    same(changed(tmp_path, parts, ours, 0.5), weight(text_unet(16), ours) + 0.5 * wanted)


def test_a_loha_of_a_convolution_may_have_cores(tmp_path: Path) -> None:
    t1, t2 = random(R, R, 3, 3), random(R, R, 3, 3, seed=1)
    a1, b1, a2, b2 = random(R, 32), random(R, 4), random(R, 32, seed=1), random(R, 4, seed=1)
    names = ("hada_t1", "hada_t2", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    parts = {f"{CONV}.{name}": part for name, part in zip(names, (t1, t2, a1, b1, a2, b2), strict=True)}
    one = torch.einsum("i j k l, j r, i p -> p r k l", t1, b1, a1)
    two = torch.einsum("i j k l, j r, i p -> p r k l", t2, b2, a2)
    same(changed(tmp_path, parts, OUR_CONV), weight(text_unet(16), OUR_CONV) + one * two)


LOKR: dict[str, tuple[dict[str, Tensor], Callable[[dict[str, Tensor]], Tensor], float]] = {
    "both whole": (
        {"lokr_w1": random(4, 2), "lokr_w2": random(32, 16)},
        lambda p: torch.kron(p["lokr_w1"], p["lokr_w2"]),
        1.0,  # there is no rank, and alpha does not count
    ),
    "the second a product": (
        {"lokr_w1": random(4, 2), "lokr_w2_a": random(32, R), "lokr_w2_b": random(R, 16)},
        lambda p: torch.kron(p["lokr_w1"], p["lokr_w2_a"] @ p["lokr_w2_b"]),
        ALPHA / R,
    ),
    "both products": (
        {"lokr_w1_a": random(4, R), "lokr_w1_b": random(R, 2), "lokr_w2_a": random(32, R), "lokr_w2_b": random(R, 16)},
        lambda p: torch.kron(p["lokr_w1_a"] @ p["lokr_w1_b"], p["lokr_w2_a"] @ p["lokr_w2_b"]),
        ALPHA / R,
    ),
}


@pytest.mark.parametrize("kind", LOKR)
def test_a_lokr_is_a_kronecker_product(kind: str, tmp_path: Path) -> None:
    factors, formula, scale = LOKR[kind]
    parts = {f"{LINEAR}.{name}": part for name, part in factors.items()} | {f"{LINEAR}.alpha": torch.tensor(ALPHA)}
    same(changed(tmp_path, parts), weight(text_unet(16)) + scale * formula(factors))


def test_a_lokr_of_a_convolution(tmp_path: Path) -> None:
    w1, w2a, w2b, core = random(4, 2), random(R, 8), random(R, 2), random(R, R, 3, 3)
    two = torch.einsum("i j k l, j r, i p -> p r k l", core, w2b, w2a).contiguous()
    parts = {f"{CONV}.lokr_w1": w1, f"{CONV}.lokr_w2_a": w2a, f"{CONV}.lokr_w2_b": w2b, f"{CONV}.lokr_t2": core}
    same(changed(tmp_path, parts, OUR_CONV), weight(text_unet(16), OUR_CONV) + torch.kron(w1[..., None, None], two))


@pytest.mark.parametrize("strength", [1.0, 0.25])
@pytest.mark.parametrize("form", ["peft", "kohya by output", "kohya by input"])
def test_a_dora_gives_rows_or_columns_the_length_that_was_learned(form: str, strength: float, tmp_path: Path) -> None:
    down, up, before = random(R, 32), random(128, R), weight(text_unet(16))
    turned = before + up @ down
    if form == "peft":
        length = random(128).abs()
        parts = {f"unet.{PATH}.lora_A.weight": down, f"unet.{PATH}.lora_B.weight": up}
        parts |= {f"unet.{PATH}.lora_magnitude_vector": length}
        wanted = turned * (length / turned.norm(dim=1))[:, None]
    else:
        by_row = form == "kohya by output"
        length = random(128, 1).abs() if by_row else random(1, 32).abs()
        parts = {f"{LINEAR}.lora_down.weight": down, f"{LINEAR}.lora_up.weight": up, f"{LINEAR}.dora_scale": length}
        wanted = turned * (length / turned.norm(dim=1 if by_row else 0, keepdim=True))
    same(changed(tmp_path, parts, strength=strength), before + strength * (wanted - before))


def test_differences_of_weights_biases_and_norms_are_added(tmp_path: Path) -> None:
    parts = {f"{LINEAR}.diff": random(128, 32), f"{LINEAR}.diff_b": random(128)}
    parts |= {f"{NORM}.w_norm": random(32), f"{NORM}.b_norm": random(32, seed=1)}
    write_weights(parts, tmp_path / "l.safetensors")
    lora = read_lora(tmp_path / "l.safetensors")
    before, after = text_unet(16), merge_lora(text_unet(16), lora, 0.5)
    for module, of, name in ((OURS, "weight", "diff"), (OURS, "bias", "diff_b")):
        same(weight(after, module, of), weight(before, module, of) + 0.5 * parts[f"{LINEAR}.{name}"])
    for of, name in (("weight", "w_norm"), ("bias", "b_norm")):
        same(weight(after, OUR_NORM, of), weight(before, OUR_NORM, of) + 0.5 * parts[f"{NORM}.{name}"])
    assert changes_nothing(lora, "denoiser") == ""


DOWN, UP = random(4, 32), random(128, 4)


@pytest.mark.parametrize(
    ("said", "scale"),
    [
        ({"lora_alpha": 6}, 6 / 4),
        ({"lora_alpha": 6, "use_rslora": True}, 6 / 2),
        ({"lora_alpha": 6, "alpha_pattern": {"linear_1": 8}}, 8 / 4),
        ({"lora_alpha": 6, "alpha_pattern": {"other": 8}}, 6 / 4),
        ({}, 1.0),
    ],
)
def test_the_strength_is_what_peft_says_of_it(said: dict[str, Any], scale: float, tmp_path: Path) -> None:
    """In the header of diffusers' files, and in the folder that peft saves."""
    wanted = weight(text_unet(16)) + scale * UP @ DOWN
    parts = {f"unet.{PATH}.lora_A.weight": DOWN, f"unet.{PATH}.lora_B.weight": UP}
    header = json.dumps({f"unet.{name}": value for name, value in said.items()} | {"unet.r": 4})
    same(changed(tmp_path, parts, lora_adapter_metadata=header), wanted)
    peft = tmp_path / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4} | said))
    own = {f"base_model.model.{PATH}.lora_A.weight": DOWN, f"base_model.model.{PATH}.lora_B.weight": UP}
    write_weights(own, peft / "adapter_model.safetensors")
    same(weight(merge_lora(text_unet(16), read_lora(peft))), wanted)


def test_a_file_s_header_is_read_once_for_all_of_its_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[Path] = []
    monkeypatch.setattr(lora, "declared", lambda file: read.append(file) or {})
    parts = {f"lora_unet_{n}.lora_{side}.weight": part for n in range(3) for side, part in (("down", DOWN), ("up", UP))}
    write_weights(parts, tmp_path / "l.safetensors")
    assert len(read_lora(tmp_path / "l.safetensors").unet) == 3
    assert read == [tmp_path / "l.safetensors"]


@pytest.mark.parametrize("pattern", ["(a+)+", "\\1", "a\\", "[a"])
def test_a_pattern_of_alphas_that_is_no_path_is_refused(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"alpha_pattern": {pattern: 8}}))
    own = {f"base_model.model.{PATH}.lora_A.weight": DOWN, f"base_model.model.{PATH}.lora_B.weight": UP}
    write_weights(own, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="no path of a module"):
        read_lora(tmp_path)


def test_named_adapters_are_told_apart(tmp_path: Path) -> None:
    parts = {f"unet.{PATH}.lora_{side}.{name}.weight": factor * times
             for side, factor in (("A", DOWN), ("B", UP)) for name, times in (("style", 1.0), ("face", 2.0))}  # fmt: skip
    write_weights(parts, tmp_path / "l.safetensors")
    with pytest.raises(CheckpointError, match=r"holds the adapters face, style; name one of them"):
        read_lora(tmp_path / "l.safetensors")
    merged = merge_lora(text_unet(16), read_lora(tmp_path / "l.safetensors", "face"))
    same(weight(merged), weight(text_unet(16)) + 4 * UP @ DOWN)


def test_a_folder_may_hold_both_halves_or_several_adapters(tmp_path: Path) -> None:
    text = "encoder.layers.0.mlp.fc1"  # (64, 32) in the tiny encoder
    halves = {"unet": (PATH, DOWN, UP), "text_encoder": (f"text_model.{text}", DOWN, UP[:64])}
    for name, (module, down, up) in halves.items():
        folder = tmp_path / "both" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4}))
        parts = {f"base_model.model.{module}.lora_A.weight": down, f"base_model.model.{module}.lora_B.weight": up}
        write_weights(parts, folder / "adapter_model.safetensors")
    lora = read_lora(tmp_path / "both")
    same(weight(merge_lora(text_unet(16), lora)), weight(text_unet(16)) + UP @ DOWN)
    key = f"transformer.{text}.weight"
    same(merge_lora(clip(), lora).state_dict()[key], clip().state_dict()[key] + UP[:64] @ DOWN)
    several = tmp_path / "several"
    several.mkdir()
    for name in ("face", "style"):
        (tmp_path / "both/unet").rename(several / name) if name == "face" else None
    (several / "style").mkdir()
    (several / "style/adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"several holds no adapter by itself, but face, style; give one of them"):
        read_lora(several)
    same(weight(merge_lora(text_unet(16), read_lora(several, "face"))), weight(text_unet(16)) + UP @ DOWN)


def test_what_does_not_fit_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    wide = torch.zeros(1, 1).expand(1, 1)
    for parts in (
        {"hada_w1_a": random(128, 1), "hada_w1_b": random(1, 4096), "hada_w2_a": random(128, 1), "hada_w2_b": random(1, 4096)},
        {"lokr_w1": random(64, 64), "lokr_w2": random(64, 64)},
        {"lokr_w1": wide, "lokr_w2_a": random(1, 9999), "lokr_w2_b": random(1, 9999), "lokr_t2": random(1, 1, 3, 3)},
        {"diff": random(7)},
        {"lora_down.weight": DOWN, "lora_up.weight": UP, "dora_scale": random(1, 5)},
        {"hada_w1_a": random(128, 1), "hada_w1_b": random(32), "hada_w2_a": random(128, 1), "hada_w2_b": random(32)},
        {"lora_down.weight": random(0, 32), "lora_up.weight": random(128, 0), "lora_mid.weight": random(0, 0, 1, 1)},
        {"lokr_w1": random(1, 1), "lokr_w2_a": random(128, 1), "lokr_w2_b": torch.tensor(1.0)},
    ):  # fmt: skip
        write_weights({f"{LINEAR}.{name}": part for name, part in parts.items()}, tmp_path / "l.safetensors")
        with pytest.raises(CheckpointError, match=r"does not fit the shape \(128, 32\)"):
            merge_lora(text_unet(16), read_lora(tmp_path / "l.safetensors"))
