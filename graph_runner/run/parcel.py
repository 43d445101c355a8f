"""Values as bytes, between the processes of one run.

They are pickled, as torch saves them: what lies on an accelerator can be opened where there is none. Only what this very run sent
is ever opened so; files that people open are read otherwise (`graph_runner.store.folders`).
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch


def packed(value: Any) -> bytes:
    """A value as bytes. Raises ValueError, in a sentence, for one that cannot be sent."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"it cannot be sent to another process: {error}") from error
    return buffer.getvalue()


def opened(parcel: bytes) -> Any:
    """The value, on the CPU."""
    return torch.load(io.BytesIO(parcel), map_location="cpu", weights_only=False)
