"""What calls on fake tensors would cost: floating-point operations by node, and the bytes that live at once."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


# PyTorch's own formulas take shapes; attention on a CPU is not among them.
_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}

# How literals become tensors. Fake ones would remember the number, in a table whose weak references PyTorch 2.13 frees twice.
_LIFTS = (torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default)


@dataclass(eq=False)
class _Held:
    """Bytes that live, and what they are."""

    size: int
    kind: str = ""


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while it is on, for the node that is at work. Goes outside a FakeTensorMode.

    Matrix products, convolutions and attention are counted (two operations for each multiply and add, as PyTorch's
    FlopCounterMode does), `scale` times over. A number that is asked of a fake tensor is made up (0.5, 0, False), which is
    written down in `guessed`: shapes seldom depend on it.

    divided: what tensors may be, and into how many equal parts such a tensor is split among processes: one part counts. At the
    `peak`, `parts` is how much of it was what; "" is all that nobody named (activations, and what operations need meanwhile).
    """

    def __init__(self, fakes: FakeTensorMode, divided: Mapping[str, int] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fakes = fakes
        self.scale = 1.0
        self.flops: dict[str, float] = defaultdict(float)
        self.guessed: set[str] = set()
        self.divided = divided or {}
        self.live = self.peak = 0
        self.parts: dict[str, int] = {}
        self._kinds: dict[str, int] = defaultdict(int)
        self.peak_at = ""
        self._at = [""]
        self._models: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
        self._sizes: WeakIdKeyDictionary = WeakIdKeyDictionary()

    @contextmanager
    def at(self, node: str) -> Iterator[None]:
        """Count for this node."""
        self._at.append(node)
        try:
            yield
        finally:
            self._at.pop()

    @contextmanager
    def times(self, n: float) -> Iterator[None]:
        """Count everything so many times more."""
        before, self.scale = self.scale, self.scale * n
        try:
            yield
        finally:
            self.scale = before

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """While inside, what lives at once is no peak: the same follows, with more beside it."""
        forget = self.passed()
        try:
            yield
        finally:
            forget()

    @contextmanager
    def beside(self, size: int, kind: str) -> Iterator[None]:
        """While inside, so many bytes more live, which no tensor shows."""
        held = _Held(size, kind)
        self._grow(held)
        try:
            yield
        finally:
            self._let_go(held)

    def lived(self, parts: Mapping[str, int]) -> None:
        """Say what lived at once before, beside what lives now: bytes by what they were, in place of those of that kind now."""
        kinds = {**self._kinds, **parts}
        if (live := sum(kinds.values())) > self.peak:
            self.peak, self.peak_at, self.parts = live, self._at[-1], kinds

    def passed(self) -> Callable[[], None]:
        """What forgets the peak since now."""
        before = self.peak, self.peak_at, self.parts

        def forget() -> None:
            self.peak, self.peak_at, self.parts = before

        return forget

    def hold_real(self, model: torch.nn.Module) -> None:
        """Count the weights of a model that was made outside of the dry run."""
        if model in self._models:
            return
        self._models.add(model)
        held = _Held(sum(each.nbytes for each in (*model.parameters(), *model.buffers())), "models")
        weakref.finalize(model, self._let_go, held)
        self._grow(held)

    def name(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Say what tensors are."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if isinstance(tensor, FakeTensor) and storage not in self._sizes:
                self._hold(tensor)
            held: _Held | None = self._sizes.get(storage, None)  # type: ignore[no-untyped-call]
            if held is not None and held.kind != kind:
                self._let_go(held)
                held.kind = kind
                self._count(held)  # no peak: nothing was added

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do the operation, and count it."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return self._number(args[0])
        if func in _LIFTS and not isinstance(args[0], FakeTensor):
            return self.fakes.from_tensor(args[0])
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops[self._at[-1]] += self.scale * flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        elif packet in _FORMULAS:
            self.flops[self._at[-1]] += self.scale * _FORMULAS[packet](*args, **(kwargs or {}))
        for value in tree_iter(out):
            if isinstance(value, FakeTensor):
                self._hold(value)
        return out

    def _number(self, tensor: Tensor) -> float | int | bool:
        if not isinstance(tensor, FakeTensor):
            with _disable_current_modes():
                return tensor.item()
        self.guessed.add(self._at[-1])
        return 0.5 if tensor.is_floating_point() else False if tensor.dtype == torch.bool else 0

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._sizes:
            return
        held = self._sizes[storage] = _Held(storage.nbytes())
        weakref.finalize(storage, self._let_go, held)
        self._grow(held)

    def _count(self, held: _Held) -> None:
        size = self._share(held)
        self.live += size
        self._kinds[held.kind] += size

    def _grow(self, held: _Held) -> None:
        self._count(held)
        if self.live > self.peak:
            self.peak, self.peak_at, self.parts = self.live, self._at[-1], dict(self._kinds)

    def _let_go(self, held: _Held) -> None:
        size = self._share(held)
        self.live -= size
        self._kinds[held.kind] -= size

    def _share(self, held: _Held) -> int:
        return -(-held.size // self.divided.get(held.kind, 1))
