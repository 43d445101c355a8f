"""Who lies on a device: models come there when a node uses them, and leave when others need the room, the longest unused first.

It is about modules alone; tensors of a run stay where they are. A module is known by its identity, from the first call that uses
it to its end, over all runs of an engine: what lies on the device when a run ends is still there for the next one. What a call was
handed stays until it returns, so a zone's own models stay for as long as it trains. Models that share parts (an autoencoder, and
a data set seen through it) count once. One that is larger than the room is streamed (`graph_runner.run.streaming`).
"""

from __future__ import annotations

import gc
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from graph_runner.base.events import Placed
from graph_runner.run.device_memory import DeviceMemory
from graph_runner.run.modules import modules_in, replace_tensors, size_of, tensors_of
from graph_runner.run.streaming import Streaming, streamed_layers

WORK = 8
"""So large a share of the budget, one in so many, is kept free of models: what a call computes needs room too."""
TELL_SECONDS = 0.25
"""What lies where is told no more often than this while it changes."""

Use = Literal["call", "read", "train"]
"""What a call does with a model: it calls it, it reads its weights (to save, copy or merge them), or it trains it."""


@dataclass(eq=False)
class Resident:
    """A module that was met. own: it is the owner's to move; not what a zone made on the device and still works on.
    parts: by id, the modules and tensors that it is made of."""

    model: weakref.ref[nn.Module]
    parts: frozenset[int]
    size: int
    name: str = ""
    here: bool = False
    own: bool = True
    streaming: Streaming | None = None


class Residence:
    """The one owner of a device's memory, as far as models are concerned.

    budget: bytes that the run may take of it; left out, what it has free.
    """

    def __init__(self, device: torch.device, budget: int | None = None, memory: DeviceMemory | None = None) -> None:
        self.device = torch.empty(0, device=device).device  # "cuda" lies on "cuda:0"
        self.budget = budget
        self.memory = memory or DeviceMemory(device)
        self.tell: Callable[[Placed], None] = lambda _: None
        self.came = self.left = 0
        self._known: OrderedDict[int, Resident] = OrderedDict()  # by id, the longest unused first
        self._held: list[list[nn.Module]] = []  # by the calls that go on, the outermost first
        self._copies: MutableMapping[Tensor, tuple[Tensor, int]] = (
            WeakTensorKeyDictionary()
        )  # where a pinned parameter lay on the host, and its version then
        self._told = 0.0
        self._changed = False
        if budget is not None:
            self.memory.limit(budget)

    @contextmanager
    def call(self) -> Iterator[None]:
        """While inside, what is placed stays where it is."""
        self._held.append([])
        try:
            yield
        finally:
            self._held.pop()
            if self._changed and time.monotonic() - self._told >= TELL_SECONDS:
                self.tell_all()

    def place(self, value: Any, use: Use = "call") -> Any:
        """A value on the device, for the call that goes on: modules in place, all else as a copy where it lies elsewhere."""
        if isinstance(value, nn.Module):
            self._use(value, use)
            return value
        if isinstance(value, Tensor):
            return value.to(self.device)
        if isinstance(value, str | int | float | bool | None):
            return value
        if isinstance(value, dict):
            return {key: self.place(item, use) for key, item in value.items()}
        if isinstance(value, list):
            return [self.place(item, use) for item in value]
        if isinstance(value, tuple):
            placed = [self.place(item, use) for item in value]
            return type(value)(*placed) if hasattr(value, "_fields") else tuple(placed)
        self.bring(value, use)
        return value.to(self.device) if hasattr(value, "to") else value

    def bring(self, value: Any, use: Use = "call") -> None:
        """The models in a value to the device, for the call that goes on; all else stays where it is."""
        for module in modules_in(value):
            self._use(module, use)

    def adopt(self, value: Any, name: str) -> None:
        """What a node gave (`name`) is the owner's to move from now on."""
        for module in modules_in(value):
            resident = self._meet(module)
            resident.own, resident.name = True, resident.name or name

    def make_room(self) -> int:
        """Let everything leave that no call uses now, and give the device back what PyTorch holds. Returns the bytes that left."""
        before = self.left
        for resident in list(self._known.values()):
            self._leave(resident)
        gc.collect()
        self.memory.give_back()
        return self.left - before

    def whole(self, value: Any) -> None:
        """No model in a value is streamed any more: it is to be copied."""
        for module in modules_in(value):
            self._stop_streaming(self._meet(module))

    def rest(self) -> None:
        """A run is over: nothing is streamed any more, and what lies where is told."""
        for resident in list(self._known.values()):
            self._stop_streaming(resident)
        self.tell_all()

    def free(self) -> int | None:
        """Bytes that are left, of the budget too; None where nobody knows."""
        free = self.memory.free()
        if self.budget is None:
            return free
        used = self.memory.used()
        left = self.budget - (self._lying() if used is None else used)
        return max(0, left if free is None else min(free, left))

    def room(self) -> int | None:
        """Bytes that models may take at most; None where nobody knows."""
        limit = self.budget or self.memory.total()
        return None if limit is None else limit - limit // WORK

    def tell_all(self) -> None:
        """Tell what lies where."""
        self._told, self._changed = time.monotonic(), False
        if not self._known:
            return
        where: dict[str, dict[str, int]] = {"here": {}, "waiting": {}, "streamed": {}}
        for resident in self._known.values():
            models = where["streamed" if resident.streaming else "here" if resident.here else "waiting"]
            name = resident.name or type(resident.model()).__name__
            models[name] = models.get(name, 0) + resident.size
        self.tell(
            Placed(str(self.device), **where, free=self.free(), budget=self.budget, came=self.came, left=self.left)
        )

    def _lying(self) -> int:
        """Bytes of the models on the device, what they share counted once."""
        models = (resident.model() for resident in self._known.values())
        tensors = {id(tensor): tensor for model in models if model is not None for tensor in tensors_of(model)}
        return size_of(tensor for tensor in tensors.values() if tensor.device == self.device)

    def _use(self, model: nn.Module, use: Use) -> None:
        resident = self._meet(model)
        self._known.move_to_end(id(model))
        self._held[-1].append(model)
        if resident.here or (resident.streaming is not None and use == "call"):
            return
        for other in self._sharing(resident):  # what has a part that is streamed is whole again first
            self._stop_streaming(other)
        missing = size_of(tensor for tensor in tensors_of(model) if tensor.device != self.device)
        room = self.room()
        if missing and use != "train" and room is not None and resident.size > room:
            if use == "call":
                self._stream(resident, model)
            else:
                replace_tensors(model, self._on_host)
            return
        self._make_room_for(missing)
        self._come(model)
        resident.here = True

    def _meet(self, model: nn.Module) -> Resident:
        resident = self._known.get(id(model))
        if resident is None:
            forget = weakref.ref(model, partial(self._forget, id(model)))
            tensors = list(tensors_of(model))
            here = all(tensor.device == self.device for tensor in tensors)
            parts = frozenset(map(id, (*model.modules(), *tensors)))
            resident = Resident(forget, parts, size_of(tensors), here=here, own=not here)
            self._known[id(model)] = resident
        return resident

    def _forget(self, key: int, _: weakref.ref[nn.Module]) -> None:
        self._known.pop(key, None)

    def _sharing(self, resident: Resident) -> list[Resident]:
        """Those that have a part in common with it, itself too."""
        return [other for other in self._known.values() if not other.parts.isdisjoint(resident.parts)]

    def _make_room_for(self, need: int) -> None:
        """Let the longest unused leave, until so many bytes and room for the work are free, or nobody is left who could go."""
        need += (self.budget or self.memory.total() or 0) // WORK
        for resident in list(self._known.values()):
            free = self.free()
            if free is None or free >= need:
                return
            self._leave(resident)

    def _in_use(self, resident: Resident) -> bool:
        model = resident.model()
        return any(model is held for call in self._held for held in call)

    def _come(self, model: nn.Module, but: frozenset[int] = frozenset()) -> None:
        """To the device, but for the parameters with these ids."""

        def here(tensor: Tensor) -> Tensor:
            if tensor.device == self.device or id(tensor) in but:
                return tensor
            self.came += tensor.nbytes
            if tensor.is_pinned():  # it left before, and may leave again: where it lay is kept
                self._copies[tensor] = tensor.detach(), tensor._version
            return tensor.to(self.device, non_blocking=tensor.is_pinned())

        replace_tensors(model, here)
        self._changed = True

    def _leave(self, resident: Resident) -> None:
        """To the host, if it may go, and but for what a model in use shares with it."""
        model = resident.model()
        if model is None or not (resident.own and resident.here) or self._in_use(resident):
            return
        used = {id(tensor) for call in self._held for held in call for tensor in tensors_of(held)}

        def away(tensor: Tensor) -> Tensor:
            if tensor.device != self.device or id(tensor) in used:
                return tensor
            self.left += tensor.nbytes
            return self._on_host(tensor)

        replace_tensors(model, away)
        for other in self._sharing(resident):
            other.here = other.here and self._in_use(other)
        self._changed = True

    def _on_host(self, tensor: Tensor) -> Tensor:
        """A tensor on the host: where it lay before, if nobody has changed it since; where CUDA copies from, pinned."""
        if self.device.type != "cuda" or (tensor.device.type == "cpu" and tensor.is_pinned()):
            return tensor.to("cpu")
        if tensor in self._copies:
            copy, version = self._copies[tensor]
            if version == tensor._version and (copy.shape, copy.dtype) == (tensor.shape, tensor.dtype):
                return copy
        return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor)

    def _stream(self, resident: Resident, model: nn.Module) -> None:
        layers = list(streamed_layers(model))
        streamed = {id(weight): weight for layer in layers for weight in layer.parameters(recurse=False)}
        largest = max((size_of(layer.parameters(recurse=False)) for layer in layers), default=0)
        self._make_room_for(resident.size - size_of(streamed.values()) + largest)
        replace_tensors(model, lambda tensor: self._on_host(tensor) if id(tensor) in streamed else tensor)
        self._come(model, frozenset(streamed))
        for other in self._sharing(resident):
            other.here = False
        resident.streaming = Streaming(layers, self.device)

    def _stop_streaming(self, resident: Resident) -> None:
        if resident.streaming is not None:
            resident.streaming.end()
            resident.streaming = None
            resident.here = False
            self._changed = True
