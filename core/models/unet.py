"""The time-conditional UNet that denoises latents (Rombach et al. 2022, section 3.2 and appendix E.2).

Names and layout follow CompVis/latent-diffusion, ldm/modules/diffusionmodules/openaimodel.py, itself after Dhariwal &
Nichol 2021 (ADM).
"""

from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.image_prompt import ImagePrompt
from core.conditioning.parts import ClassNumber, Concat, Context, Vector
from core.conditioning.residuals import Control, Features
from core.models import kept_context
from core.models.attention import CrossAttention, Prompts, SpatialTransformer
from core.models.blocks import AttentionBlock, ResBlock, Upsample, group_norm, zero_init
from core.models.denoiser import Takes
from core.models.regional import Regional
from core.models.registry import model
from core.models.unet_parts import EmbedSequential, Parts, cross_attentions, embed, run


@model
class UNet(Regional):
    """UNet denoiser, z (b, out_channels, h, w), timesteps t (b,) and a condition → (b, out_channels, h, w).

    in_channels: those of z, plus those of a condition that is concatenated to it.
    out_channels: those of z and of the prediction.
    model_channels, channel_mult: level i has model_channels · channel_mult[i] channels; each level after the first
        halves h and w.
    num_res_blocks: residual blocks a level on the way down; one more on the way up.
    attention_factors: the downsampling factors (1, 2, 4, …) whose levels carry attention, CompVis'
        `attention_resolutions`. The middle block always does; factors that no level has are ignored, as in the
        published semantic-synthesis model (mid attention only).
    num_heads, num_head_channels: exactly one of the two; a layer of c channels has num_heads or c / num_head_channels
        heads.
    context_dim: width of the context tokens. With it, attention is SpatialTransformer (self- and cross-attention);
        without, AttentionBlock.
    transformer_depth: blocks in each SpatialTransformer, or one number for each level (the middle takes the last).
    use_linear_in_transformer: projections as Linear instead of 1×1 convolutions (Stable Diffusion 2 on).
    disable_self_attentions: for each level whether its blocks attend to the context alone (Stable Diffusion's upscaler);
        empty for none.
    num_classes: class labels y (b,), embedded and added to the time embedding; adm_in_channels: a vector y (b,
        adm_in_channels) instead.
    use_scale_shift_norm, resblock_updown, conv_resample: FiLM-like norm, BigGAN resampling blocks, convolutions where
        the size changes.
    norm_groups: see `group_norm`; 32 in every published model.
    gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations.

    Every residual block and every attention layer starts as the identity, and the output starts at zero.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("time_embed", "label_emb", "out")
    regions = (ResBlock, AttentionBlock, SpatialTransformer)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int = 2,
        attention_factors: Sequence[int] = (),
        num_heads: int | None = None,
        num_head_channels: int | None = None,
        context_dim: int | None = None,
        transformer_depth: int | Sequence[int] = 1,
        use_linear_in_transformer: bool = False,
        num_classes: int | None = None,
        adm_in_channels: int | None = None,
        use_scale_shift_norm: bool = False,
        resblock_updown: bool = False,
        conv_resample: bool = True,
        dropout: float = 0.0,
        norm_groups: int = 32,
        gradient_checkpointing: bool = False,
        disable_self_attentions: Sequence[bool] = (),
    ) -> None:
        super().__init__()
        parts = Parts(
            model_channels,
            channel_mult,
            num_res_blocks,
            attention_factors,
            num_heads,
            num_head_channels,
            context_dim,
            transformer_depth,
            use_linear_in_transformer,
            use_scale_shift_norm,
            resblock_updown,
            conv_resample,
            dropout,
            norm_groups,
            disable_self_attentions,
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.model_channels = model_channels
        self.context_dim = context_dim
        self.gradient_checkpointing = gradient_checkpointing
        self.size_multiple = 2 ** (parts.levels - 1)
        wanted = {
            Concat: in_channels > out_channels,
            Context: context_dim is not None,
            ClassNumber: num_classes is not None,
            Vector: adm_in_channels is not None,
        }
        needs = tuple(kind for kind, wants in wanted.items() if wants)
        self.takes = Takes(min(in_channels, out_channels), needs, may=(Control, Features, ImagePrompt))
        # Where an adapter's features are added: at each level's last block, which without attention is the one that halves the size.
        self.feature_blocks = [
            level * (num_res_blocks + 1)
            + num_res_blocks
            + (2**level not in attention_factors and level < parts.levels - 1)
            for level in range(parts.levels)
        ]
        self.time_embed = parts.time_embedding()
        self.label_emb = parts.label_embedding(num_classes, adm_in_channels)
        self.input_blocks, skip_channels = parts.contracting(in_channels)
        ch = skip_channels[-1]
        self.middle_block = parts.middle(ch)
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers: list[nn.Module] = [parts.res_block(ch + skip_channels.pop(), mult * model_channels)]
                ch = mult * model_channels
                if 2**level in attention_factors:
                    layers.append(parts.attention(ch, level))
                if level > 0 and i == num_res_blocks:
                    layers.append(parts.res_block(ch, ch, up=True) if resblock_updown else Upsample(ch, conv_resample))
                self.output_blocks.append(EmbedSequential(*layers))

        self.out = nn.Sequential(
            group_norm(ch, norm_groups), nn.SiLU(), zero_init(nn.Conv2d(ch, out_channels, 3, padding=1))
        )
        # Of each block's cross-attentions, in the order of `cross_attentions`; finding them looks through all modules.
        self._attention_widths = [[each.width for each in cross_attentions(block)] for block in self._attended()]

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict from z (b, out_channels, h, w) at timesteps t, (b,) or a scalar, whole or fractional: z's shape.

        condition: what the model was built for, of batch b: context (b, m, context_dim), class numbers (b,) or a vector (b,
        adm_in_channels), concat (b, in_channels − out_channels, h, w); and what a ControlNet or a T2I-Adapter adds to the
        features, or an IP-Adapter to what cross-attention finds. The computation runs in the weights' dtype, the result has z's. Raises ValueError for inputs that do not fit the model.
        """
        condition = condition or Conditioning()
        self.takes.check("UNet", z, condition)
        context, y, concat = condition.context, condition.y, condition.get(Concat)
        control, features, prompt = condition.get(Control), condition.get(Features), condition.get(ImagePrompt)
        self._check_added(control, features, prompt)
        if concat is not None:
            z = concat.beside(z)
        self._check(z, context, y)
        dtype = next(self.time_embed.parameters()).dtype
        emb = embed(self.time_embed, self.label_emb, self.model_channels, t, y, len(z))
        context = None if context is None else kept_context.once((self, dtype), context, lambda told: told.to(dtype))
        h = z.to(dtype)
        prompts = self._prompts(None if prompt is None else self._in_dtype(prompt, dtype))
        skips = []
        for i, block in enumerate(self.input_blocks):
            h = self._run(block, h, emb, context, prompts.get(block, ()))
            if features is not None and i in self.feature_blocks:
                h = features.onto(h, self.feature_blocks.index(i))
            skips.append(h)
        h = self._run(self.middle_block, h, emb, context, prompts.get(self.middle_block, ()))
        if features is not None and len(features.added) > len(self.feature_blocks):
            h = features.onto(h, -1)
        if control is not None:
            skips = [control.onto(skip, i) for i, skip in enumerate(skips)]
            h = control.onto(h, -1)
        for block in self.output_blocks:
            h = self._run(block, torch.cat([h, skips.pop()], dim=1), emb, context, prompts.get(block, ()))
        out: Tensor = self.out(h)
        return out.to(z.dtype)

    @property
    def cross_attentions(self) -> list[CrossAttention]:
        """All of them, in the order in which IP-Adapters' files count them: down, up, middle."""
        return [attention for block in self._attended() for attention in cross_attentions(block)]

    def _attended(self) -> Iterator[nn.Module]:
        yield from (*self.input_blocks, *self.output_blocks, self.middle_block)

    def _prompts(self, prompt: ImagePrompt | None) -> dict[nn.Module, Sequence[Prompts]]:
        """What the cross-attentions of each block are told of pictures."""
        told: dict[nn.Module, Sequence[Prompts]] = {}
        if prompt is None:
            return told
        first = 0
        for block, widths in zip(self._attended(), self._attention_widths, strict=True):
            told[block] = prompt.of(first, len(widths))
            first += len(widths)
        return told

    def _in_dtype(self, prompt: ImagePrompt, dtype: torch.dtype) -> ImagePrompt:
        """A prompt's keys and values in this dtype, each converted once for a sampling."""
        places = count()

        def converted(told: Tensor) -> Tensor:
            place = (self, dtype, next(places))
            return told if told.dtype == dtype else kept_context.once(place, told, lambda each: each.to(dtype))

        return prompt.map(converted)

    def _run(
        self, block: nn.Module, h: Tensor, emb: Tensor, context: Tensor | None, prompts: Sequence[Prompts]
    ) -> Tensor:
        return run(block, h, emb, context, self.gradient_checkpointing, prompts)

    def _check_added(self, control: Control | None, features: Features | None, prompt: ImagePrompt | None) -> None:
        blocks, levels = len(self.input_blocks), len(self.feature_blocks)
        if control is not None and len(control.added) != blocks + 1:
            raise ValueError(
                f"the condition holds {len(control.added)} residuals of a ControlNet, and this UNet takes {blocks + 1}, one for "
                "each block on the way down and one for the middle; the ControlNet was made for another UNet"
            )
        if features is not None and len(features.added) not in (levels, levels + 1):
            raise ValueError(
                f"the condition holds a T2I-Adapter's features for {len(features.added)} levels, and this UNet has {levels}; the "
                "adapter was made for another UNet"
            )
        if prompt is not None and prompt.widths != (own := list(chain(*self._attention_widths))):
            raise ValueError(
                f"the condition holds keys and values of an IP-Adapter for {_widths(prompt.widths)}, and this UNet has {_widths(own)}; "
                "the adapter was made for another UNet"
            )

    def _check(self, z: Tensor, context: Tensor | None, y: Tensor | None) -> None:
        if z.dim() != 4 or z.shape[1] != self.in_channels:
            raise ValueError(
                f"the UNet takes (b, {self.in_channels}, h, w), with what is concatenated to z, got {tuple(z.shape)}"
            )
        if z.shape[2] % self.size_multiple or z.shape[3] % self.size_multiple:
            raise ValueError(
                f"height and width {tuple(z.shape[2:])} must be multiples of {self.size_multiple} for this UNet"
            )
        if context is not None and context.shape[-1] != self.context_dim:
            raise ValueError(f"context must be (b, tokens, {self.context_dim}), got {tuple(context.shape)}")
        vector: int | None = self.config["adm_in_channels"]
        if y is not None and vector is not None and y.shape[-1] != vector:
            raise ValueError(
                f"this UNet's vector has {vector} numbers, and the condition's has {y.shape[-1]}; SDXL's is a text's vector and"
                " its sizes behind it (combine_conditions)"
            )


def _widths(each: list[int]) -> str:
    return f"{len(each)} cross-attentions ({', '.join(map(str, sorted(set(each))))} wide)" if each else "none"
