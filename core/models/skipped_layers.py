"""A transformer without some of its blocks, to guide away from: Stable Diffusion 3.5's skip-layer guidance.

What a denoiser predicts without a few of its middle blocks is worse, and s · (prediction − that) leads away from it, as autoguidance does
(Karras et al. 2024). Source: Stability-AI/sd3.5, sd3_impls.py `SkipLayerCFGDenoiser`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.models.graft import Views
from core.models.mmdit import MMDiT


class SkippedLayers(nn.Module):
    """A denoiser that computes with an MMDiT's own weights, and leaves out the blocks of these numbers, counted from 0.

    Raises ValueError for blocks that it does not have.
    """

    def __init__(self, model: MMDiT, layers: Sequence[int]) -> None:
        super().__init__()
        blocks = len(model.joint_blocks)
        if unknown := sorted(set(layers) - set(range(blocks))):
            raise ValueError(f"there is no layer {unknown[0]}: this transformer has {blocks}, counted from 0")

        def graft(shell: MMDiT) -> None:
            kept = [block for i, block in enumerate(shell.joint_blocks) if i not in layers]
            shell.joint_blocks = nn.ModuleList(kept)

        self.takes = model.takes
        self.model = Views().once(model, "skipped layers", graft)

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning | None = None) -> Tensor:
        """Predict as the transformer does, z (b, c, h, w) at timesteps t (b,) → z's shape."""
        return cast(Tensor, self.model(z, t, condition))
