"""A training's state taken over by one with other settings: what was changed counts, all else is as it was.

An optimizer's groups hold settings (weight decay, betas) and, with some optimizers, numbers that move (Prodigy's step size,
the step count of schedule-free ones). A state also says which settings its optimizers were made with. So those that are others
now are the new ones, and the rest is restored. Moments go by the names of their parameters, so that groups may be cut otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.parts import all_split_as
from core.training.states import split

Settings = list[dict[str, Any]]
"""The settings of an optimizer's groups."""
OF_PARAMETERS = ("params", "param_names")


def settings(optimizer: torch.optim.Optimizer) -> Settings:
    """What an optimizer's groups are set to, without the parameters."""
    return [
        {key: value for key, value in group.items() if key not in OF_PARAMETERS} for group in optimizer.param_groups
    ]


def begin_with(models: Mapping[str, nn.Module], state: Mapping[str, Any]) -> list[str]:
    """Give models the weights that those of the same names had in a training (`Trainer.state_dict`): the best ones, where it measured any.

    Returns the names that it does not have. Raises ValueError where it has none of them, or has others under these names.
    """
    weights = state.get("best", state)["models"]
    common = {name: model for name, model in models.items() if name in weights}
    if not common:
        raise ValueError(f"it trained {', '.join(weights)}, and here is {', '.join(models)}; give one the same name")
    refuse_others(common, {name: weights[name] for name in common})
    for name, model in common.items():
        model.load_state_dict(all_split_as(weights[name], model.state_dict()))
    return sorted(models.keys() - common.keys())


def refuse_others(models: Mapping[str, nn.Module], stored: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raise ValueError, naming the model and the weight, where stored weights are not those of these models."""
    if models.keys() != stored.keys():
        told = " and ".join(map(repr, sorted(stored)))
        raise ValueError(f"it trained the models {told}, and here they are {' and '.join(map(repr, sorted(models)))}")
    for name, model in models.items():
        own = model.state_dict()
        for key in [*own, *stored[name]]:
            here, there = (_shape(weights.get(key)) for weights in (own, stored[name]))
            if here != there:
                raise ValueError(f"its model {name!r} is another: {key} is {there} there, and {here} here")


def _shape(weight: Tensor | None) -> str:
    if weight is None:
        return "absent"
    return "×".join(map(str, weight.shape)) or "a number"


def refuse_other_objectives(now: Sequence[tuple[str, str]], before: Sequence[Sequence[str]]) -> None:
    """Raise ValueError where other objectives, or optimizers of another kind, trained before; each as (name, kind)."""
    if len(now) != len(before):
        told, here = (", ".join(name for name, _ in each) for each in (before, now))
        raise ValueError(f"the checkpoint was trained by the objectives {told}, and here they are {here}")
    for (name, kind), (_, former) in zip(now, before, strict=True):
        if kind != former:
            raise ValueError(
                f"objective {name!r} was trained by {former}, and here by {kind}, which keeps another state; wire"
                " that optimizer, or begin a training of its own with the saved models"
            )


def restore(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], before: Settings | None) -> None:
    """Give an optimizer that was just made the state of another of its kind. before: what the groups of that one were set to when
    it was made; None where it is not known, and then its settings are restored with the rest."""
    now = settings(optimizer)
    state = split(dict(_by_own_kernels(optimizer, _by_name(optimizer, state))), optimizer)
    optimizer.load_state_dict(dict(state))
    if before is None or len(before) != len(now):
        return
    for group, new, old in zip(optimizer.param_groups, now, before, strict=True):
        group.update({key: value for key, value in new.items() if repr(value) != repr(old.get(key))})


def _by_own_kernels(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state, stepped by the kernels that suit the device the optimizer is on now, not by those of where it was written."""
    groups = []
    for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=False):
        groups.append(saved | {name: group[name] for name in ("fused", "foreach") if name in group})
    return {**state, "param_groups": [*groups, *state["param_groups"][len(groups) :]]}


def _by_name(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state with its moments in the order of this optimizer's parameters, where their groups are others."""
    current = optimizer.state_dict()["param_groups"]
    here, there = _names(current), _names(state["param_groups"])
    if here == there or not (all(here) and all(there)):
        return state
    stored, moments = _numbered(state["param_groups"]), state["state"]
    kept = {number: moments[stored[name]] for name, number in _numbered(current).items() if stored.get(name) in moments}
    return {**state, "state": kept, "param_groups": current}


def _names(groups: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """The names of each group's parameters; none of a group that does not tell."""
    return [group.get("param_names", ()) for group in groups]


def _numbered(groups: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        name: number for group in groups for name, number in zip(group["param_names"], group["params"], strict=True)
    }
