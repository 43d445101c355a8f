"""By which names and shapes the kinds of model files are known: one table, the more particular before the more general.

The names are those of the programs that write the files. A pattern is looked for at the beginning of a name, after what
trainers and user interfaces put before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from core.checkpoints.listing import Entry, Listing

Use = Literal[
    "checkpoint", "lora", "embedding", "features", "control", "adapter", "image_prompt", "image_encoder", "none"
]
"""By what a file is read here: `load_checkpoint`, `read_lora`, `read_embedding`, a network of features for a metric,
`load_controlnet`, `load_t2i_adapter`, `load_ip_adapter`, `load_image_encoder`, or nothing."""

BEFORE = (
    r"(?:module|model|diffusion_model|state_dict|first_stage_model|vae|unet|transformer|adapter|control_model|net"
    r"|cond_stage_model|text_encoder|clip_[lgh]|t5xxl|_orig_mod|base_model|text_encoders|conditioner|embedders|\d)\."
)
"""What may stand before a model's own names."""

UNET = "input_blocks.0.0.weight|conv_in.weight"
CONTEXT = r"(?:.*attn2\.to_k|ip_adapter\.\d+\.to_k_ip)(?:\.weight|[._]lora[._](?:down|A).*\.weight|\.hada_w1_b)"
Test = Callable[[Listing], bool]


class Signature(NamedTuple):
    """A kind of file: all patterns are found among its names, none of `without`, and the test holds.

    name: with its article; {base} stands for the base model that its widths tell. use: by what it is read, if by anything.
    instead: what to do, where there is more to say than the use says.
    """

    name: str
    patterns: tuple[str, ...]
    use: Use = "none"
    instead: str = ""
    without: tuple[str, ...] = ()
    test: Test | None = None

    def fits(self, listing: Listing) -> bool:
        """Whether a file is of this kind."""
        return (
            all(found(listing, pattern) for pattern in self.patterns)
            and not any(found(listing, pattern) for pattern in self.without)
            and (self.test is None or self.test(listing))
        )


def found(listing: Listing, pattern: str) -> str | None:
    """The first name that begins with the pattern, after what may stand before it; None where there is none."""
    match = re.search(rf"^(?:{BEFORE})*(?:{pattern}).*$", listing.names, re.MULTILINE)
    return match[0] if match else None


def shape(listing: Listing, pattern: str) -> tuple[int, ...]:
    """The shape of the first tensor with such a name; () where there is none."""
    name = found(listing, pattern)
    return listing.tensors[name].shape if name is not None else ()


def side(pattern: str, axis: int, *sizes: int) -> Test:
    """A test: the first tensor of the pattern has one of these sizes along an axis."""

    def test(listing: Listing) -> bool:
        have = shape(listing, pattern)
        return len(have) > axis and have[axis] in sizes

    return test


def _embedding(listing: Listing) -> bool:
    """diffusers' form: one tensor, called like its word, of rows of a text encoder's width."""
    entries = [entry for name, entry in listing.tensors.items() if "." not in name]
    return (
        len(entries) == len(listing.tensors) == 1
        and entries[0].shape[-1:] in ((768,), (1024,), (1280,))
        and len(entries[0].shape) <= 2
    )


def _hypernetwork(listing: Listing) -> bool:
    return (
        all(re.match(r"\d+\.[01]\.", name) for name in listing.tensors)
        and found(listing, r"\d+\.[01]\.linear") is not None
    )


BASES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL", 1280: "the refiner of Stable Diffusion XL"}  # fmt: skip
"""Base models by the width of the tokens that their UNets attend to."""
PARTS = (
    (r"lora_te2_|text_encoder_2\.|.*(?:input_blocks|down_blocks).*transformer_blocks[._][4-9]", "Stable Diffusion XL"),
    (r".*(?:double_blocks|single_blocks|single_transformer_blocks)[._]\d", "Flux"),
    (r".*joint_blocks[._]\d|.*transformer_blocks[._]\d+[._]attn[._]add_q_proj", "Stable Diffusion 3"),
    (r".*blocks[._]\d+[._](?:cross_attn|self_attn)[._][qkvo][._]", "Wan"),
)
"""Base models by the names of their blocks."""


def base(listing: Listing) -> str | None:
    """The base model that an adapter was made for, as far as its names and widths tell."""
    for pattern, name in PARTS:
        if found(listing, pattern):
            return name
    wide = [
        entry for name, entry in listing.tensors.items() if re.fullmatch(CONTEXT, name.replace("attn2_to", "attn2.to"))
    ]
    return next((BASES[width] for width in map(_inputs, wide) if width in BASES), None)


def _inputs(entry: Entry) -> int:
    return entry.shape[1] if len(entry.shape) > 1 else 0


PLAIN_LORA = r".*(?:lora_(?:A|B|up|down)\b|lora\.(?:up|down)\.|_lora\.(?:up|down)\.|lora_linear_layer\.)"
WHOLE_UNET = r"(?:model\.diffusion_model\.)input_blocks\.0\.0\.weight"

PIX2PIX = "load it as a checkpoint, and see the workflow instruct_pix2pix: its UNet takes a picture's latent, unscaled, beside its own"
DEPTH = "load it as a checkpoint, and see the workflow depth_to_image: its UNet takes a depth map beside the latent (depth_condition)"
UPSCALER = "load it as a checkpoint, and see the workflow stable_diffusion_upscaler: its UNet takes a small picture and its noise level"
UNCLIP = "load it as a checkpoint and by load_image_embedder, and see the workflow unclip: its UNet takes a vector of a picture"
"""What to do with Stable Diffusion's kin, whose UNets take more than words."""
KIN = {
    "StableDiffusionInstructPix2PixPipeline": PIX2PIX,
    "StableDiffusionDepth2ImgPipeline": DEPTH,
    "StableDiffusionUpscalePipeline": UPSCALER,
    "StableUnCLIPImg2ImgPipeline": UNCLIP,
    "StableUnCLIPPipeline": UNCLIP,
}
"""The same by diffusers' pipelines."""

SIGNATURES = (
    # Adapters
    Signature("a Control-LoRA for {base}", ("lora_controlnet",)),
    Signature("a ControlLLLite for {base}", (r"lllite_",)),
    Signature("a PhotoMaker file", (r"id_encoder\.", r"lora_weights\.")),
    Signature("an OFT file for {base}", (r".*oft_(?:blocks|diag)",), instead="get it as a LoRA, LoHa or LoKr"),
    Signature("a BOFT file for {base}", (r".*boft_",), instead="get it as a LoRA, LoHa or LoKr"),
    Signature("a GLoRA file for {base}", (r".*\.a1\.weight", r".*\.b2\.weight"), instead="get it as a LoRA, LoHa or LoKr"),
    Signature("an IA3 file for {base}", (r".*\.on_input",), instead="get it as a LoRA, LoHa or LoKr"),
    Signature("a LoHa for {base}", (r".*hada_w1_[ab]",), "lora"),
    Signature("a LoKr for {base}", (r".*lokr_w[12]",), "lora"),
    Signature("an IP-Adapter FaceID", (r"ip_adapter\.", r"image_proj\.(?:perceiver_resampler\.|norm\.weight)", r"image_proj\.proj\.0\.")),
    Signature("an IP-Adapter for {base}", (r"ip_adapter\.\d*[13579]\.to_k_ip\.", r"image_proj\.(?:proj\.weight|proj\.3\.weight|latents)"), "image_prompt"),
    Signature("an IP-Adapter of another kind", (r"ip_adapter\.", r"image_proj\.")),
    Signature("an image projection of an IP-Adapter", (r"image_proj\.",)),
    Signature("a motion module of AnimateDiff", (r".*motion_modules\.\d", r".*temporal_transformer"), without=(WHOLE_UNET,)),
    Signature("a DoRA for {base}", (r".*(?:dora_scale|lora_magnitude_vector)",), "lora"),
    Signature("a LoRA for {base}", (PLAIN_LORA,), "lora"),
    Signature("a file of differences of weights for {base}", (r".*\.diff(?:_b)?$",), "lora"),
    Signature("differences of norms for {base}", (r".*\.(?:w_norm|b_norm)$",), "lora"),
    Signature("a GLIGEN file", (r"position_net\.|.*\.fuser\.",)),
    Signature("a textual inversion for Stable Diffusion XL", ("clip_l$", "clip_g$")),
    Signature("a textual inversion", ("string_to_param|emb_params$",), "embedding"),
    Signature("a textual inversion", (), "embedding", test=_embedding),
    Signature("a hypernetwork", (), test=_hypernetwork),
    # ControlNets and their like
    Signature("a ControlNet for Flux", (r"controlnet_(?:x_embedder|blocks)", r".*(?:double_blocks|single_transformer_blocks)")),
    Signature("a ControlNet for Stable Diffusion 3", (r"controlnet_blocks\.", r"transformer_blocks\.")),
    Signature("a union ControlNet for {base}", (r"task_embedding|control_add_embedding", r".*controlnet|.*input_hint_block")),
    Signature("a ControlNet for {base}", (r"zero_convs\.|input_hint_block\.|controlnet_cond_embedding\.|controlnet_down_blocks\.",), "control"),
    Signature("a T2I-Adapter", (r"body\.\d+\.(?:block1|resnets\.\d+\.block1|in_conv)\.",), "adapter", without=(r"body\.\d+\.rdb1",)),
    # Transformers
    Signature("an SVDQuant transformer (Nunchaku)", (r".*\.(?:qweight|wscales)$",)),
    Signature("a model quantised by bitsandbytes", (r".*quant_state\.bitsandbytes__",), instead="get it in float16 or bfloat16"),
    Signature("a Chroma transformer", (r"distilled_guidance_layer\.",)),
    Signature("a HunyuanVideo transformer", (r"txt_in\.individual_token_refiner|context_embedder\.token_refiner",)),
    Signature("a Flux transformer with guidance (dev)", (r"double_blocks\.\d+\.img_attn\.", r"guidance_in\.")),
    Signature("a Flux transformer (schnell)", (r"double_blocks\.\d+\.img_attn\.",)),
    Signature("an AuraFlow transformer", (r"double_layers\.\d|register_tokens|.*transformer_blocks\.\d+\.ff_context\.linear_1",)),
    Signature("a Flux transformer of diffusers", (r"single_transformer_blocks\.\d+\.proj_mlp",)),
    Signature("a Stable Diffusion 3.5 checkpoint", (r"joint_blocks\.\d+\.x_block\.attn\.ln_k", r"(?:encoder|decoder)\.conv_in\.weight"), "checkpoint"),
    Signature("a Stable Diffusion 3 checkpoint", (r"joint_blocks\.\d+\.", r"(?:encoder|decoder)\.conv_in\.weight"), "checkpoint"),
    Signature("a Stable Diffusion 3.5 transformer", (r"joint_blocks\.\d+\.x_block\.attn\.ln_k",), "checkpoint"),
    Signature("a Stable Diffusion 3 transformer", (r"joint_blocks\.\d+\.",), "checkpoint"),
    Signature("a Stable Diffusion 3 transformer of diffusers", (r"transformer_blocks\.\d+\.attn\.add_q_proj", r"pos_embed\.proj"), "checkpoint"),
    Signature("a Qwen-Image transformer", (r"transformer_blocks\.\d+\.img_mod\.",)),
    Signature("a Sana transformer", (r"(?:transformer_)?blocks\.\d+\.(?:mlp\.inverted_conv|ff\.conv_inverted)",)),
    Signature("an LTX-Video transformer", (r"patchify_proj\.",)),
    Signature("a PixArt transformer with compressed keys and values", (r"blocks\.\d+\.attn\.(?:sr|q_norm)\.", r"t_block\."), instead="load one without (kv_compress, qk_norm)"),
    Signature("a PixArt-α transformer that is told sizes (1024 pixels)", (r"t_block\.", r"csize_embedder\."), "checkpoint"),
    Signature("a PixArt-Σ transformer", (r"t_block\.", r"y_embedder\.y_embedding"), "checkpoint", test=side(r"y_embedder\.y_embedding", 0, 300)),
    Signature("a PixArt-α transformer", (r"t_block\.", r"y_embedder\.y_embedding"), "checkpoint"),
    Signature("a PixArt transformer", (r"blocks\.\d+\.scale_shift_table", r"y_embedder\.y_proj|t_block\."), "checkpoint"),
    Signature("a PixArt transformer of diffusers", (r"transformer_blocks\.\d+\.scale_shift_table", r"adaln_single\.", r"pos_embed\.proj"), "checkpoint", without=(r"temporal_transformer_blocks\.",)),
    Signature("a HunyuanDiT transformer", (r"mlp_t5\.|text_embedding_padding$",)),
    Signature("a Wan transformer", (r"blocks\.\d+\.cross_attn\.", r"head\.modulation$|time_projection\.")),
    Signature("a Lumina transformer", (r"cap_embedder\.", r"layers\.\d+\.")),
    Signature("a CogVideoX transformer", (r"patch_embed\.text_proj",)),
    Signature("a Mochi transformer", (r"t5_yproj\.|time_embed\.mlp_t5",)),
    Signature("a Stable Cascade stage", (r"clip_txt_mapper|clip_txt_pooled_mapper|effnet_mapper",)),
    Signature("a DiT of the paper's code", (r"blocks\.\d+\.adaLN_modulation\.1\.", r"y_embedder\.embedding_table"), "checkpoint"),
    # UNets
    Signature("a Stable Video Diffusion model", (r".*time_stack\.|.*temporal_transformer_blocks\.|.*time_mixer",)),
    Signature("an AnimateDiff UNet", (r".*motion_modules\.\d",)),
    Signature("a Kandinsky UNet", (r"add_embedding\.image_(?:proj|norm)|encoder_hid_proj\.(?:image_embeds|norm)",)),
    Signature("a DeepFloyd IF UNet", (r"add_embedding\.pool\.|encoder_pooling\.",)),
    Signature("a Stable Diffusion XL refiner", (UNET,), "checkpoint", test=side(r"label_emb\.0\.0\.weight|add_embedding\.linear_1\.weight", 1, 2560)),
    Signature("a Stable Diffusion XL checkpoint", (r"embedders\.\d\.(?:model|transformer)\.", UNET), "checkpoint"),
    Signature("a Stable Diffusion XL UNet", (UNET,), "checkpoint", test=side(r"label_emb\.0\.0\.weight|add_embedding\.linear_1\.weight", 1, 2816)),
    Signature("a Stable Diffusion unCLIP model", (UNET,), "checkpoint", UNCLIP, test=side(r"label_emb\.0\.0\.weight|class_embedding\.linear_1\.weight", 1, 1536, 2048)),
    Signature("a Stable Diffusion x4 upscaler", (r"(?:label_emb|class_embedding)\.weight",), "checkpoint", UPSCALER, test=side(UNET, 1, 7)),
    Signature("an InstructPix2Pix model", (UNET, r".*attn2\.to_k\.weight"), "checkpoint", PIX2PIX, test=side(UNET, 1, 8)),
    Signature("a Stable Diffusion depth model", (UNET, r".*attn2\.to_k\.weight"), "checkpoint", DEPTH, test=side(UNET, 1, 5)),
    Signature("a Stable Diffusion checkpoint for {base}", (WHOLE_UNET, r"encoder\.(?:down\.|down_blocks\.)"), "checkpoint"),
    Signature("a UNet for {base}", (r"input_blocks\.0\.0\.weight",), "checkpoint"),
    Signature("a UNet of diffusers for {base}", (r"down_blocks\.\d+\.resnets", r"conv_in\.weight", r"time_embedding\."), "checkpoint"),
    # Autoencoders
    Signature("a video autoencoder", (r"(?:encoder|decoder)\.",), test=lambda listing: any(len(each.shape) == 5 for each in listing.tensors.values())),
    Signature("a consistency decoder", (r"(?:decoder_unet\.)?down_blocks\.\d+\.\d+\.f_t|.*down_0_conv_0",)),
    Signature("a tiny autoencoder (TAESD)", (r"(?:taesd_)?(?:encoder|decoder)(?:\.layers)?\.\d+\.(?:conv\.\d+\.)?weight",), "checkpoint"),
    Signature("half of a tiny autoencoder (TAESD)", (r"\d+\.conv\.\d+\.weight",), "checkpoint"),
    Signature("the autoencoder of Flux or Stable Diffusion 3", (r"decoder\.conv_in\.weight",), "checkpoint", test=side(r"decoder\.conv_in\.weight", 1, 16)),
    Signature("an autoencoder", (r"(?:encoder|decoder)\.conv_in\.weight",), "checkpoint"),
    # Text encoders and other networks
    Signature("a T5 text encoder", (r"encoder\.block\.\d+\.layer\.\d+\.SelfAttention",)),
    Signature("a language model", (r"layers\.\d+\.self_attn\.q_proj", r"embed_tokens\.")),
    Signature("a safety checker", (r"concept_embeds",)),
    Signature("a CLIP text encoder of Stable Diffusion XL (OpenCLIP bigG)", (r".*token_embedding",), "checkpoint", test=side(r".*token_embedding", 1, 1280)),
    Signature("a CLIP text encoder", (r"(?:text_model\.)?(?:embeddings\.)?token_embedding\.",), "checkpoint"),
    Signature("a CLIP image encoder", (r"vision_model\.|visual\.",)),
    Signature("a StyleGAN face restorer", (r"stylegan_decoder",)),
    Signature("an ESRGAN upscaler", (r"\d+\.sub\.\d+\.RDB|body\.\d+\.rdb\d|RRDB_trunk",)),
    Signature("a transformer upscaler (SwinIR, HAT, DAT)", (r"layers\.\d+\.(?:residual_group|blocks)\.",)),
    Signature("Inception's weights for FID", (r"Conv2d_1a_3x3\.", r"Mixed_5b\."), "features"),
    Signature("VGG-16's weights", (r"features\.0\.weight", r"classifier\.\d"), "features"),
    Signature("LPIPS' weights", (r"lin0\.model\.1\.weight",), "features"),
    Signature("a state of an optimizer", (r".*exp_avg",)),
)  # fmt: skip
