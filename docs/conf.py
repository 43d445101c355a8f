"""The documentation as a site: `python -m sphinx -W -b html -c docs . build/site`, with the extra `docs`.

The source folder is the whole repository, so that links between pages lead where they lead in it. The pages are plain Markdown
that reads well anywhere; what only the site needs (tables of contents, the reference of Python) is added here.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import core
import graph_runner
from graph_runner.contract import NodeSpec

ROOT = Path(__file__).resolve().parents[1]

project = "Latent Loom"
author = "The Latent Loom authors"
project_copyright = author
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
include_patterns = ["docs/**", "ui/API.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"]
exclude_patterns = ["docs/conf.py"]
root_doc = "docs/index"
html_theme = "furo"
html_title = f"Latent Loom {release}"
html_static_path: list[str] = []
pygments_style = "friendly"

myst_heading_anchors = 3
myst_enable_extensions = ["smartquotes"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
# JSON with comments, which the page says it is; a type's name (bytes) that attributes have, too.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]

CONTENTS = {
    "Using it": [
        "tutorial",
        "canvas",
        "interactions",
        "workflows",
        "tasks",
        "results",
        "solvers",
        "arithmetic",
        "algorithms",
        "metrics",
        "nodes",
        "workflow-format",
        "zones",
        "tables",
        "training",
        "data",
        "data-larger-than-memory",
        "prompts",
        "model-files",
        "comfyui",
        "performance",
        "scale",
    ],
    "From programs": ["python", "api", "../ui/API", "loggers", "executors"],
    "Extending it": [
        "writing-a-node",
        "writing-a-model",
        "writing-a-denoiser",
        "writing-an-optimizer",
        "writing-a-data-set",
        "reference-of-python",
        "architecture",
        "decisions/index",
    ],
    "About it": [
        "glossary",
        "parity",
        "models",
        "configurations",
        "trust",
        "migration",
        "../SECURITY",
        "../CONTRIBUTING",
        "../CHANGELOG",
    ],
}
PUBLIC = [
    "graph_runner",
    "graph_runner.contract",
    "graph_runner.context",
    "graph_runner.base.events",
    "graph_runner.run.executors",
    "graph_runner.run.loggers",
]
"""Modules that other people's packages may lean on, besides those of `core`."""


def toctree(title: str, pages: list[str]) -> str:
    """A table of contents for the side of the site."""
    lines = "\n".join(pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{lines}\n```\n"


def reference() -> str:
    """The page of all that is public to Python, from its docstrings."""
    modules = [*PUBLIC, *sorted(info.name for info in pkgutil.walk_packages(core.__path__, "core.") if not info.ispkg)]
    parts = ["# Reference of Python\n\nSee [what may be leaned on](python.md#what-may-be-leaned-on).\n"]
    for name in modules:
        options = [":members:"]
        if name in ("graph_runner.contract", "graph_runner.context"):
            options.append(":imported-members:")  # written elsewhere, public here
        directive = [f".. automodule:: {name}", *(f"   {option}" for option in options)]
        if name == "graph_runner":
            directive = [".. automodule:: graph_runner", *(_entry(each) for each in graph_runner.__all__)]
        parts.append("## `{}`\n\n```{{eval-rst}}\n{}\n```\n".format(name, "\n".join(directive)))
    return "\n".join(parts)


def _entry(name: str) -> str:
    kind = "class" if inspect.isclass(getattr(graph_runner, name)) else "function"
    members = "\n   :members: run\n" if name == "Engine" else "\n"
    return f"\n.. auto{kind}:: graph_runner.{name}{members}   :no-index:\n"


def add_what_the_site_needs(app: Any, docname: str, source: list[str]) -> None:  # noqa: ARG001
    """Tables of contents below the index and the decisions."""
    if docname == root_doc:
        source[0] += "".join(toctree(title, pages) for title, pages in CONTENTS.items())
    elif docname == "docs/decisions/index":
        pages = sorted(path.stem for path in (ROOT / "docs" / "decisions").glob("*.md") if path.stem != "index")
        source[0] += toctree("Decisions", pages)
    elif docname == "docs/reference-of-python":
        source[0] = reference()


def as_written(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Our docstrings are plain sentences: names in backquotes, and `name: what it is` for parameters, one a line."""
    written, inside = [], False
    for line in lines:
        text = re.sub(r"([\\*|_])", r"\\\1", line.strip())
        text = re.sub(r"`+([^`]+)`+", lambda found: "``" + found[1].replace("\\", "") + "``", text)
        begins = re.match(r"(\w[\w\\]*(?:, \w[\w\\]*)*): ", text)
        if begins:
            written += ["", f"- **{begins[1]}**: {text[begins.end() :]}"]
        elif text and inside:
            written.append(f"  {text}")
        else:
            written.append(text)
        inside = bool(text) and (bool(begins) or inside)
    lines[:] = [*written, ""]


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:  # noqa: ARG001
    """Leave out what is written once elsewhere: specifications of nodes."""
    return True if isinstance(obj, NodeSpec) else None


def setup(app: Any) -> None:
    """Let the site be built as said above."""
    app.connect("source-read", add_what_the_site_needs)
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-skip-member", skip)
