"""Where the nodes of shipped workflows lie: `python -m ui.layouts`, after one of them or the size of a node changed.

The page's own layout (ui/web/tools) places them and folds their setup; no browser is needed. Other files follow as arguments.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from graph_runner.base.files import write_atomically
from graph_runner.catalog.describe import describe_all
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import load, write
from hatch_build import install, npm

ROOT = Path(__file__).resolve().parents[1]


def lay_out(files: list[Path]) -> None:
    """Write places for all nodes into these workflow files."""
    install()
    with TemporaryDirectory() as folder:
        catalog = Path(folder) / "catalog.json"
        catalog.write_text(json.dumps(describe_all(Registry.installed().values())))
        copies = {file: Path(folder) / f"{number}.json" for number, file in enumerate(files)}
        for file, copy in copies.items():
            copy.write_bytes(file.read_bytes())
        npm("run", "--silent", "layouts", "--", str(catalog), *map(str, copies.values()))
        for file, copy in copies.items():
            write_atomically(file, write(load(copy)).encode())


if __name__ == "__main__":
    lay_out([Path(name).resolve() for name in sys.argv[1:]] or sorted((ROOT / "workflows").glob("*.json")))
