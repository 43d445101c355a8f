"""Optimizers besides AdamW, and which parameters they treat how. The zone that trains owns what they build, and its state."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from core.training import optimizers
from core.training.learning_rate import Constant
from core.training.muon import Muon
from core.training.recipe import Clip, Frozen, Group, Recipe
from graph_runner.contract import Neutral, node
from nodes.wires import LearningRate, Optimizer

Rate = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Small = Annotated[float, Field(gt=0)]
Limit = Annotated[float, Field(ge=0)]
State = Annotated[optimizers.State, Neutral("float32")]
Patterns = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=1000)]


def _recipe(optimizer: optimizers.Optimizer, learning_rate: LearningRate | None, clip: float) -> Recipe:
    return Recipe(optimizer, learning_rate or Constant(), clip=Clip(norm=clip))


@node(category="optimizers", words=("optimizer",))
def sgd(
    learning_rate: LearningRate | None = None,
    lr: Annotated[float, Field(gt=0, le=100)] = 1e-2,
    momentum: Decay = 0.9,
    nesterov: bool = False,
    weight_decay: Limit = 0.0,
    clip: Limit = 0.0,
    state: State = "float32",
) -> Optimizer:
    """Settings of stochastic gradient descent with momentum (Polyak 1964; Sutskever et al. 2013).

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: peak learning rate.
    momentum: decay of the gradients' running sum.
    nesterov: look ahead along it.
    weight_decay: added to the gradients, times the weights.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    state: what the running sum is kept in; bfloat16 takes half the memory, and rounds it at random, right on average.
    """
    return _recipe(optimizers.SGD(lr, momentum, nesterov, weight_decay, state), learning_rate, clip)


@node(category="optimizers")
def adafactor(
    learning_rate: LearningRate | None = None,
    lr: Rate = 1e-2,
    beta2_decay: Annotated[float, Field(le=0)] = -0.8,
    clip_threshold: Annotated[float, Field(ge=1)] = 1.0,
    weight_decay: Limit = 0.0,
    clip: Limit = 0.0,
) -> Optimizer:
    """Settings of Adafactor (Shazeer & Stern 2018), which keeps next to nothing in memory for matrices.

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: the step relative to the weights' own size; at most 1/√step too.
    beta2_decay: the running square keeps 1 − step^beta2_decay.
    clip_threshold: the largest root mean square of an update.
    weight_decay: decoupled weight decay.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    """
    return _recipe(optimizers.Adafactor(lr, beta2_decay, clip_threshold, weight_decay), learning_rate, clip)


@node(category="optimizers")
def muon(
    learning_rate: LearningRate | None = None,
    lr: Rate = 1e-3,
    momentum: Decay = 0.95,
    nesterov: bool = True,
    weight_decay: Limit = 0.01,
    iterations: Annotated[int, Field(ge=1, lt=100)] = 5,
    adamw: Patterns = [],  # noqa: B006
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Small = 1e-8,
    clip: Limit = 0.0,
) -> Optimizer:
    """Settings of Muon (Jordan et al. 2024): orthogonal steps for matrices and convolutions, AdamW's for all else.

    Muon's steps are scaled to the size of AdamW's (Liu et al. 2025), so that both go by one rate. Embeddings are AdamW's.

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: peak learning rate of both.
    momentum: decay of the gradients' running mean, for Muon.
    nesterov: look ahead along it.
    weight_decay: decoupled weight decay of both.
    iterations: Newton-Schulz steps by which a matrix is made orthogonal.
    adamw: name patterns of matrices that AdamW steps too, such as *.out.* for a UNet's last layer.
    beta1: decay of the gradients' running mean, for AdamW.
    beta2: decay of their running square.
    eps: added to the root of the running square.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    """
    recipe = _recipe(Muon(lr, momentum, nesterov, weight_decay, iterations, beta1, beta2, eps), learning_rate, clip)
    own = {"muon": False}
    embeddings = Group(("Embedding.weight",), settings=own, required=False)
    return replace(recipe, groups=(embeddings, Group(tuple(adamw), settings=own)))


@node(category="optimizers")
def lion(
    learning_rate: LearningRate | None = None,
    lr: Rate = 1e-5,
    beta1: Decay = 0.9,
    beta2: Decay = 0.99,
    weight_decay: Limit = 0.1,
    clip: Limit = 0.0,
    state: State = "float32",
) -> Optimizer:
    """Settings of Lion (Chen et al. 2023), whose steps are signs. It needs the package pytorch-optimizer.

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: peak learning rate, three to ten times smaller than AdamW's.
    beta1: how much of the running mean a step's direction is.
    beta2: decay of the gradients' running mean.
    weight_decay: decoupled weight decay, three to ten times larger than AdamW's.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    state: what the running mean is kept in; bfloat16 takes half the memory, and rounds it at random, right on average.
    """
    return _recipe(optimizers.Lion(lr, beta1, beta2, weight_decay, state), learning_rate, clip)


@node(category="optimizers")
def prodigy(
    learning_rate: LearningRate | None = None,
    lr: Annotated[float, Field(gt=0, le=100)] = 1.0,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Small = 1e-8,
    weight_decay: Limit = 0.0,
    d0: Small = 1e-6,
    d_coef: Small = 1.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    clip: Limit = 0.0,
) -> Optimizer:
    """Settings of Prodigy (Mishchenko & Defazio 2024): Adam that finds its own step size. It needs pytorch-optimizer.

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: factor of the step size that is found; 1 as a rule.
    beta1: decay of the gradients' running mean.
    beta2: decay of their running square.
    eps: added to the root of the running square.
    weight_decay: decoupled weight decay.
    d0: the first step size, from which it grows.
    d_coef: factor of the estimate; larger values dare more.
    bias_correction: as Adam has it.
    safeguard_warmup: leave the rate out of the estimate; for a training with a warm-up.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    """
    settings = optimizers.Prodigy(lr, beta1, beta2, eps, weight_decay, d0, d_coef, bias_correction, safeguard_warmup)
    return _recipe(settings, learning_rate, clip)


@node(category="optimizers")
def schedule_free_adamw(
    learning_rate: LearningRate | None = None,
    lr: Rate = 2.5e-3,
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.9,
    beta2: Decay = 0.999,
    eps: Small = 1e-8,
    weight_decay: Limit = 0.0,
    clip: Limit = 0.0,
) -> Optimizer:
    """Settings of schedule-free AdamW (Defazio et al. 2024), whose averaged weights are the model. It needs pytorch-optimizer.

    What runs each n steps, results, checkpoints and what is saved have the averaged weights; the zone's own ema must be 0.

    learning_rate: how lr changes over the steps: a warm-up, and no fall.
    lr: peak learning rate, one to ten times AdamW's.
    beta1: how much of the averaged weights there is where gradients are taken.
    beta2: decay of the gradients' running square.
    eps: added to the root of the running square.
    weight_decay: decoupled weight decay.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    """
    return _recipe(optimizers.ScheduleFreeAdamW(lr, beta1, beta2, eps, weight_decay), learning_rate, clip)


@node(category="optimizers", words=("adamw 8bit", "bitsandbytes"))
def adam_8bit(
    learning_rate: LearningRate | None = None,
    lr: Rate = 1e-4,
    beta1: Decay = 0.9,
    beta2: Decay = 0.999,
    eps: Small = 1e-8,
    weight_decay: Limit = 0.01,
    clip: Limit = 0.0,
) -> Optimizer:
    """Settings of AdamW with its state in 8 bits, a quarter of the memory (Dettmers et al. 2022). It needs bitsandbytes.

    learning_rate: how lr changes over the steps; without it, it stays.
    lr: peak learning rate.
    beta1: decay of the gradients' running mean.
    beta2: decay of their running square.
    eps: added to the root of the running square.
    weight_decay: decoupled weight decay.
    clip: the largest norm of the objective's gradients; 0 for no limit.
    """
    return _recipe(optimizers.Adam8bit(lr, beta1, beta2, eps, weight_decay), learning_rate, clip)


@node(category="optimizers")
def parameter_group(
    optimizer: Optimizer,
    patterns: Patterns,
    lr: Annotated[float, Field(gt=0, le=1000)] = 1.0,
    weight_decay: Annotated[float, Field(ge=0)] | None = None,
) -> Optimizer:
    """The same optimizer with settings of their own for some parameters: no weight decay on norms and biases, a smaller rate.

    optimizer: any; several groups are wired one after another.
    patterns: name patterns of the parameters, such as *attn2* or *.bias, or with the layer's class, such as *Norm.*.
    lr: factor of the learning rate.
    weight_decay: instead of the optimizer's; empty for the same.
    """
    recipe = Recipe.of(optimizer)
    settings = {} if weight_decay is None else {"weight_decay": weight_decay}
    return replace(recipe, groups=(*recipe.groups, Group(tuple(patterns), lr, settings)))


@node(category="optimizers")
def freeze(optimizer: Optimizer, patterns: Patterns, all_but: bool = False) -> Optimizer:
    """The same optimizer, by which some parameters are not trained: only the cross-attentions, all but the norms.

    optimizer: any.
    patterns: name patterns of the parameters, such as *attn2* or *.bias, or with the layer's class, such as *Norm.*.
    all_but: freeze all others instead, and train what the patterns match.
    """
    recipe = Recipe.of(optimizer)
    return replace(recipe, frozen=(*recipe.frozen, Frozen(tuple(patterns), all_but)))


@node(category="optimizers")
def clip_gradients(optimizer: Optimizer, norm: Limit = 0.0, value: Limit = 0.0) -> Optimizer:
    """The same optimizer with other limits of its gradients.

    optimizer: any.
    norm: the largest norm of the objective's gradients; 0 for no limit.
    value: the largest gradient of each single weight, before the norm is taken; 0 for no limit.
    """
    return replace(Recipe.of(optimizer), clip=Clip(norm, value))
