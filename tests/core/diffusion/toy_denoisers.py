"""Denoisers with a closed form: the exact predictions for data whose distribution is known."""

import torch

from core.diffusion.schedule import NoiseSchedule

SHAPE = (2, 3, 4, 4)


def two_modes(schedule: NoiseSchedule, mean=1.5, std=0.4):
    """Data are ±m + std·n, m different in each element: a nonlinear denoiser. Works on numbers-as-tensors t (b,)."""
    m = mean * torch.linspace(0.2, 1, 48, dtype=torch.float64).reshape(1, 3, 4, 4)

    def denoise(z, t):
        signal, noise = schedule.rates(t, like=z.double())
        variance = signal**2 * std**2 + noise**2
        mode = torch.tanh(signal * m * z.double() / variance)
        z0 = (signal * std**2 * z.double() + mode * noise**2 * m) / variance
        return schedule.from_z0(z0, z.double(), t).to(z.dtype)

    return denoise


def gaussian(schedule: NoiseSchedule, mean=0.7, std=0.5):
    """Data are N(mean, std²). With it the probability flow has a closed form: see `gaussian_flow`."""

    def denoise(z, t):
        signal, noise = schedule.rates(t, like=z)
        z0 = (signal * std**2 * z + noise**2 * mean) / (signal**2 * std**2 + noise**2)
        return schedule.from_z0(z0, z, t)

    return denoise


def gaussian_flow(z, start, end, mean=0.7, std=0.5):
    """Where the probability flow of `gaussian` takes z from one level to another."""

    def deviation(level):
        return (level.signal**2 * std**2 + level.noise**2) ** 0.5

    return end.signal * mean + (z - start.signal * mean) * deviation(end) / deviation(start)
