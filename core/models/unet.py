"""The time-conditional UNet that denoises latents (Rombach et al. 2022, section 3.2 and appendix E.2).

Names and layout follow CompVis/latent-diffusion, ldm/modules/diffusionmodules/openaimodel.py, itself after Dhariwal &
Nichol 2021 (ADM).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ClassNumber, Concat, Context, Vector
from core.models import kept_context
from core.models.attention import SpatialTransformer
from core.models.blocks import AttentionBlock, Downsample, ResBlock, Upsample, group_norm, timestep_embedding, zero_init
from core.models.denoiser import Takes
from core.models.regional import Regional
from core.models.registry import model


class EmbedSequential(nn.Sequential):
    """A sequence that hands the time embedding to its residual blocks and the context to its spatial transformers."""

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:  # type: ignore[override]
        """x (b, c, h, w), emb (b, emb_channels), context (b, m, context_dim) or None."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, None if context is None else layer.told(context))
            else:
                x = layer(x)
        return x


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
    ) -> None:
        super().__init__()
        levels = len(channel_mult)
        depths = [transformer_depth] * levels if isinstance(transformer_depth, int) else list(transformer_depth)
        if not channel_mult or min(channel_mult) < 1:
            raise ValueError(f"channel_mult has a multiple of at least 1 for each level, not {list(channel_mult)}")
        if num_heads is not None and num_heads < 1:
            raise ValueError(f"num_heads is at least 1, not {num_heads}")
        if (num_heads is None) == (num_head_channels is None):
            raise ValueError("give exactly one of num_heads and num_head_channels")
        if num_classes is not None and adm_in_channels is not None:
            raise ValueError("give num_classes (labels) or adm_in_channels (vectors), not both")
        if len(depths) != levels:
            raise ValueError(f"transformer_depth has {len(depths)} entries for the {levels} levels of channel_mult")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.model_channels = model_channels
        self.context_dim = context_dim
        self.gradient_checkpointing = gradient_checkpointing
        self.size_multiple = 2 ** (levels - 1)
        wanted = {
            Concat: in_channels > out_channels,
            Context: context_dim is not None,
            ClassNumber: num_classes is not None,
            Vector: adm_in_channels is not None,
        }
        self.takes = Takes(min(in_channels, out_channels), needs=tuple(kind for kind, wants in wanted.items() if wants))
        emb_channels = 4 * model_channels

        def res_block(c_in: int, c_out: int, up: bool = False, down: bool = False) -> ResBlock:
            return ResBlock(c_in, emb_channels, c_out, dropout, use_scale_shift_norm, norm_groups, up, down)

        def attention(channels: int, depth: int) -> nn.Module:
            heads = num_heads or channels // (num_head_channels or channels)
            if heads < 1 or channels % heads or (num_head_channels and heads * num_head_channels != channels):
                option = f"num_heads={num_heads}" if num_heads else f"num_head_channels={num_head_channels}"
                raise ValueError(f"{channels} channels cannot be split by {option}: choose a divisor")
            if context_dim is None:
                return AttentionBlock(channels, heads, norm_groups)
            return SpatialTransformer(channels, heads, context_dim, depth, use_linear_in_transformer, norm_groups)

        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, emb_channels), nn.SiLU(), nn.Linear(emb_channels, emb_channels)
        )
        self.label_emb: nn.Module | None = None
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes, emb_channels)
        elif adm_in_channels is not None:
            mlp = nn.Sequential(
                nn.Linear(adm_in_channels, emb_channels), nn.SiLU(), nn.Linear(emb_channels, emb_channels)
            )
            self.label_emb = nn.Sequential(mlp)

        ch = model_channels
        self.input_blocks = nn.ModuleList([EmbedSequential(nn.Conv2d(in_channels, ch, 3, padding=1))])
        skip_channels = [ch]
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [res_block(ch, mult * model_channels)]
                ch = mult * model_channels
                if 2**level in attention_factors:
                    layers.append(attention(ch, depths[level]))
                self.input_blocks.append(EmbedSequential(*layers))
                skip_channels.append(ch)
            if level < levels - 1:
                down = res_block(ch, ch, down=True) if resblock_updown else Downsample(ch, conv_resample)
                self.input_blocks.append(EmbedSequential(down))
                skip_channels.append(ch)

        self.middle_block = EmbedSequential(res_block(ch, ch), attention(ch, depths[-1]), res_block(ch, ch))

        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers = [res_block(ch + skip_channels.pop(), mult * model_channels)]
                ch = mult * model_channels
                if 2**level in attention_factors:
                    layers.append(attention(ch, depths[level]))
                if level > 0 and i == num_res_blocks:
                    layers.append(res_block(ch, ch, up=True) if resblock_updown else Upsample(ch, conv_resample))
                self.output_blocks.append(EmbedSequential(*layers))

        self.out = nn.Sequential(
            group_norm(ch, norm_groups), nn.SiLU(), zero_init(nn.Conv2d(ch, out_channels, 3, padding=1))
        )

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict from z (b, out_channels, h, w) at timesteps t, (b,) or a scalar, whole or fractional: z's shape.

        condition: what the model was built for, of batch b: context (b, m, context_dim), class numbers (b,) or a vector (b,
        adm_in_channels), concat (b, in_channels − out_channels, h, w). The computation runs in the weights' dtype, the result
        has z's. Raises ValueError for inputs that do not fit the model.
        """
        condition = condition or Conditioning()
        self.takes.check("UNet", z, condition)
        context, y, concat = condition.context, condition.y, condition.get(Concat)
        if concat is not None:
            z = concat.beside(z)
        self._check(z, context)
        dtype = next(self.time_embed.parameters()).dtype
        emb = self.time_embed(timestep_embedding(t.reshape(-1), self.model_channels).to(dtype)).expand(len(z), -1)
        if self.label_emb is not None and y is not None:
            emb = emb + self.label_emb(y if y.dim() == 1 else y.to(dtype))
        context = None if context is None else kept_context.once((self, dtype), context, lambda told: told.to(dtype))
        h = z.to(dtype)
        skips = []
        for block in self.input_blocks:
            h = self._run(block, h, emb, context)
            skips.append(h)
        h = self._run(self.middle_block, h, emb, context)
        for block in self.output_blocks:
            h = self._run(block, torch.cat([h, skips.pop()], dim=1), emb, context)
        out: Tensor = self.out(h)
        return out.to(z.dtype)

    def _run(self, block: nn.Module, h: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            h = checkpoint(block, h, emb, context, use_reentrant=False)
        else:
            h = block(h, emb, context)
        return h

    def _check(self, z: Tensor, context: Tensor | None) -> None:
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
