"""How much memory a device has, and how much of it is free, as far as it tells."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

_MEMORY = Path("/proc/meminfo")


class DeviceMemory:
    """The memory of one device, in bytes.

    A backend is asked by the functions that its module has: CUDA's, ROCm's and XPU's have all of them, MPS has names of its own,
    and one that has none tells nothing. The host's is what the system says.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._backend: Any = None if device.type == "cpu" else torch.get_device_module(device)

    def total(self) -> int | None:
        """All that this process can use; None where the device does not tell."""
        if self._backend is None:
            return _of_host("MemTotal", "SC_PHYS_PAGES")
        if hasattr(self._backend, "mem_get_info"):
            return int(self._backend.mem_get_info(self.device)[1])
        if hasattr(self._backend, "recommended_max_memory"):  # MPS
            return int(self._backend.recommended_max_memory())
        return None

    def free(self) -> int | None:
        """What tensors can still get: what nobody has, and what PyTorch holds in reserve. None where the device does not tell."""
        if self._backend is None:
            return _of_host("MemAvailable", "SC_AVPHYS_PAGES")
        if hasattr(self._backend, "mem_get_info"):
            return int(self._backend.mem_get_info(self.device)[0]) + self._reserve()
        if hasattr(self._backend, "recommended_max_memory"):
            return int(self._backend.recommended_max_memory()) - int(self._backend.current_allocated_memory())
        return None

    def used(self) -> int | None:
        """What tensors of this process hold; None where the device does not tell."""
        if hasattr(self._backend, "memory_allocated"):
            return int(self._backend.memory_allocated(self.device))
        if hasattr(self._backend, "current_allocated_memory"):
            return int(self._backend.current_allocated_memory())
        return None

    def limit(self, size: int) -> None:
        """Let PyTorch give out no more than `size` bytes here, where it can be told to."""
        total = self.total()
        if not total or not hasattr(self._backend, "set_per_process_memory_fraction"):
            return
        where = () if self.device.type == "mps" else (self.device,)
        self._backend.set_per_process_memory_fraction(min(1.0, size / total), *where)

    def give_back(self) -> None:
        """Give what PyTorch holds in reserve back to the device."""
        if hasattr(self._backend, "empty_cache"):
            self._backend.empty_cache()

    def _reserve(self) -> int:
        if not hasattr(self._backend, "memory_reserved"):
            return 0
        return int(self._backend.memory_reserved(self.device)) - int(self._backend.memory_allocated(self.device))


def _of_host(name: str, pages: str) -> int | None:
    """A figure of the system: Linux counts what caches would give up as available; elsewhere POSIX has to do."""
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", _MEMORY.read_text())
        if found is not None:
            return int(found[1]) * 1024
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
