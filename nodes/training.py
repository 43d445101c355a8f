"""Training as a graph: the zone whose body is one step, what a step optimises, and with what.

Other optimizers than AdamW are in `nodes.optimizers`, schedules of their rates in `nodes.learning_rates`.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Annotated, Generic, Literal, NamedTuple, Protocol, TypeVar, cast

import torch
from pydantic import Field
from torch import nn

from core.data.stream_batches import batches_of
from core.data.transfer import on_device
from core.models.ema import PowerAverage
from core.training.best import Best
from core.training.learning_rate import by_name
from core.training.objective import Objective as _Objective
from core.training.optimizers import AdamW, State
from core.training.recipe import Clip, Recipe
from core.training.restoring import begin_with
from core.training.state import TrainingState
from core.training.trainer import Trainer
from graph_runner.context import Device, Dtype, Loop, Metrics, Processes, Rng, Tell, TrainedState
from graph_runner.contract import Body, Checkpoint, Lighter, Neutral, Ports, RunOrCheckpoint, Unkeyed, node
from nodes.wires import Averaging, Batch, LearningRate, Loss, Objective, Optimizer, Table, TrainingData

M = TypeVar("M", bound=nn.Module)


class TrainingStep(Protocol):
    """One training step: the batch, the step's number, the models and their averages in, objectives out."""

    def __call__(self, batch: Batch, step: int, models: Ports[M], ema: Ports[M]) -> list[Objective]:
        """The objectives of this batch."""
        ...


class Trained(NamedTuple, Generic[M]):
    """The trained models, the averages of their weights, and the losses on the way."""

    models: Ports[M]
    ema: Ports[M]
    curve: Table


@node(
    category="training",
    keep=True,
    trains=True,
    mutates=("models",),
    continues="steps",
    continues_from="continue_from",
    words=("trainer", "fine-tune", "fit", "training loop"),
)
def train(
    body: Body[TrainingStep],
    data: TrainingData,
    models: Ports[M],
    loop: Loop,
    rng: Rng,
    metrics: Metrics,
    processes: Processes,
    device: Device,
    dtype: Dtype,
    tell: Tell,
    trained: TrainedState,
    steps: Annotated[int, Field(ge=0, le=10**9)] = 1000,
    batch_size: Annotated[int, Field(ge=1, le=2**20), Lighter()] = 32,
    accumulate: Annotated[int, Field(ge=1, le=2**16)] = 1,
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    averaging: Averaging | None = None,
    workers: Annotated[int, Field(ge=0, le=1024), Unkeyed()] = 0,
    log_every: Annotated[int, Field(ge=1), Unkeyed()] = 10,
    continue_from: Annotated[Checkpoint, Neutral("")] = "",
    warm_start: Annotated[RunOrCheckpoint, Neutral("")] = "",
) -> Trained[M]:
    """Train copies of models; the nodes inside are one step, from the batch to the objectives.

    All objectives' gradients are taken before any optimizer steps, and each reaches only its own models, so that two
    objectives make a GAN step. A killed or stopped training goes on where it stood, to the same bits; more steps go on
    from fewer. Averages follow Rombach et al. 2022 (decay min(ema, (1 + n)/(10 + n))). In float16 each objective's gradients
    are scaled; where they overflow, its models stay as they are for that step. A loss or a weight that is no number any more
    ends the training, and is never kept. What early_stopping inside measures may end it before, and then the best models are given.

    The curve is a table of the mean losses: a row for each step, and where there are many one for several.

    data: the samples; batches are drawn from it epoch after epoch, in an order keyed by the seed. Where a stream stands is a
        part of the checkpoint.
    models: named models; inside they are read as models.NAME, and their averages as ema.NAME.
    steps: optimizer steps.
    batch_size: samples of one micro-batch, over all processes.
    accumulate: micro-batches whose gradients make one step.
    ema: decay of the weights' moving average; 0 keeps none, and ema.NAME is the model itself.
    averaging: another rule of the average, instead of ema.
    workers: processes that prepare batches ahead; the batches are the same.
    log_every: steps between two points of the curves.
    continue_from: a checkpoint to begin at, of a training with other settings (rate, batch size, schedule, data): its models,
        averages, optimizers' state and count of steps are taken over. `--continue RUN` and the canvas' "Go on" set it.
    warm_start: a run, by its name or folder, or a checkpoint, whose models this training begins with (the best ones, where it measured
        any), by their names; steps, optimizers and averages begin anew.
    """
    if averaging is not None and ema:
        raise ValueError(f"ema is {ema}, and an averaging is wired in; set ema to 0, or wire none")
    if warm_start and (before := trained(warm_start)):
        try:
            fresh = begin_with(models, before)
        except ValueError as error:
            raise ValueError(f"cannot begin with {warm_start}: {error}") from error
        if fresh:
            tell(f"{', '.join(fresh)} begins as wired in: {warm_start} has none of that name", "info")
    begin = processes.begin_mean if processes.world > 1 else None
    mesh = processes.mesh(device)
    trainer = Trainer(models, averaging or ema, processes.mean, dtype == torch.float16, begin, mesh)
    rank, world, pinned = processes.rank, processes.world, device.type == "cuda"
    batches = batches_of(data, batch_size, rng.seed, workers=workers, rank=rank, world=world, pinned=pinned)
    best = Best(trainer)
    state = TrainingState(trainer, batches, processes.gather, best)
    stream = None
    try:
        for turn in loop(steps, state, trainer.evaluating, trainer.whole, continue_from, best):
            stream = stream or on_device(batches.iterate(turn * accumulate, steps * accumulate), device)
            for part in loop.micro(accumulate):
                objectives = trainer.forward(partial(body, next(stream), turn, trainer.models, trainer.averaged))
                trainer.accumulate(objectives, 1 / accumulate, last=part == accumulate - 1)
            trainer.step()
            state.stepped(turn)
            if (turn + 1) % log_every == 0 or turn in (0, steps - 1):
                metrics(**trainer.report())
    finally:
        if stream is not None:
            stream.close()
    if best.kept is not None and best.step < trainer.steps:
        tell(f"gives the models of step {best.step}, the best of {trainer.steps} ({best.value:.4g})", "info")
    trainer.finish(best.kept)
    return Trained(cast(dict[str, M], trainer.models), cast(dict[str, M], trainer.averaged), trainer.curve.table())


@node(category="training", words=("loss", "backward"))
def objective(loss: Loss, models: list[M], optimizer: Optimizer, name: str = "loss") -> Objective:
    """Say which loss trains which models, and how: wire it into the training zone's results.

    loss: a scalar; one that carries no gradient leaves the models as they are.
    models: models of the zone around, as train.models.NAME.
    optimizer: settings; the zone owns the state.
    name: what the curve is called.
    """
    return _Objective(loss.float(), tuple(models), optimizer, name)


@node(category="optimizers", words=("adam",))
def adamw(
    learning_rate: LearningRate | None = None,
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-4,
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    eps: Annotated[float, Field(gt=0)] = 1e-8,
    weight_decay: Annotated[float, Field(ge=0)] = 0.01,
    warmup: Annotated[int, Field(ge=0)] = 0,
    decay: Literal["constant", "cosine", "linear"] = "constant",
    horizon: Annotated[int, Field(ge=0)] = 0,
    final: Annotated[float, Field(ge=0, le=1)] = 0.0,
    clip: Annotated[float, Field(ge=0)] = 0.0,
    state: Annotated[State, Neutral("float32")] = "float32",
) -> Optimizer:
    """Settings of AdamW (Loshchilov & Hutter 2019) and of its learning rate.

    learning_rate: how lr changes over the steps, instead of the warm-up and the decay below.
    lr: peak learning rate.
    beta1: decay of the gradients' running mean.
    beta2: decay of their running square.
    eps: added to the root of the running square.
    weight_decay: decoupled weight decay.
    warmup: steps of linear rise from 0.
    decay: how the rate falls after the warm-up.
    horizon: the step at which the fall ends; apart from the zone's steps, so that a longer training can go on.
    final: where the fall ends, as a share of lr.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    state: what the two running means are kept in; bfloat16 takes half the memory, and rounds them at random, right on average.
    """
    if learning_rate is None:
        learning_rate = by_name(decay, warmup, horizon, final)
    elif warmup or decay != "constant":
        raise ValueError("a learning rate is wired in, and warmup or decay is typed in too; leave out one of them")
    return Recipe(AdamW(lr, beta1, beta2, eps, weight_decay, state), learning_rate, clip=Clip(norm=clip))


@node(category="training")
def power_average(sigma_rel: Annotated[float, Field(gt=0, lt=0.2886)] = 0.1) -> Averaging:
    """An average of the weights over a fixed share of the training, however long that is (Karras et al. 2024, section 3).

    sigma_rel: the width of the average's peak as a share of the training; the paper's best are 0.05 to 0.15.
    """
    return PowerAverage(sigma_rel)


@node(category="training", words=("teacher", "distillation"))
def frozen_copy(model: M) -> M:
    """A model as it is now, as a value of its own: a teacher, a prior term, the original that a training must stay close to.

    A zone changes a copy of the models that it carries, and its body cannot read them from outside; it can read this.

    model: any; it stays as it is.
    """
    return copy.deepcopy(model).eval().requires_grad_(False)
