"""What a UNet and a classifier that is half of one share: its kinds of blocks, the contracting path, and the middle.

Names and layout follow CompVis/latent-diffusion, ldm/modules/diffusionmodules/openaimodel.py, itself after Dhariwal & Nichol 2021.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.models.attention import BasicTransformerBlock, CrossAttention, Prompts, SpatialTransformer
from core.models.blocks import AttentionBlock, Downsample, ResBlock, timestep_embedding


class EmbedSequential(nn.Sequential):
    """A sequence that hands the time embedding to its residual blocks and the context to its spatial transformers."""

    def forward(  # type: ignore[override]
        self, x: Tensor, emb: Tensor, context: Tensor | None, prompts: Sequence[Prompts] = ()
    ) -> Tensor:
        """x (b, c, h, w), emb (b, emb_channels), context (b, m, context_dim) or None. prompts: see `SpatialTransformer`, of which a
        block has one at most."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, None if context is None else layer.told(context), prompts)
            else:
                x = layer(x)
        return x


class Contracting(NamedTuple):
    """The contracting path, and the channels of what each of its blocks gives."""

    blocks: nn.ModuleList
    channels: list[int]


@dataclass(frozen=True)
class Parts:
    """How the blocks of a UNet are made; the fields are those of `UNet`. Raises ValueError for what goes with no UNet."""

    model_channels: int
    channel_mult: Sequence[int]
    num_res_blocks: int
    attention_factors: Sequence[int]
    num_heads: int | None
    num_head_channels: int | None
    context_dim: int | None = None
    transformer_depth: int | Sequence[int] = 1
    use_linear_in_transformer: bool = False
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    conv_resample: bool = True
    dropout: float = 0.0
    norm_groups: int = 32
    disable_self_attentions: Sequence[bool] = ()

    def __post_init__(self) -> None:
        if not self.channel_mult or min(self.channel_mult) < 1:
            raise ValueError(f"channel_mult has a multiple of at least 1 for each level, not {list(self.channel_mult)}")
        if self.num_heads is not None and self.num_heads < 1:
            raise ValueError(f"num_heads is at least 1, not {self.num_heads}")
        if (self.num_heads is None) == (self.num_head_channels is None):
            raise ValueError("give exactly one of num_heads and num_head_channels")
        if len(self.depths) != self.levels:
            raise ValueError(
                f"transformer_depth has {len(self.depths)} entries for the {self.levels} levels of channel_mult"
            )
        if len(self.disable_self_attentions) not in (0, self.levels):
            raise ValueError(
                f"disable_self_attentions has {len(self.disable_self_attentions)} entries for the {self.levels} levels of"
                " channel_mult"
            )

    @property
    def levels(self) -> int:
        """How many resolutions there are."""
        return len(self.channel_mult)

    @property
    def depths(self) -> list[int]:
        """The blocks of each level's spatial transformers."""
        depth = self.transformer_depth
        return [depth] * self.levels if isinstance(depth, int) else list(depth)

    @property
    def emb_channels(self) -> int:
        """Width of the time embedding."""
        return 4 * self.model_channels

    def time_embedding(self) -> nn.Sequential:
        """What makes the time embedding, (b, emb_channels), of the sinusoidal one, (b, model_channels)."""
        width = self.emb_channels
        return nn.Sequential(nn.Linear(self.model_channels, width), nn.SiLU(), nn.Linear(width, width))

    def label_embedding(self, num_classes: int | None, adm_in_channels: int | None) -> nn.Module | None:
        """What embeds class numbers (b,) or vectors (b, adm_in_channels) beside the time; None where there are none.

        Raises ValueError for both.
        """
        if num_classes is not None and adm_in_channels is not None:
            raise ValueError("give num_classes (labels) or adm_in_channels (vectors), not both")
        width = self.emb_channels
        if num_classes is not None:
            return nn.Embedding(num_classes, width)
        if adm_in_channels is None:
            return None
        return nn.Sequential(nn.Sequential(nn.Linear(adm_in_channels, width), nn.SiLU(), nn.Linear(width, width)))

    def res_block(self, c_in: int, c_out: int, up: bool = False, down: bool = False) -> ResBlock:
        """A residual block, which may also resize."""
        scale_shift = self.use_scale_shift_norm
        return ResBlock(c_in, self.emb_channels, c_out, self.dropout, scale_shift, self.norm_groups, up, down)

    def heads(self, channels: int) -> int:
        """Attention heads of a layer of so many channels. Raises ValueError where they do not divide them."""
        heads = self.num_heads or channels // (self.num_head_channels or channels)
        if heads < 1 or channels % heads or (self.num_head_channels and heads * self.num_head_channels != channels):
            option = f"num_heads={self.num_heads}" if self.num_heads else f"num_head_channels={self.num_head_channels}"
            raise ValueError(f"{channels} channels cannot be split by {option}: choose a divisor")
        return heads

    def attention(self, channels: int, level: int) -> nn.Module:
        """Self-attention, with cross-attention where there is a context. level: -1 for the middle."""
        heads = self.heads(channels)
        if self.context_dim is None:
            return AttentionBlock(channels, heads, self.norm_groups)
        linear = self.use_linear_in_transformer
        sees_itself = level < 0 or not (self.disable_self_attentions and self.disable_self_attentions[level])
        return SpatialTransformer(
            channels, heads, self.context_dim, self.depths[level], linear, self.norm_groups, self_attention=sees_itself
        )

    def contracting(self, in_channels: int) -> Contracting:
        """The way down, from in_channels: a convolution, then residual blocks (with attention) and resampling, level by level."""
        ch = self.model_channels
        blocks = nn.ModuleList([EmbedSequential(nn.Conv2d(in_channels, ch, 3, padding=1))])
        channels = [ch]
        for level, mult in enumerate(self.channel_mult):
            for _ in range(self.num_res_blocks):
                layers: list[nn.Module] = [self.res_block(ch, mult * self.model_channels)]
                ch = mult * self.model_channels
                if 2**level in self.attention_factors:
                    layers.append(self.attention(ch, level))
                blocks.append(EmbedSequential(*layers))
                channels.append(ch)
            if level < self.levels - 1:
                down = self.res_block(ch, ch, down=True) if self.resblock_updown else Downsample(ch, self.conv_resample)
                blocks.append(EmbedSequential(down))
                channels.append(ch)
        return Contracting(blocks, channels)

    def middle(self, ch: int) -> EmbedSequential:
        """The middle, at the lowest resolution: two residual blocks around attention."""
        return EmbedSequential(self.res_block(ch, ch), self.attention(ch, -1), self.res_block(ch, ch))


def embed(
    time_embed: nn.Module, label_emb: nn.Module | None, channels: int, t: Tensor, y: Tensor | None, rows: int
) -> Tensor:
    """The time embedding, (rows, emb_channels), of timesteps t (rows,), (1,) or (), and what class numbers or vectors y add to it.

    channels: width of the sinusoidal one.
    """
    dtype = next(time_embed.parameters()).dtype
    emb: Tensor = time_embed(timestep_embedding(t.reshape(-1), channels).to(dtype)).expand(rows, -1)
    if label_emb is not None and y is not None:
        emb = emb + label_emb(y if y.dim() == 1 else y.to(dtype))
    return emb


def run(
    block: nn.Module,
    h: Tensor,
    emb: Tensor,
    context: Tensor | None,
    recompute: bool,
    prompts: Sequence[Prompts] = (),
) -> Tensor:
    """Call an `EmbedSequential`; in training it may be computed again in the backward pass, instead of kept. h: (b, c, h, w)."""
    if recompute and torch.is_grad_enabled():
        h = checkpoint(block, h, emb, context, prompts, use_reentrant=False)
    else:
        h = block(h, emb, context, prompts)
    return h


def cross_attentions(block: nn.Module) -> list[CrossAttention]:
    """A block's cross-attentions, in the order in which they are called."""
    return [part.attn2 for part in block.modules() if isinstance(part, BasicTransformerBlock)]
