"""A model that is larger than a device, read layer by layer while it works, by PyTorch's forward hooks on its large layers.

Convolutions and linear layers are streamed. They are nearly all of a model, and nobody reads their weights but their own
`forward`; all else (norms, embeddings, codebooks, single parameters), which others may read directly, lies on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

LAYERS = {nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
Own = dict[str, nn.Parameter | None]


def streamed_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model that would be streamed: of these very classes, for one derived from them may be used otherwise."""
    return (layer for layer in model.modules() if type(layer) in LAYERS)


class Streaming:
    """Layers whose weights lie on the host, and on a device in addition while each works, until that is ended.

    Before and after a call a layer has the very parameters that it always had.
    """

    def __init__(self, layers: Iterable[nn.Module], device: torch.device) -> None:
        self.device = device
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        for layer in layers:
            own: Own = dict(layer._parameters)
            self._hooks.append(layer.register_forward_pre_hook(partial(self._come, own)))
            self._hooks.append(layer.register_forward_hook(partial(self._go, own), always_call=True))

    def end(self) -> None:
        """No layer is streamed any more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _come(self, own: Own, layer: nn.Module, _: Any) -> None:
        for name, weight in own.items():
            if weight is not None:
                copy = weight.to(self.device, non_blocking=weight.is_pinned())
                layer._parameters[name] = copy  # type: ignore[assignment]  # a plain tensor, and only for this call

    def _go(self, own: Own, layer: nn.Module, *_: Any) -> None:
        layer._parameters.update(own)
