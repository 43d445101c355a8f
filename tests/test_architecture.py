"""What holds the house together: which folder may import which, how long a file may grow, that sources name no registry."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("core", "graph_runner", "nodes", "ui", "tests", "benchmarks", "docs", "workflows")
LONGEST = 500
NOT_OURS = {"node_modules", "dist", "__pycache__"}


def files(*suffixes: str) -> Iterator[Path]:
    """Our own files; what is installed or built below ui/web is not ours."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in suffixes)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes and not NOT_OURS & set(path.parts):
                yield path


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found = set()
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            found.add(item.module)
    return found


def test_the_arrows_between_folders() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


FORMAT = {"graph_runner.base.names", "graph_runner.base.problems", "graph_runner.format.wires", "graph_runner.format.workflow"}  # fmt: skip
"""What those see, too, who write workflows: their form, and how what is wrong is told."""


def test_nodes_see_of_the_engine_only_its_contract() -> None:
    for path in (ROOT / "nodes").rglob("*.py"):
        engine = {name for name in imported(path) if name.partition(".")[0] == "graph_runner"}
        writes = path.parent.name == "comfyui"
        assert engine <= {"graph_runner.contract", "graph_runner.context"} | (FORMAT if writes else set()), path


def test_no_file_is_longer_than_one_sitting() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py")}
    assert len(lengths) > 100
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_where_packages_come_from_is_the_machines_business() -> None:
    """Nothing that tells an installer what to install says where from."""
    texts = [ROOT / name for name in ("constraints.txt", "pyproject.toml", "loom", "hatch_build.py", "Makefile")]
    texts += [path for path in (ROOT / ".ci").iterdir() if path.is_file()]
    texts += [path for name in ("package.json", ".npmrc") for path in (ROOT / "ui" / "web").glob(name)]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path
        assert not [option for option in ("index-url", "find-links", "trusted-host") if option in text], path
    for path in (ROOT / "ui" / "web").glob("package-lock.json"):
        packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
        assert {name for name, package in packages.items() if "resolved" in package} == set()


def test_every_dependency_is_pinned() -> None:
    """What pyproject.toml asks for has one version in constraints.txt, and one that suits."""
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    for requirement in map(Requirement, asked):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} has no version in constraints.txt"
        assert requirement.specifier.contains(pinned), f"{requirement}, and constraints.txt says {pinned}"
