"""The lock: a node's code is vouched for, and a change without a raised version is found."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graph_runner.compile import lock, source
from graph_runner.contract import NodeSpec
from graph_runner.contract.registry import Registry

NODES = '''"""Nodes."""
from {package}.inner.helper import {name}
from . import beside
from graph_runner.contract import node

@node(category="x", version={version})
def twice(x: float) -> float:
    """Twice."""
    return beside.y * {name}(x)  # a comment

def unused(x: int) -> int:
    return 3
'''
HELPER = "def f(x):\n    return 2 * x\n"
Write = Callable[..., list[NodeSpec]]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a package anew and read its nodes as a new process would."""
    name = "locked_toys"

    def write(
        version: int = 1, helper: str = HELPER, beside: str = "y = 1\n", nodes: str = NODES, place: str = "project"
    ) -> list[NodeSpec]:
        monkeypatch.syspath_prepend(str(tmp_path / place))
        folder = tmp_path / place / name
        (folder / "inner").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
        (folder / "inner" / "__init__.py").write_text("")
        (folder / "inner" / "helper.py").write_text(helper)
        (folder / "beside.py").write_text(beside)
        (folder / "nodes.py").write_text(nodes.format(package=name, name="f", version=version))
        forget()
        importlib.invalidate_caches()
        return list(Registry.scan([f"{name}.nodes"]).values())

    def forget() -> None:
        for module in [module for module in sys.modules if module.partition(".")[0] == name]:
            del sys.modules[module]
        for cached in (source._hash_of, source._read_module, lock._read_lock, lock.lock_path):
            cached.cache_clear()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    forget()


def hash_of(specs: list[NodeSpec]) -> str:
    return source.source_hash(specs[0].function)


def test_comments_docstrings_and_layout_do_not_count(package: Write) -> None:
    first = hash_of(package())
    nodes = (
        NODES.replace("# a comment", "# another")
        .replace('"""Twice."""', '"""Two times."""')
        .replace("    return", "\n\n    return")
    )
    assert hash_of(package(nodes=nodes)) == first
    assert hash_of(package(nodes=NODES.replace("x: int", "x: bool").replace("return 3", "return 4"))) == first
    assert hash_of(package(helper='"""Now with words."""\n\n\n' + HELPER)) == first


@pytest.mark.parametrize(
    "changed",
    [{"helper": HELPER.replace("2", "3")}, {"beside": "y = 2\n"}, {"nodes": NODES.replace("(x)  #", "(x) + 1  #")}],
)
def test_code_counts_here_and_in_all_that_is_imported(package: Write, changed: dict[str, str]) -> None:
    first = hash_of(package())
    assert hash_of(package(**changed)) != first
    assert hash_of(package()) == first


def test_without_a_lock_a_node_is_keyed_by_its_source_and_with_one_by_its_version(package: Write) -> None:
    specs = package()
    assert lock.version_of(specs[0]) == hash_of(specs)
    assert lock.check(specs) == []
    assert lock.update(specs) == []
    assert lock.version_of(specs[0]) == "v1"
    assert lock.check(specs) == []


def test_a_change_without_a_raised_version_is_found(package: Write) -> None:
    lock.update(package())
    changed = package(helper=HELPER.replace("2", "3"))
    [complaint] = lock.check(changed)
    assert "twice: its source changed; raise its version, or record that the result is the same" in complaint
    assert lock.update(changed) == ["twice: its source changed and its version did not"]
    assert len(lock.check(changed)) == 1, "refused, and the old record stays"
    assert lock.update(changed, same_result=True) == []
    assert lock.check(changed) == []
    assert lock.version_of(changed[0]) == "v1"


def test_a_raised_version_is_recorded(package: Write) -> None:
    lock.update(package())
    raised = package(version=2, helper=HELPER.replace("2", "3"))
    [complaint] = lock.check(raised)
    assert "twice: version 2 is not recorded (the lock says 1)" in complaint
    assert lock.update(raised) == []
    assert lock.check(raised) == []
    assert lock.version_of(raised[0]) == "v2"


def test_a_new_node_must_be_recorded(package: Write) -> None:
    specs = package()
    path = lock.lock_path(specs[0].function.__module__)
    assert path is not None
    path.write_text("{}\n")
    lock._read_lock.cache_clear()
    [complaint] = lock.check(specs)
    assert complaint == "twice: not in lock.json; record it"
    lock.update(specs)
    first = path.read_bytes()
    lock.update(specs)
    assert path.read_bytes() == first
    assert first.endswith(b"}\n")


@pytest.mark.parametrize(("place", "follows"), [("project", True), ("site-packages", False)])
def test_beside_a_package_lie_its_project_or_in_site_packages_others_work(
    package: Write, tmp_path: Path, place: str, follows: bool
) -> None:
    nodes = "import others_toys\n" + NODES.replace("return beside.y", "return others_toys.z * beside.y")
    (tmp_path / place).mkdir()
    (tmp_path / place / "others_toys.py").write_text("z = 1\n")
    first = hash_of(package(nodes=nodes, place=place))
    (tmp_path / place / "others_toys.py").write_text("z = 2\n")
    assert (hash_of(package(nodes=nodes, place=place)) != first) == follows
    assert hash_of(package(nodes=nodes, place=place, beside="y = 7\n")) != first


def test_words_by_which_a_node_is_found_are_no_change(package: Write) -> None:
    before = source.source_hash(package()[0].function)
    found = NODES.replace("version={version}", 'version={version}, words=("double", "2x")')
    spec = package(nodes=found)[0]
    assert spec.words == ("double", "2x")
    assert source.source_hash(spec.function) == before
