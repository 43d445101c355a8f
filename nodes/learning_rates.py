"""The learning rate over the steps of a training: values for the optimizers' `learning_rate`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.training import learning_rate as schedules
from graph_runner.contract import node
from nodes.wires import LearningRate

Warmup = Annotated[int, Field(ge=0)]
Horizon = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@node(category="learning rate")
def constant_lr(warmup: Warmup = 0) -> LearningRate:
    """The optimizer's learning rate at every step, after a warm-up.

    warmup: steps of linear rise from 0.
    """
    return schedules.Constant(warmup=warmup)


@node(category="learning rate")
def cosine_lr(horizon: Horizon = 10_000, warmup: Warmup = 0, final: Share = 0.0) -> LearningRate:
    """A fall along half a cosine (Loshchilov & Hutter 2017, without restarts).

    horizon: the step at which the fall ends; apart from the zone's steps, so that a longer training can go on.
    warmup: steps of linear rise from 0; the fall begins after them.
    final: where the fall ends, as a share of the optimizer's rate.
    """
    return schedules.Cosine(horizon=horizon, warmup=warmup, final=final)


@node(category="learning rate")
def linear_lr(horizon: Horizon = 10_000, warmup: Warmup = 0, final: Share = 0.0) -> LearningRate:
    """A fall along a straight line.

    horizon: the step at which the fall ends; apart from the zone's steps, so that a longer training can go on.
    warmup: steps of linear rise from 0; the fall begins after them.
    final: where the fall ends, as a share of the optimizer's rate.
    """
    return schedules.Linear(horizon=horizon, warmup=warmup, final=final)


@node(category="learning rate")
def inverse_sqrt_lr(warmup: Warmup = 0, start: Annotated[int, Field(ge=0)] = 0) -> LearningRate:
    """A fall as 1/√step, without an end (Vaswani et al. 2017; Karras et al. 2024).

    warmup: steps of linear rise from 0.
    start: the step from which it falls; 0 for the end of the warm-up.
    """
    return schedules.InverseSquareRoot(warmup=warmup, start=start)


@node(category="learning rate")
def one_cycle_lr(
    horizon: Horizon = 10_000,
    warmup: Annotated[int, Field(ge=1)] = 3000,
    initial: Share = 0.04,
    final: Share = 4e-6,
) -> LearningRate:
    """One rise and one fall, both half a cosine (Smith & Topin 2018); the momentum stays as it is.

    horizon: the step at which the fall ends; apart from the zone's steps, so that a longer training can go on.
    warmup: steps of the rise.
    initial: where the rise begins, as a share of the optimizer's rate.
    final: where the fall ends, as a share of the optimizer's rate.
    """
    return schedules.OneCycle(horizon=horizon, warmup=warmup, initial=initial, final=final)


@node(category="learning rate")
def warm_restarts_lr(
    period: Annotated[int, Field(ge=1)] = 1000,
    growth: Annotated[int, Field(ge=1)] = 2,
    warmup: Warmup = 0,
    final: Share = 0.0,
) -> LearningRate:
    """Falls along half a cosine, one after another (SGDR, Loshchilov & Hutter 2017).

    period: steps of the first fall.
    growth: how many times as long each fall takes as the one before.
    warmup: steps of linear rise from 0, before the first fall.
    final: where each fall ends, as a share of the optimizer's rate.
    """
    return schedules.WarmRestarts(period=period, growth=growth, warmup=warmup, final=final)


@node(category="learning rate")
def step_lr(
    every: Annotated[int, Field(ge=1)] = 1000,
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1,
    warmup: Warmup = 0,
) -> LearningRate:
    """A rate that is multiplied by gamma every so many steps.

    every: steps between two falls, counted from the first step of the training.
    gamma: what is left at each.
    warmup: steps of linear rise from 0.
    """
    return schedules.StepDecay(every=every, gamma=gamma, warmup=warmup)
