"""Devices by name."""

from __future__ import annotations

from typing import Any

import torch


def choose_device(name: str) -> torch.device:
    """A device by name, of any kind that PyTorch knows; "auto" takes a GPU where there is one. Raises ValueError where it is absent."""
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        name = "cpu" if found is None else found.type
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device called {name!r}; it can be auto, cpu, cuda, cuda:N or mps") from error
    try:
        kind: Any = torch.get_device_module(device)
        count = kind.device_count() if kind.is_available() else 0
    except (AttributeError, RuntimeError):  # a kind that this PyTorch has no backend for, or one that holds no numbers
        count = 0
    if not count:
        raise ValueError(f"no {device.type.upper()} device is here; use --device cpu, or --device auto")
    if (device.index or 0) >= count:
        raise ValueError(f"there is no {name}: the last {device.type.upper()} device is {device.type}:{count - 1}")
    return device
