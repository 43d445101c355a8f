"""Every node can be in an exported script: its function and all that it uses, without the engine and without the nodes' modules."""

from __future__ import annotations

import ast
import builtins
import re

from graph_runner.contract.context import BUILT_IN
from graph_runner.contract.registry import Registry
from graph_runner.export.bundle import Bundle


def test_every_node_can_be_copied_out_and_names_only_what_comes_along() -> None:
    registry, bundle = Registry.installed(), Bundle({})
    names = {bundle.add(spec.function) for spec in registry.values()}
    text = "\n".join(["from __future__ import annotations", *bundle.imports(), *bundle.definitions.values()])
    assert re.findall(r"^\s*(?:from|import) (?:graph_runner|nodes)\b", text, re.MULTILINE) == []
    values: dict[str, object] = {"__name__": "copied"}
    exec(compile(text, "copied", "exec"), values)
    assert names <= values.keys()
    parts = list(ast.walk(ast.parse(text)))
    bound = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    bound |= {part.arg for part in parts if isinstance(part, ast.arg)}
    bound |= {part.asname or part.name for part in parts if isinstance(part, ast.alias)}
    bound |= {part.name for part in parts if isinstance(part, ast.FunctionDef | ast.ExceptHandler) and part.name}
    used = {part.id for part in parts if isinstance(part, ast.Name)}
    assert used <= bound | values.keys() | set(dir(builtins))


def test_no_node_asks_for_what_a_script_cannot_hand_in() -> None:
    assert {kind for spec in Registry.installed().values() for kind in spec.injected.values()} <= BUILT_IN
