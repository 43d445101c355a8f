"""A run's folder, and what it ran in: written down so that it can be made again."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from graph_runner.base.files import write_atomically
from graph_runner.base.home import Home


def new_folder(runs: Path, title: str, home: Home) -> Path:
    """Make a folder for a run, called after the time and what it runs; no other run has it, here or at home."""
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "run"
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    runs.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = runs / (f"{stamp}-{name}" + (f"-{number}" if number > 1 else ""))
        try:
            folder.mkdir()
            if home.claim(folder):
                return folder
            folder.rmdir()
        except FileExistsError:
            pass
        number += 1


def record(folder: Path, workflow: str, device: torch.device, settings: Mapping[str, Any]) -> None:
    """Write down the workflow's text and what it ran in."""
    write_atomically(folder / "workflow.json", workflow.encode())
    environment = {
        **settings,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "packages": _installed(),
    }
    write_atomically(folder / "environment.json", json.dumps(environment, indent=1).encode())


_packages: dict[str, str] = {}


def _installed() -> dict[str, str]:
    """Installed packages and their versions (read once a process: it takes a tenth of a second)."""
    if not _packages:
        _packages.update(sorted((dist.metadata["Name"], dist.version) for dist in distributions()))
    return _packages
