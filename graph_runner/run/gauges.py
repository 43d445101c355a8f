"""What a profile reads: how much memory is in use, and how long the device itself is at work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import torch

DRAINED = 2048
"""Pairs of device events are waited for when there are so many: each holds a little of the driver's memory."""


class Memory(Protocol):
    """Bytes in use. about: of what, in words."""

    about: str

    def now(self) -> int:
        """In use now."""
        ...

    def peak(self) -> int:
        """The most in use since `reset`."""
        ...

    def reset(self) -> None:
        """Begin anew to look for the most."""
        ...


class AllocatorMemory:
    """What PyTorch's allocator has given out on a GPU."""

    about = "the GPU's allocator"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def now(self) -> int:
        """In use now."""
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        """The most in use since `reset`."""
        return torch.cuda.max_memory_allocated(self.device)

    def reset(self) -> None:
        """Begin anew to look for the most."""
        torch.cuda.reset_peak_memory_stats(self.device)


class ResidentMemory:
    """What the process holds of the host's memory, as Linux tells it. A tensor in memory that was freed before adds nothing."""

    about = "the process' resident memory"
    _status, _clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def now(self) -> int:
        """In use now."""
        return self._read(rb"VmRSS:\s+(\d+) kB")

    def peak(self) -> int:
        """The most in use since `reset`."""
        return self._read(rb"VmHWM:\s+(\d+) kB")

    def reset(self) -> None:
        """Begin anew to look for the most (man 5 proc: 5 resets the peak resident set size)."""
        self._clear.write_text("5")

    def _read(self, pattern: bytes) -> int:
        found = re.search(pattern, self._status.read_bytes())
        if found is None:
            raise OSError(f"{self._status} does not tell")
        return int(found[1]) * 1024


def memory_of(device: torch.device) -> Memory | None:
    """What there is to read for this device; None where the system does not tell."""
    if device.type == "cuda":
        return AllocatorMemory(device)
    resident = ResidentMemory()
    try:
        resident.reset()
        resident.peak()
    except OSError:  # another system, or a container that hides it
        return None
    return resident


class DeviceClock:
    """How long a GPU is at work between two moments on its stream, without waiting for it at each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._pairs: list[tuple[tuple[str, ...], Any, Any]] = []

    def mark(self) -> Any:
        """This moment on the stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def add(self, nodes: tuple[str, ...], begin: Any) -> None:
        """The time since `begin` was these nodes', in equal parts."""
        self._pairs.append((nodes, begin, self.mark()))
        if len(self._pairs) >= DRAINED:
            self.drain()

    def drain(self) -> None:
        """Wait for the device, and add up."""
        torch.cuda.synchronize(self.device)
        for nodes, begin, end in self._pairs:
            for node in nodes:
                spent = begin.elapsed_time(end) / 1000 / len(nodes)
                self.seconds[node] = self.seconds.get(node, 0.0) + spent
        self._pairs.clear()
