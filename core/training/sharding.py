"""Models that are split among the processes that train them (`torch.distributed.fsdp.fully_shard`, FSDP2; after Zhao et al. 2023).

Each process keeps a part of every weight, and so of its gradient, its average and its optimizer's state. A block's weights are
put together when the block is entered, on the way forth and on the way back, and let go afterwards. Weights outside of blocks
are whole for the length of a step: so a body may use a model by any of its methods, and take gradients at a single layer
(`adaptive_weight`). Whoever looks at a model from outside of the steps sees a whole, plain copy.

Only at the start a process holds its models whole: each is split block by block, and an average is made of the parts. What a
training gives lies in a file that the processes of a machine map (`core.training.host_file`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from core.allocator import give_back, large_blocks_apart
from core.models.regional import is_compiled
from core.training.host_file import HostFile
from core.training.objective import Objective

PRECISION = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
"""Whole weights have the dtype of their parts, and gradients of half ones are summed in float32."""
SMALLEST_BLOCK = 0.002
"""Of a model's weights; a layer that is smaller is not worth a message of its own."""


class Sharding:
    """The models of a training, split among the processes of a mesh (one dimension); they are changed in place.

    twins: make of each a copy that is split as it is (`twins`, in the models' order), whose weights are float32 where the model's are
    half. Raises ValueError for a model whose weights are of several dtypes, and for one that is compiled.
    """

    def __init__(self, models: Sequence[nn.Module], mesh: DeviceMesh, twins: bool = False) -> None:
        self.mesh = mesh
        if mesh.device_type == "cpu":
            large_blocks_apart()
        shapes = [hollow(model) for model in models]
        units = [_split(model, mesh) for model in models]
        self.twins = [copy.deepcopy(shape) for shape in shapes] if twins else []
        for twin, model in zip(self.twins, models, strict=False):
            units.append(_split(twin, mesh))
            _fill(twin, model)
        self.models = [*models, *self.twins]
        self._hollow = {id(model): shape for model, shape in zip(self.models, shapes * 2, strict=False)}
        self._units = [unit for each in units for unit in each]
        self._step = _Step(self.models)
        fully_shard(self._step, mesh=mesh)
        pairs = {unit: _leaves(unit) for unit in self._units}
        self.leaves = {id(own): whole for each in pairs.values() for own, whole in each}
        self._outer = [pair for model in self.models for pair in pairs[model]]
        self._versions: list[int] = []  # of the whole weights outside of blocks, when they were put together
        give_back()

    def forward(self, step: Callable[[], Sequence[Objective]]) -> Sequence[Objective]:
        """What the step gives, with the models in a state to be used."""
        objectives: list[Objective] = []

        def losses() -> list[Tensor]:
            self.gather()
            objectives.extend(replace(each, loss=_no_view(self._step, (), each.loss)) for each in step())
            return [each.loss for each in objectives]

        self._step(losses)
        return objectives

    def gather(self) -> None:
        """Put the weights outside of blocks together; all processes must."""
        for model in self.models:
            _fsdp(model).unshard()
        self._versions = self._versions or [whole._version for _, whole in self._outer]

    @torch.no_grad()
    def release(self) -> None:
        """Let go of whole weights, before an optimizer changes the parts. What a forward pass changed in one by itself (a
        codebook that revives its codes) is kept."""
        for (own, whole), version in zip(self._outer, self._versions, strict=False):
            if whole._version != version and isinstance(own, DTensor):
                changed = distribute_tensor(whole.detach(), self.mesh, own.placements, src_data_rank=None)
                own.to_local().copy_(changed.to_local())
        self._versions = []
        for model in self.models:
            _fsdp(model).reshard()

    @contextmanager
    def released(self) -> Iterator[None]:
        """While inside, the models' parameters are their parts, in the middle of a step too."""
        self.release()
        yield
        self.gather()

    def whole(self, value: Any) -> Any:
        """A value that holds these models, alone, in lists, in dicts or within other models, with plain copies in their
        place, in eval mode without gradients, on the first process; any other value, and on the others any, as it is. All processes
        must ask, in the same order."""
        if isinstance(value, dict):
            return {key: self.whole(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.whole(item) for item in value]
        if not isinstance(value, nn.Module):
            return value
        within = [module for module in value.modules() if id(module) in self._hollow]
        if not within:
            return value
        if self.mesh.get_local_rank() > 0:
            for model in within:
                for parameter in model.parameters():
                    _full(parameter)
            return value
        copies = {id(module): self._plain(module, _gathered(module)) for module in within}
        if id(value) in copies:
            return copies[id(value)]
        others = {id(p): p for p in (*value.parameters(), *value.buffers())}
        return copy.deepcopy(value, cast("dict[int, Any]", others | copies)).eval()

    def ended(self) -> dict[int, nn.Module]:
        """By the id of each model a plain one in its place, in eval mode without gradients; all processes must ask. No step may
        follow. The weights are on the CPU, mapped from a file (`HostFile`); where none can be written, each process holds them."""
        with suppress(OSError):
            file = HostFile(self.mesh.get_group())
            places = {id(p): file.add(_full(p)) for model in self.models for p in model.parameters()}
            file.share()
            mapped = {key: place() for key, place in places.items()}
            return {id(model): self._plain(model, mapped) for model in self.models}
        return {id(model): self._plain(model, _gathered(model)) for model in self.models}

    def _plain(self, model: nn.Module, weights: Mapping[int, Tensor]) -> nn.Module:
        """A model of the same class. weights: whole ones, by the id of the part of each."""
        plain = copy.deepcopy(self._hollow[id(model)])
        whole = {key: nn.Parameter(weight, requires_grad=False) for key, weight in weights.items()}
        _assign(plain, {name: whole[id(own)] for name, own in model.named_parameters(remove_duplicate=False)})
        for mine, current in zip(plain.buffers(), model.buffers(), strict=True):
            mine.copy_(current)
        return plain.eval().requires_grad_(False)


class _Step(nn.Module):
    """All models as one, whose forward pass is a step's: FSDP2's outermost module."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, losses: Callable[[], list[Tensor]]) -> list[Tensor]:
        """The losses of a step (scalars)."""
        return losses()


def hollow(model: nn.Module) -> nn.Module:
    """A copy of a model with its buffers and without its weights, which are on the meta device."""
    weights = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, cast("dict[int, Any]", weights))


def blocks(model: nn.Module) -> list[nn.Module]:
    """The parts of a model that repeat: the outermost modules of the classes that its lists hold (`nn.ModuleList`), without
    small ones and those that share weights with others."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList | nn.ModuleDict)]
    repeated = {type(item) for each in lists for item in each.children()} - {nn.ModuleList, nn.ModuleDict}
    found = list(_outermost(model, repeated))
    holders: dict[int, set[nn.Module | None]] = {}
    inside = {id(module): block for block in found for module in block.modules()}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), set()).add(inside.get(id(module)))
    tied = {block for together in holders.values() if len(together) > 1 for block in together}
    least = SMALLEST_BLOCK * _size(model)
    return [block for block in found if block not in tied and _size(block) > least]


def _outermost(module: nn.Module, classes: set[type]) -> Iterator[nn.Module]:
    for child in module.children():
        if type(child) in classes:
            yield child
        else:
            yield from _outermost(child, classes)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _split(model: nn.Module, mesh: DeviceMesh) -> list[nn.Module]:
    """Split a model, block by block; gives its units, the model itself the last."""
    if len(kinds := {parameter.dtype for parameter in model.parameters()}) > 1:
        told = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise ValueError(f"a {type(model).__name__} whose weights are {told} cannot be sharded; give them one dtype")
    if is_compiled(model):
        raise ValueError(
            f"a {type(model).__name__} that is compiled cannot be sharded: what is compiled block by block would hold the code that puts "
            "a block's weights together, which cannot be; leave out the compiling (--compile, compile_model), or let each process hold"
            " whole models"
        )
    units = blocks(model)
    for unit in (*units, model):
        unit.register_forward_hook(_no_view)
    for unit in units:
        fully_shard(unit, mesh=mesh, mp_policy=PRECISION)
    fully_shard(model, mesh=mesh, reshard_after_forward=False, mp_policy=PRECISION)
    _fsdp(model).set_reshard_after_backward(False, recurse=False)
    return [*units, model]


@torch.no_grad()
def _fill(twin: nn.Module, model: nn.Module) -> None:
    """Give a hollow copy that was split the parts of the model's weights."""
    half = (torch.float16, torch.bfloat16)
    parts = {
        id(own): nn.Parameter(own.detach().float() if own.dtype in half else own.detach().clone(), requires_grad=False)
        for own in model.parameters()
    }
    _assign(twin, {name: parts[id(own)] for name, own in model.named_parameters(remove_duplicate=False)})


def _assign(model: nn.Module, weights: dict[str, nn.Parameter]) -> None:
    """Put these in the place of a model's weights; those that are one stay one."""
    model.load_state_dict(weights, strict=False, assign=True)


def _gathered(model: nn.Module) -> dict[int, Tensor]:
    """Whole copies of a model's weights, by the id of each."""
    return {id(own): _full(own) for own in model.parameters()}


def _no_view(module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG001 - as hooks are called
    """FSDP2 listens at what a unit gives; of a view, an in-place change by whoever gets it would lose that."""
    return output.clone() if isinstance(output, Tensor) and output._base is not None else output


@torch.no_grad()
def _full(parameter: nn.Parameter) -> Tensor:
    """A copy of a whole weight, which all processes make together where it is split."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach().clone()


def _fsdp(module: nn.Module) -> FSDPModule:
    return cast(FSDPModule, module)


def _leaves(unit: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """A unit's own parameters, each with the whole one that takes its place while they are put together. FSDP2 keeps it."""
    places = [(module, name) for module in unit.modules() for name, p in module._parameters.items() if p is not None]
    parts = [module.get_parameter(name) for module, name in places]
    _fsdp(unit).unshard()
    wholes = [module.get_parameter(name) for module, name in places]
    _fsdp(unit).reshard()
    return [(part, whole) for part, whole in zip(parts, wholes, strict=True) if part is not whole]
