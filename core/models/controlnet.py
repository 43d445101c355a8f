"""ControlNet: a copy of a UNet's encoder that is shown a picture, and adds to the UNet's skip connections (Zhang et al. 2023).

Names and layout follow lllyasviel/ControlNet, cldm/cldm.py `ControlNet`, so that its files load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ClassNumber, Context, Vector
from core.conditioning.residuals import Control
from core.models import kept_context
from core.models.attention import SpatialTransformer
from core.models.blocks import AttentionBlock, ResBlock, zero_init
from core.models.denoiser import Takes
from core.models.regional import Regional
from core.models.registry import model
from core.models.unet import UNet
from core.models.unet_parts import Parts, embed, run

ENCODER = ("time_embed.", "label_emb.", "input_blocks.", "middle_block.")
"""Where a UNet's weights are that a ControlNet has too."""


def hint_block(hint_channels: int, widths: Sequence[int], channels: int) -> nn.Sequential:
    """Eight convolutions for the published widths: the picture's channels to the UNet's, at the latent's size.

    It is halved once for each width after the first, and the last convolution starts at zero.
    """
    layers: list[nn.Module] = [nn.Conv2d(hint_channels, widths[0], 3, padding=1), nn.SiLU()]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, before, 3, padding=1), nn.SiLU()]
        layers += [nn.Conv2d(before, after, 3, padding=1, stride=2), nn.SiLU()]
    return nn.Sequential(*layers, zero_init(nn.Conv2d(widths[-1], channels, 3, padding=1)))


@model
class ControlNet(Regional):
    """A UNet's contracting path and middle, told a picture: z, timesteps t, condition and picture → residuals for that UNet.

    hint_channels: those of the picture. hint_widths: channels of the convolutions before it meets the latent; each after the first
        halves its size, so that the published four are for an autoencoder of factor 8.
    global_pool: residuals are averaged over all positions (the published "shuffle" model).
    All else is as in `UNet`, whose z has in_channels.

    What it gives starts at zero, so that the UNet's prediction is at first its own.
    """

    config: dict[str, Any]
    takes: Takes
    kept_float32 = ("time_embed", "label_emb", "zero_convs", "middle_block_out")
    regions = (ResBlock, AttentionBlock, SpatialTransformer)

    def __init__(
        self,
        in_channels: int,
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
        hint_channels: int = 3,
        hint_widths: Sequence[int] = (16, 32, 96, 256),
        global_pool: bool = False,
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
        if not hint_widths:
            raise ValueError("hint_widths has the channels of at least one convolution")
        wanted = {
            Context: context_dim is not None,
            ClassNumber: num_classes is not None,
            Vector: adm_in_channels is not None,
        }
        self.takes = Takes(in_channels, tuple(kind for kind, wants in wanted.items() if wants))
        self.model_channels = model_channels
        self.hint_channels, self.factor = hint_channels, 2 ** (len(hint_widths) - 1)
        self.global_pool = global_pool
        self.gradient_checkpointing = gradient_checkpointing
        self.time_embed = parts.time_embedding()
        self.label_emb = parts.label_embedding(num_classes, adm_in_channels)
        self.input_blocks, channels = parts.contracting(in_channels)
        self.input_hint_block = hint_block(hint_channels, hint_widths, model_channels)
        self.zero_convs = nn.ModuleList(nn.Sequential(zero_init(nn.Conv2d(ch, ch, 1))) for ch in channels)
        self.middle_block = parts.middle(channels[-1])
        self.middle_block_out = nn.Sequential(zero_init(nn.Conv2d(channels[-1], channels[-1], 1)))

    @classmethod
    def beside(cls, unet: UNet, hint_widths: Sequence[int] = (16, 32, 96, 256), hint_channels: int = 3) -> ControlNet:
        """A ControlNet to train: the UNet's encoder as it is, and zero convolutions (Zhang et al. 2023, section 3.1).

        Its z is the latent alone: what the UNet has concatenated to it begins as weights that are left out.
        """
        config = {name: value for name, value in unet.config.items() if name not in ("in_channels", "out_channels")}
        channels = cast(int, unet.takes.channels)
        net = cls(channels, **config, hint_channels=hint_channels, hint_widths=hint_widths)
        copied = {name: value for name, value in unet.state_dict().items() if name.startswith(ENCODER)}
        first = "input_blocks.0.0.weight"
        copied[first] = copied[first][:, :channels]
        net.load_state_dict(copied, strict=False)
        return net

    def forward(
        self, z: Tensor, t: Tensor, picture: Tensor, condition: Conditioning | None = None, guess: bool = False
    ) -> Control:
        """Residuals of z (b, in_channels, h, w) at timesteps t (b,) or () for a picture (b, hint_channels, H, W) in [-1, 1].

        H and W are h and w times the autoencoder's factor. condition: as the UNet's; only what this network takes may be in it.
        guess: the deeper, the more a residual counts, from a tenth on (guess mode, for guidance without a prompt).
        Raises ValueError for inputs that do not fit.
        """
        condition = condition or Conditioning()
        self.takes.check("ControlNet", z, condition)
        self._check(z, picture)
        dtype = next(self.time_embed.parameters()).dtype
        emb = embed(self.time_embed, self.label_emb, self.model_channels, t, condition.y, len(z))
        context = condition.context
        context = None if context is None else kept_context.once((self, dtype), context, lambda told: told.to(dtype))
        h = z.to(dtype)
        shown = kept_context.once((self.input_hint_block, dtype), picture, lambda each: self._shown(each.to(dtype)))
        residuals = []
        for i, (block, zero) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = run(block, h, emb, context, self.gradient_checkpointing)
            h = h + shown if i == 0 else h
            residuals.append(zero(h))
        h = run(self.middle_block, h, emb, context, self.gradient_checkpointing)
        residuals.append(self.middle_block_out(h))
        if self.global_pool:
            residuals = [each.mean((2, 3), keepdim=True) for each in residuals]
        elif guess:
            scales = torch.logspace(-1, 0, len(residuals)).tolist()
            residuals = [scale * each for scale, each in zip(scales, residuals, strict=True)]
        return Control(tuple(each.to(z.dtype) for each in residuals))

    def _shown(self, picture: Tensor) -> Tensor:
        """The picture's features at the latent's size. The published networks were trained on [0, 1]."""
        shown: Tensor = self.input_hint_block(picture / 2 + 0.5)
        return shown

    def _check(self, z: Tensor, picture: Tensor) -> None:
        size = (z.shape[2] * self.factor, z.shape[3] * self.factor)
        if picture.dim() != 4 or picture.shape[1] != self.hint_channels or tuple(picture.shape[2:]) != size:
            raise ValueError(
                f"the ControlNet is shown pictures of {self.hint_channels} channels and, for this latent, {size[0]} × {size[1]} pixels, "
                f"not {tuple(picture.shape)}; load or resize the picture to that"
            )
        if len(picture) not in (1, len(z)):
            raise ValueError(
                f"there are {len(picture)} pictures for {len(z)} latents; give one for each, or one for all"
            )


def controlled(
    net: ControlNet,
    z: Tensor,
    t: Tensor,
    picture: Tensor,
    condition: Conditioning | None = None,
    strength: float = 1.0,
    guess: bool = False,
) -> Conditioning:
    """A condition of z (b, c, h, w), with what the network adds at timesteps t, (b,) or (), joined to it; several networks add up.

    picture: (b or 1, hint_channels, H, W) in [-1, 1]. Of the condition, of b rows or of one for all, the network is told the parts
    that it takes. strength: of what it adds. Raises ValueError for what does not fit.
    """
    told = (condition or Conditioning()).to(z.device, z.dtype).expand(len(z))
    taken = {kind.name for kind in net.takes.needs}
    own = Conditioning(parts=[part for name, part in told.parts.items() if name in taken])
    control = net(z, t.to(z.device).expand(len(z)), picture.to(z.device), own, guess)
    return told | Conditioning(parts=[control.map(lambda each: strength * each)])
