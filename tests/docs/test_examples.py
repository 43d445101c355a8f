"""What the documentation shows is true: workflows validate, code runs, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest

from graph_runner.bind.renamed import under_current_names
from graph_runner.bind.validate import validate
from graph_runner.catalog.search import search
from graph_runner.cli import settings
from graph_runner.cli.arguments import COMMANDS, parse
from graph_runner.context import Metrics
from graph_runner.contract import Wire, node
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load, read, write
from graph_runner.run.engine import Engine
from graph_runner.run.loggers import LoggedRun
from tests.docs.pages import PAGES, ROOT, Block, blocks, commands, links

WORKFLOWS = [block for block in blocks("json") if re.match(r'\{\s*"loom"', block.text)]
LESSONS = (
    "writing-a-node.md",
    "writing-a-denoiser.md",
    "writing-a-model.md",
    "writing-an-optimizer.md",
    "writing-a-data-set.md",
    "zones.md",
)
"""Pages whose Python is one program, from the first block to the last."""
PROGRAMS = ("python.md", "loggers.md")
"""Pages whose Python is a program that runs in a folder with the workflows that the page shows, saved as it says."""
OWN = {"test", "canvas", "install"}
"""Commands of the launcher itself."""


@pytest.fixture(scope="module")
def lessons() -> Iterator[dict[str, ModuleType]]:
    """The pages' programs as modules, run."""
    modules = {}
    for page in LESSONS:
        name = "docs_" + page.removesuffix(".md").replace("-", "_")
        module = modules[page] = ModuleType(name)
        sys.modules[name] = module
        for block in blocks("python"):
            if block.page.name == page:
                code = "\n" * (block.line - 1) + block.text  # a failure names the page's line
                exec(compile(code, str(block), "exec"), module.__dict__)
    yield modules
    for module in modules.values():
        del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def registry(lessons: dict[str, ModuleType]) -> Registry:
    return Registry.installed([module.__name__ for module in lessons.values()])


@pytest.mark.parametrize("block", WORKFLOWS, ids=str)
def test_workflows_are_without_problems_and_in_canonical_form(block: Block, registry: Registry) -> None:
    workflow = read(block.text, str(block))
    assert validate(workflow, registry)[1] == []
    assert write(under_current_names(workflow, registry)) == block.text


def test_there_are_workflows() -> None:
    assert len(WORKFLOWS) >= 8


@pytest.mark.parametrize("page", LESSONS)
def test_the_nodes_of_a_lesson_run(page: str, registry: Registry, tmp_path: Path) -> None:
    """Those of its workflows that need no file."""
    ran = 0
    for block in WORKFLOWS:
        if block.page.name == page and "models/" not in block.text:
            assert Engine(registry, tmp_path).run(read(block.text)).status == "done", block
            ran += 1
    assert ran >= 1


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_programs_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved = re.findall(r"saved as `([\w.]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    shown = [block for block in WORKFLOWS if block.page.name == page]
    for name, block in zip(saved, shown, strict=True):
        Path(name).write_text(block.text, encoding="utf-8")
    module = ModuleType("program")
    for block in blocks("python"):
        if block.page.name == page:
            exec(compile("\n" * (block.line - 1) + block.text, str(block), "exec"), module.__dict__)
    if page == "loggers.md":
        measured = {"a": {"type": "number_of_the_page"}, "b": {"type": "tell_it", "wires": {"x": "a"}}}
        nodes = [number_of_the_page.__node__, tell_it.__node__]  # type: ignore[attr-defined]
        run = LoggedRun(tmp_path, tmp_path, Workflow(), {})
        engine = Engine(Registry(nodes), tmp_path)
        engine.run(Workflow.model_validate({"nodes": measured}), listeners=[module.Best(run, number="loss")])
        assert (tmp_path / "best.txt").read_text() == "2.5 at step None\n"


@node(category="documentation")
def number_of_the_page() -> Annotated[float, Wire("number")]:
    """A number."""
    return 2.5


@node(category="documentation", effect=True)
def tell_it(x: Annotated[float, Wire("number")], metrics: Metrics) -> None:
    """Tell a number as a loss."""
    metrics(loss=x)


def test_the_problems_of_the_wrong_example(registry: Registry) -> None:
    wrong = next(block for block in blocks("json5") if block.page.name == "workflow-format.md")
    told = next(block for block in blocks("text") if block.page == wrong.page and block.line > wrong.line)
    problems = validate(read(re.sub(r"\s*//.*", "", wrong.text)), registry)[1]
    assert [str(problem) for problem in problems] == told.text.splitlines()


@pytest.mark.parametrize(
    ("block", "arguments"), [pytest.param(*one, id=f"{one[0]}-{' '.join(one[1])}") for one in commands()]
)
def test_commands_are_understood(block: Block, arguments: list[str], registry: Registry) -> None:
    """Options exist; shipped workflows lie where they are said to; what is set is there and takes the value."""
    if arguments[0] in OWN:
        return
    options = parse(arguments)
    assert options.command in COMMANDS
    if options.command in ("run", "check") and options.workflow.parts[0] == "workflows":
        workflow = settings.apply(options.settings, load(ROOT / options.workflow), registry)
        assert validate(workflow, registry)[1] == []
    if options.command == "nodes" and options.node:
        asked = " ".join(options.node)
        assert asked in registry or search(registry.values(), asked)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not leads_somewhere(page, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = page.parent / path if path else page
    if not anchor or place.suffix != ".md" or not place.exists():
        return place.exists()
    headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_shipped_workflow_has_its_section() -> None:
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert shipped == set(re.findall(r"^## (\w+)$", page, flags=re.MULTILINE))
