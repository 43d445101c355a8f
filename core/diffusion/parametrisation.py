"""What a denoiser predicts: a linear mix of the clean latent and the noise, read back as either.

At z = signal · z0 + noise · eps a prediction is p = a · z0 + b · eps. With z these are two equations for z0 and eps, so that a
parametrisation is its two coefficients (a, b), each a function of the level, and all else follows: the target, both readings,
and how much an error of p weighs against one of z0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

Rate = float | Tensor
"""How much of something is in z: a number, or (b, 1, …, 1), one for each sample."""


class Estimate(NamedTuple):
    """Both readings of one prediction: z = signal · z0 + noise · eps holds exactly."""

    z0: Tensor
    eps: Tensor


@dataclass(frozen=True)
class Parametrisation(ABC):
    """What a denoiser predicts (prediction type). A new one is its `coefficients`."""

    name: ClassVar[str]

    @abstractmethod
    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:
        """(a, b) of a · z0 + b · eps at a level's signal and noise: numbers, or tensors where those are."""

    def determinant(self, signal: Any, noise: Any) -> Any:
        """signal · b − noise · a, of the two equations."""
        on_z0, on_eps = self.coefficients(signal, noise)
        return signal * on_eps - noise * on_z0

    def gain(self, signal: Any, noise: Any) -> Any:
        """The squared error of a prediction for a squared error of 1 in the z0 that it implies, at the same z."""
        return (self.determinant(signal, noise) / noise) ** 2

    def of(self, z0: Tensor, eps: Tensor, signal: Rate, noise: Rate) -> Tensor:
        """The prediction that stands for z0 and eps, (b, …) each: a training's target. In z0's dtype."""
        on_z0, on_eps = self.coefficients(signal, noise)
        if _is(on_z0, 0):
            return _times(on_eps, eps).to(z0.dtype)
        if _is(on_eps, 0):
            return _times(on_z0, z0).to(z0.dtype)
        mixed: Tensor = on_eps * eps + on_z0 * z0
        return mixed.to(z0.dtype)

    def read(self, prediction: Tensor, z: Tensor, signal: Rate, noise: Rate) -> Estimate:
        """z0 and eps of a prediction at z = signal · z0 + noise · eps, (b, …) each, in z's dtype."""
        on_z0, on_eps = self.coefficients(signal, noise)
        if _is(on_z0, 0):
            eps = _over(prediction, on_eps)
            z0 = (z - noise * eps) / signal
        elif _is(on_eps, 0):
            z0 = _over(prediction, on_z0)
            eps = (z - signal * z0) / noise
        else:
            whole = self.determinant(signal, noise)
            z0 = _over(_times(on_eps, z) - noise * prediction, whole)
            eps = _over(signal * prediction - on_z0 * z, whole)
        return Estimate(z0.to(z.dtype), eps.to(z.dtype))

    def from_z0(self, z0: Tensor, z: Tensor, signal: Rate, noise: Rate) -> Tensor:
        """The prediction at z that implies z0, (b, …) each, in z's dtype: inverse of `read` for z0."""
        on_z0, on_eps = self.coefficients(signal, noise)
        if _is(on_eps, 0):
            return _times(on_z0, z0).to(z.dtype)
        return ((_times(on_eps, z) - _times(self.determinant(signal, noise), z0)) / noise).to(z.dtype)

    def change(self, eps: Rate, signal: Rate, noise: Rate) -> Rate:
        """How a prediction changes where the eps that it implies changes by `eps`, at the same z.

        eps: (b, …) or a scalar; signal, noise: scalars, or of shapes that go with it.
        At zero SNR, where z says nothing about z0, it stays as it is.
        """
        on_z0, on_eps = self.coefficients(signal, noise)
        if _is(on_z0, 0):
            return on_eps * eps  # type: ignore[no-any-return]
        return eps * self.determinant(signal, noise) / _nonzero(signal)  # type: ignore[no-any-return]


def _is(coefficient: Any, number: int) -> bool:
    return isinstance(coefficient, float) and coefficient == number


def _times(coefficient: Any, tensor: Tensor) -> Tensor:
    return tensor if _is(coefficient, 1) else tensor * coefficient


def _over(tensor: Tensor, divisor: Any) -> Tensor:
    return tensor if _is(divisor, 1) else tensor / divisor


def _nonzero(signal: Rate) -> Rate:
    if isinstance(signal, Tensor):
        return torch.where(signal == 0, torch.inf, signal)
    return signal or torch.inf


class _Noise(Parametrisation):
    """eps, the noise (Ho et al. 2020)."""

    name = "eps"

    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return 0.0, 1.0


class _Clean(Parametrisation):
    """z0, the clean latent."""

    name = "x0"

    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return 1.0, 0.0


class _VPVelocity(Parametrisation):
    """v = signal · eps − noise · z0, of variance-preserving processes (Salimans & Ho 2022), where signal² + noise² = 1."""

    name = "v"

    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:
        return -noise, signal

    def determinant(self, signal: Any, noise: Any) -> Any:  # noqa: ARG002
        return 1.0

    def gain(self, signal: Any, noise: Any) -> Any:
        return (signal / noise) ** 2 + 1


class _FlowVelocity(Parametrisation):
    """dz/dt = eps − z0 of a straight path from data to noise (Liu et al. 2023, Lipman et al. 2023)."""

    name = "velocity"

    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:  # noqa: ARG002
        return -1.0, 1.0


@dataclass(frozen=True)
class EDMOutput(Parametrisation):
    """F of z0 = c_skip · x + c_out · F (Karras et al. 2022, eq. 7), for z = c_in · x.

    sigma_data: the deviation of the data. F has unit variance at every level, and so do z and what it is trained on.
    """

    name = "F"
    sigma_data: float = 1.0

    def coefficients(self, signal: Any, noise: Any) -> tuple[Any, Any]:
        """What makes z0 = c_skip · x + c_out · F, with x = z / c_in and sigma = noise / signal."""
        return noise / self.sigma_data, -self.sigma_data * signal


EPS, X0, V, VELOCITY = _Noise(), _Clean(), _VPVelocity(), _FlowVelocity()
