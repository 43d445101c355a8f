"""Small files of the kinds that people have and this program knows by name alone: the names and shapes that tell them, no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Shapes = Mapping[str, tuple[int, ...]]

BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
CROSS = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
UNET = {"input_blocks.0.0.weight": (8, 4, 3, 3), "out.2.weight": (4, 8, 3, 3)}


def under(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The same tensors with a prefix."""
    return {prefix + name: shape for name, shape in shapes.items()}


STATES: dict[str, tuple[Shapes, str]] = {
    "flux dev": (
        {"double_blocks.0.img_attn.qkv.weight": (9, 3), "guidance_in.in_layer.weight": (4, 4)},
        "a Flux transformer with guidance (dev)",
    ),
    "flux in comfy": ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (9, 3)}, "a Flux transformer (schnell)"),
    "flux of diffusers": ({"single_transformer_blocks.0.proj_mlp.weight": (4, 4)}, "a Flux transformer of diffusers"),
    "chroma": ({"distilled_guidance_layer.in_proj.weight": (4, 4)}, "a Chroma transformer"),
    "aura": ({"double_layers.0.attn.w1k.weight": (4, 4)}, "an AuraFlow transformer"),
    "pixart with compressed keys": (
        {"blocks.0.attn.sr.weight": (4, 1, 2, 2), "t_block.1.weight": (24, 4)}, "a PixArt transformer with compressed keys and values",
    ),
    "sana": ({"blocks.0.mlp.inverted_conv.conv.weight": (4, 4)}, "a Sana transformer"),
    "wan": ({"blocks.0.cross_attn.k.weight": (4, 4), "head.modulation": (1, 2, 4)}, "a Wan transformer"),
    "hunyuan video": ({"txt_in.individual_token_refiner.blocks.0.norm1.weight": (4,)}, "a HunyuanVideo transformer"),
    "ltx": ({"patchify_proj.weight": (4, 4)}, "an LTX-Video transformer"),
    "qwen": ({"transformer_blocks.0.img_mod.1.weight": (4, 4)}, "a Qwen-Image transformer"),
    "cascade": ({"clip_txt_mapper.weight": (4, 4)}, "a Stable Cascade stage"),
    "svd": (
        under("model.diffusion_model.", UNET | {"input_blocks.1.0.time_stack.in_layers.0.weight": (4,)}),
        "a Stable Video Diffusion model",
    ),
    "nf4": ({"blocks.0.weight": (4, 1), "blocks.0.weight.quant_state.bitsandbytes__nf4": (7,)}, "a model quantised by bitsandbytes"),
    "controlnet": ({"control_model.input_hint_block.0.weight": (4, 3, 3, 3), f"control_model.{CROSS}": (8, 768)}, "a ControlNet for Stable Diffusion 1"),
    "controlnet of diffusers": (
        {"controlnet_cond_embedding.conv_in.weight": (4, 3, 3, 3), "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (8, 2048)},
        "a ControlNet for Stable Diffusion XL",
    ),
    "controlnet for flux": (
        {"controlnet_x_embedder.weight": (4, 4), "single_transformer_blocks.0.proj_mlp.weight": (4, 4)}, "a ControlNet for Flux",
    ),
    "control lora": ({"lora_controlnet": (1,), "input_blocks.0.0.down": (4, 4)}, "a Control-LoRA"),
    "lllite": ({f"lllite_unet_{BLOCK}.conditioning1.0.weight": (4, 3, 4, 4)}, "a ControlLLLite"),
    "t2i": ({"adapter.body.0.resnets.0.block1.weight": (4, 4, 3, 3)}, "a T2I-Adapter"),
    "t2i, TencentARC": ({"body.0.block1.weight": (4, 4, 3, 3), "conv_in.weight": (4, 4, 3, 3)}, "a T2I-Adapter"),
    "ip adapter": ({"image_proj.proj.weight": (4, 4), "ip_adapter.1.to_k_ip.weight": (4, 768)}, "an IP-Adapter"),
    "motion": ({"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (4,)}, "a motion module of AnimateDiff"),
    "gligen": ({"position_net.linears.0.weight": (4, 4)}, "a GLIGEN file"),
    "photomaker": ({"id_encoder.vision_model.x": (4,), "lora_weights.unet.x": (4,)}, "a PhotoMaker file"),
    "lora": ({f"lora_unet_{BLOCK}.lora_down.weight": (2, 768), f"lora_unet_{BLOCK}.lora_up.weight": (8, 2)}, "a LoRA for Stable Diffusion 1"),
    "lora for xl": ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (2, 4)}, "a LoRA for Stable Diffusion XL"),
    "lora for flux": ({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (2, 4)}, "a LoRA for Flux"),
    "loha": ({f"lora_unet_{BLOCK}.hada_w1_b": (2, 1024), f"lora_unet_{BLOCK}.hada_w1_a": (4, 2)}, "a LoHa for Stable Diffusion 2"),
    "lokr": ({f"lora_unet_{BLOCK}.lokr_w1": (2, 2)}, "a LoKr"),
    "oft": ({f"lora_unet_{BLOCK}.oft_blocks": (2, 2, 2)}, "an OFT file"),
    "embedding": ({"emb_params": (2, 768)}, "a textual inversion"),
    "embedding of diffusers": ({"<cat-toy>": (768,)}, "a textual inversion"),
    "embedding for xl": ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "a textual inversion for Stable Diffusion XL"),
    "video autoencoder": ({"decoder.conv_in.conv.weight": (4, 4, 3, 3, 3)}, "a video autoencoder"),
    "t5": ({"encoder.block.0.layer.0.SelfAttention.q.weight": (4, 4), "shared.weight": (4, 4)}, "a T5 text encoder"),
    "clip vision": ({"vision_model.embeddings.class_embedding": (4,)}, "a CLIP image encoder"),
    "language model": ({"model.layers.0.self_attn.q_proj.weight": (4, 4), "model.embed_tokens.weight": (4, 4)}, "a language model"),
    "safety checker": ({"concept_embeds": (4, 4)}, "a safety checker"),
    "esrgan": ({"model.1.sub.0.RDB1.conv1.0.weight": (4, 4, 3, 3)}, "an ESRGAN upscaler"),
    "esrgan, new": ({"body.0.rdb1.conv1.weight": (4, 4, 3, 3), "conv_first.weight": (4, 3, 3, 3)}, "an ESRGAN upscaler"),
    "inception": ({"Conv2d_1a_3x3.conv.weight": (4, 3, 3, 3), "Mixed_5b.branch1x1.conv.weight": (4, 4, 1, 1)}, "Inception's weights for FID"),
}  # fmt: skip
"""Tensors of safetensors files, and what they are called."""

BYTES: dict[str, tuple[bytes, str]] = {
    "page.safetensors": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page, not a model"),
    "page.ckpt": (b"\n  <HTML><HEAD><TITLE>429</TITLE>", "an HTML page, not a model"),
    "error.safetensors": (b'{"error":"Unauthorized","message":"log in"}', "a JSON text, not weights"),
    "model.gguf": (b"GGUF\x03\0\0\0" + bytes(64), "a GGUF file"),
    "model.onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(64), "an ONNX file"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "a Keras or TensorFlow file (HDF5)"),
    "model.png": (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG picture, not a model"),
    "model.jpg": (b"\xff\xd8\xff\xe0" + bytes(64), "a JPEG picture, not a model"),
    "model.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(64), "a 7z archive"),
    "model.rar": (b"Rar!\x1a\x07" + bytes(64), "a RAR archive"),
    "model.gz": (b"\x1f\x8b\x08" + bytes(64), "a gzip archive"),
    "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
    "empty.safetensors": (b"", "an empty file"),
    "zeros.ckpt": (bytes(600), "a download that did not end"),
    "v1-inference.ckpt": (b"model:\n  base_learning_rate: 1.0e-04\n", "a yaml text, not weights"),
    "readme.ckpt": (b"Please download the model from our page and put it into this folder.", "a text, not a model"),
}
"""Files of other kinds by what they begin with."""

PICKLED: dict[str, tuple[Any, str]] = {
    "embedding of A1111": (
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": torch.zeros(2, 768)}, "name": "cat", "step": 5},
        "a textual inversion",
    ),
    "hypernetwork": (
        {320: [{"linear.0.weight": torch.zeros(4, 4)}, {"linear.0.weight": torch.zeros(4, 4)}], "step": 7, "name": "h"},
        "a hypernetwork",
    ),
    "ip adapter": (
        {"image_proj": {"proj.weight": torch.zeros(4, 4)}, "ip_adapter": {"1.to_k_ip.weight": torch.zeros(4, 4)}},
        "an IP-Adapter",
    ),
    "esrgan": ({"params_ema": {"body.0.rdb1.conv1.weight": torch.zeros(2, 2, 3, 3)}}, "an ESRGAN upscaler"),
    "motion": (
        {"state_dict": {"module.down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": torch.zeros(4)}},
        "a motion module of AnimateDiff",
    ),
}  # fmt: skip
"""What torch.save was given."""

FOLDERS: dict[str, tuple[dict[str, Any], str]] = {
    "model_index.json": ({"_class_name": "FluxPipeline"}, "a FluxPipeline"),
    "config.json": ({"_class_name": "FluxTransformer2DModel"}, "FluxTransformer2DModel"),
}
"""diffusers' folders by the file that names them."""


def write_foreign_files(folder: Path) -> dict[Path, str]:
    """Write them all; what each is called, by path."""
    written: dict[Path, str] = {}
    for name, (shapes, words) in STATES.items():
        path = folder / f"{name}.safetensors"
        save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, path)
        written[path] = words
    for name, (content, words) in BYTES.items():
        (folder / name).write_bytes(content)
        written[folder / name] = words
    for name, (pickled, words) in PICKLED.items():
        torch.save(pickled, folder / f"{name}.pt")
        written[folder / f"{name}.pt"] = words
    for name, (config, words) in FOLDERS.items():
        (folder / name.partition(".")[0]).mkdir()
        (folder / name.partition(".")[0] / name).write_text(json.dumps(config))
        written[folder / name.partition(".")[0]] = words
    return written
