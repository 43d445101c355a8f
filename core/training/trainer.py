"""The trainer: takes the gradients of several objectives, steps their optimizers and averages the weights.

All gradients of a step are taken before any weight changes, and each objective's reach only its own models: that is what
makes two objectives on shared activations a GAN step (Goodfellow et al. 2014), drawn with one discriminator pass.

Where float16 carries gradients, each objective's loss is scaled up by a factor of its own (Micikevicius et al. 2018), and its
gradients down again before they are clipped. Where they overflow, its optimizer does not step: its models, their averages and
the optimizer's state stay as they are, the factor is halved, and the other objectives go on. The step still counts, for the
batches and the learning rates, which go by steps.

Weights that are kept in fewer bytes (`core.layerwise`), or are half by themselves, train as float32: steps are smaller than what
half can tell apart. What is computed in half is autocast's to say, around the calls of the models.

Some optimizers train at other weights than those that are the model: schedule-free ones (Defazio et al. 2024), which say so by
having `eval()` and `train()`. The models have the weights to train at in a step, and those to use at any other time
(`evaluating`, `finish`, and under "models" in the state).

Several processes that share a batch hold whole models each, or parts of them (`core.training.sharding`). In that case the
state holds parts, a body is called through `forward`, and others see what is `whole`.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from core.allocator import give_back
from core.layerwise import widen
from core.models.ema import EMA, Averaging, ExponentialAverage
from core.parts import all_split_as
from core.training.curve import LossCurve
from core.training.gradients import Begin, Gradients, ShardedGradients, WholeGradients
from core.training.objective import Objective
from core.training.optimizers import FACTOR, refuse_split
from core.training.recipe import Recipe
from core.training.restoring import Settings, refuse_other_objectives, refuse_others, restore, settings
from core.training.schedule_free import averaged, parameters, refuse_second_average, stay_averaged, trained_at
from core.training.states import REMEDY, refuse_spoilt, tensors_of

if TYPE_CHECKING:
    from core.training.sharding import Sharding

Mean = Callable[[list[Tensor]], list[Tensor]]


def _alone(tensors: list[Tensor]) -> list[Tensor]:
    return tensors


class Trainer:
    """Owns the optimizers' state of the models it trains, and their averages.

    models: by name; they are changed in place. ema: how their weights are averaged, or the decay of an exponential average
    (0 keeps none). mean: averages losses (any shapes) over processes. begin: the same for gradients, while the backward pass goes
    on; None for a process alone. mesh: the processes among which models, averages and optimizers' states are split. scaled: float16
    carries gradients, so losses are scaled. Its state, with the models', is all that a training needs to go on to the same bits.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        ema: float | Averaging = 0.0,
        mean: Mean = _alone,
        scaled: bool = False,
        begin: Begin | None = None,
        mesh: DeviceMesh | None = None,
    ) -> None:
        self.models = dict(models)
        for model in self.models.values():
            widen(model)
            model.requires_grad_(True)
            model.train()
        averaging = ExponentialAverage(ema) if isinstance(ema, float | int) else ema
        self.mean, self.scaled, self.begin, self.mesh = mean, scaled, begin, mesh
        self.sharding = _sharding([*self.models.values()], mesh, twins=bool(ema))
        twins = dict(zip(self.models, self.sharding.twins, strict=False)) if self.sharding is not None else {}
        averaged = {name: EMA(model, averaging, twins.get(name)) for name, model in self.models.items()} if ema else {}
        self.averages = averaged
        self.steps = 0
        self.curve = LossCurve(mean)
        self._optimizers: list[torch.optim.Optimizer] = []
        self._settings: list[Settings] = []  # of each optimizer, as it was made
        self._shares: list[list[float]] = []  # of each optimizer's groups: what was built, as a share of the peak rate
        self._scalers: list[torch.amp.GradScaler] = []
        self._gradients: list[Gradients] = []
        self._objectives: Sequence[Objective] = ()
        self._restored: dict[str, Any] | None = None  # until the optimizers are made
        self._losses: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @property
    def averaged(self) -> dict[str, nn.Module]:
        """The averaged models by name; without averages, the models themselves."""
        return {name: average.model for name, average in self.averages.items()} or self.models

    def forward(self, body: Callable[[], Sequence[Objective]]) -> Sequence[Objective]:
        """What the body of a step gives."""
        return body() if self.sharding is None else self.sharding.forward(body)

    def accumulate(self, objectives: Sequence[Objective], share: float = 1.0, last: bool = False) -> None:
        """Add `share` of each objective's gradients to this step's. All objectives belong to one graph.

        last: no further part of the step follows, so that gradients may travel as they come.
        """
        if not self._optimizers:
            self._prepare(objectives)
        pulling = [i for i, objective in enumerate(objectives) if objective.loss.requires_grad]
        for i in pulling:
            loss = objectives[i].loss
            weight = torch.full_like(loss, share)
            if self.scaled:
                weight = self._scalers[i].scale(weight)
            self._gradients[i].add(loss, weight, keep_graph=i != pulling[-1], last=last)
        self._objectives = objectives
        for objective in objectives:
            known = self._losses.get(objective.name)
            self._losses[objective.name] = objective.loss.detach() + (0 if known is None else known)
            self._counts[objective.name] = self._counts.get(objective.name, 0) + 1
            self.curve.add(objective.name, objective.loss)

    def step(self) -> None:
        """Step every optimizer that gathered gradients, then the averages."""
        if self.sharding is not None:
            self.sharding.release()
        stepped: dict[int, bool] = {}  # models by id, of the objectives that gathered gradients
        for i, optimizer in enumerate(self._optimizers):
            if not (gradients := self._gradients[i].finish()):
                continue
            own, recipe = self._own(i), Recipe.of(self._objectives[i].optimizer)
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.grad = gradient
            if self.scaled:
                self._scalers[i].unscale_(optimizer)
            recipe.clip(own)
            for group, share in zip(optimizer.param_groups, self._shares[i], strict=True):
                group["lr"] = recipe.learning_rate.lr_at(self.steps, recipe.peak * share * group.get(FACTOR, 1.0))
            moved = self._move(i)
            for model in self._objectives[i].models:
                stepped[id(model)] = moved or stepped.get(id(model), False)
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.curve.stepped()
        for name, average in self.averages.items():
            if stepped.get(id(self.models[name]), True):
                average.update(self.models[name])

    def _move(self, i: int) -> bool:
        """Step one optimizer. Returns False where it did not, because float16 gradients overflowed."""
        if not self.scaled:
            self._optimizers[i].step()
            return True
        scaler = self._scalers[i]
        before = scaler.get_scale()
        scaler.step(self._optimizers[i])
        scaler.update()
        return scaler.get_scale() >= before

    def report(self) -> dict[str, float]:
        """The mean losses of all processes since the last report, each objective's learning rate, what its optimizer measures
        and, where it has one, the scale of its gradients. Raises FloatingPointError for a loss that is no number any more, naming it."""
        means = self.mean([total / self._counts[name] for name, total in self._losses.items()])
        losses = self._finite(zip(self._losses, means, strict=True))
        self._losses, self._counts = {}, {}
        names = [objective.name for objective in self._objectives]
        rates = {}
        for objective, optimizer, (share, *_) in zip(self._objectives, self._optimizers, self._shares, strict=True):
            recipe = Recipe.of(objective.optimizer)
            rates[f"lr/{objective.name}"] = recipe.learning_rate.lr_at(self.steps - 1, recipe.peak * share)
            rates |= {f"{key}/{objective.name}": value for key, value in recipe.measures(optimizer).items()}
        scales = {f"scale/{name}": scaler.get_scale() for name, scaler in zip(names, self._scalers, strict=False)}
        return {f"loss/{name}": loss for name, loss in losses.items()} | rates | scales

    def _finite(self, means: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
        named = dict(means)
        numbers = torch.stack(list(named.values())).tolist() if named else []  # the device is waited for once
        losses = dict(zip(named, numbers, strict=True))
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss of objective {name!r} became {loss} around step {self.steps}; {REMEDY}"
                )
        return losses

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The models in eval mode, with the weights that are to be used, for as long as something looks at them.

        What the training goes on from afterwards is what it was, to the bit: that somebody looked changes nothing.
        """
        for model in self.models.values():
            model.eval()
        try:
            with averaged(self._optimizers):
                yield
        finally:
            for model in self.models.values():
                model.train()

    def whole(self, value: Any) -> Any:
        """A value as it is to be seen on the first process from outside of the steps: plain copies in place of models that are
        split. All processes must ask, in the same order."""
        return value if self.sharding is None else self.sharding.whole(value)

    def finish(self, best: Mapping[str, Any] | None = None) -> None:
        """Leave whole models with the weights that are to be used. No step may follow; the optimizers are let go.

        best: the "models" and "averages" of an earlier `state_dict`, to leave instead of the last ones.
        """
        stay_averaged(self._optimizers)
        if self._restored is not None:  # there was no step left
            for name, model in self.models.items():
                model.load_state_dict(all_split_as(self._restored["models"][name], model.state_dict()))
        if best is not None:
            for name, model in self.models.items():
                model.load_state_dict(all_split_as(best["models"][name], model.state_dict()))
            for name, average in self.averages.items():
                average.load_state_dict(all_split_as(best["averages"][name], average.state_dict()))
        self._restored, self._optimizers, self._gradients = None, [], []
        if self.sharding is None:
            return
        plain = self.sharding.ended()
        self.models = {name: plain[id(model)] for name, model in self.models.items()}
        for average in self.averages.values():
            average.model = plain[id(average.model)]
        self.sharding = None
        gc.collect()  # FSDP2's parts know each other in circles
        give_back()

    def state_dict(self) -> dict[str, Any]:
        """Models, averages, optimizers and the count of steps, in float16 the scales too; for models that train at other
        weights, these too. Raises FloatingPointError where a loss or a weight is no number any more: such a state is not
        worth keeping. Asked of one process, it asks no other."""
        self._finite(self._losses.items())
        if self._restored is not None:
            return self._restored
        others = trained_at(self.models, self._optimizers)
        with averaged(self._optimizers):
            models = {name: dict(model.state_dict()) for name, model in self.models.items()}
            if others:  # the weights themselves go back
                models = {name: {key: value.clone() for key, value in state.items()} for name, state in models.items()}
        state = {
            "steps": self.steps,
            "models": models,
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "made_with": self._settings,
            "objectives": self._kinds(),
            "curve": self.curve.state_dict(),
        }
        if others:
            state["trained_at"] = others
        refuse_spoilt(state, self.steps)
        if self.scaled:
            state["scalers"] = [scaler.state_dict() for scaler in self._scalers]
        return state

    def held(self) -> dict[str, list[Tensor]]:
        """The tensors that stay from step to step, by what they are: "weights", "averages", and "optimizer" for its state."""
        models = [average.model for average in self.averages.values()]
        states = [state for optimizer in self._optimizers for state in optimizer.state.values()]
        return {
            "weights": [each for model in self.models.values() for each in (*model.parameters(), *model.buffers())],
            "averages": [each for model in models for each in (*model.parameters(), *model.buffers())],
            "optimizer": [tensor for state in states for _, tensor in tensors_of(state)],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in a training with other settings (see `core.training.restoring`). Optimizers
        are restored once the first objectives tell what they train. Raises ValueError for other models, naming them."""
        refuse_others(self.models, state["models"])
        self.steps = state["steps"]
        if "curve" in state:
            self.curve.load_state_dict(state["curve"])
        else:
            self.curve.begin_after(self.steps)
        for name, model in self.models.items():
            weights = state["models"][name] | state.get("trained_at", {}).get(name, {})
            model.load_state_dict(all_split_as(weights, model.state_dict()))
        for name, average in self.averages.items():
            new = {"updates": torch.tensor(0)} | state["models"][name]  # it was not averaged before
            known = state["averages"].get(name, new)
            average.load_state_dict(all_split_as(known, average.state_dict()))
        self._restored = state

    def _kinds(self) -> list[tuple[str, str]]:
        """The objectives' names, and the kinds of their optimizers."""
        kinds = (type(optimizer).__name__ for optimizer in self._optimizers)
        return list(zip((objective.name for objective in self._objectives), kinds, strict=False))

    def _own(self, i: int) -> list[nn.Parameter]:
        return parameters(self._optimizers[i])

    def _prepare(self, objectives: Sequence[Objective]) -> None:
        """Make the optimizers, now that the objectives say what they train."""
        if not objectives:
            raise ValueError("there is no objective: wire at least one into the zone's results")
        with nullcontext() if self.sharding is None else self.sharding.released():
            made = [self._made(objective) for objective in objectives]
        for optimizer, recipe in made:
            self._optimizers.append(optimizer)
            self._settings.append(settings(optimizer))
            peak = recipe.peak or 1.0
            self._shares.append([group.get("lr", peak) / peak for group in optimizer.param_groups])
            own = parameters(optimizer)
            self._gradients.append(
                WholeGradients(own, self.begin)
                if self.sharding is None
                else ShardedGradients(own, self.sharding.leaves)
            )
            if self.scaled:
                self._scalers.append(torch.amp.GradScaler(parameters(optimizer)[0].device.type))
        refuse_second_average(self._optimizers, [each.name for each in objectives], bool(self.averages))
        restored = self._restored or {}
        if "objectives" in restored:
            self._objectives = objectives
            refuse_other_objectives(self._kinds(), restored["objectives"])
        before = restored.get("made_with") or [None] * len(self._optimizers)
        for optimizer, state, known in zip(self._optimizers, restored.get("optimizers", ()), before, strict=False):
            restore(optimizer, state, known)
        for scaler, state in zip(self._scalers, restored.get("scalers", ()), strict=False):
            scaler.load_state_dict(state)
        self._restored = None

    def _made(self, objective: Objective) -> tuple[torch.optim.Optimizer, Recipe]:
        """The optimizer of an objective. Raises ValueError, naming the objective, where it cannot be made."""
        names = {id(model): name for name, model in self.models.items()}
        for model in objective.models:
            if id(model) not in names:
                raise ValueError(
                    f"objective {objective.name!r} trains a {type(model).__name__} that the zone does not carry;"
                    " wire the zone's own models into it"
                )
        try:
            recipe = Recipe.of(objective.optimizer)
            if self.sharding is not None:
                refuse_split(recipe.optimizer)
            # The order of the wires, so that a restored state meets its weights.
            return recipe.make({names[id(model)]: model for model in objective.models}), recipe
        except (TypeError, ValueError) as error:
            raise ValueError(f"objective {objective.name!r}: {error}") from error


def _sharding(models: Sequence[nn.Module], mesh: DeviceMesh | None, twins: bool) -> Sharding | None:
    if mesh is None:
        return None
    from core.training.sharding import Sharding  # FSDP2 takes seconds to import

    return Sharding(models, mesh, twins)
