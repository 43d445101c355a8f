"""How much of a folder of ComfyUI workflows has a counterpart here: `python -m benchmarks.comfyui FOLDER [WORD…]`.

The files whose names hold a word are told one by one. The official templates come in the package comfyui-workflow-templates-json.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from graph_runner.base.problems import WorkflowError
from graph_runner.bind.validate import errors, validate
from graph_runner.contract import Folders
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import walk
from nodes.comfyui.document import is_sheet
from nodes.comfyui.importing import comfyui


def main(folder: Path, words: list[str]) -> None:
    """Import every workflow below a folder, and say what became of its nodes."""
    registry = Registry.installed()
    files, nodes, whole, clean, failed = 0, 0, 0, 0, Counter[str]()
    missing: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not is_sheet(document):
            continue
        files += 1
        try:
            found = comfyui(document, Folders())
        except WorkflowError as error:
            failed[str(error)] += 1
            continue
        assert found is not None
        workflow = found.workflow
        inside = [node for each in workflow.definitions.values() for _, node in walk(each.nodes)]
        types = [node.type for node in (*(node for _, node in walk(workflow.nodes)), *inside)]
        absent = [type for type in types if type.startswith("comfy_")]
        others = [
            problem for problem in errors(validate(workflow, registry)[1]) if "node type 'comfy_" not in problem.message
        ]
        nodes, whole, clean = nodes + len(types), whole + (not absent), clean + (not others)
        missing.update(absent)
        if any(word in path.name for word in words):
            print(f"{path.stem}: {len(types)} nodes, {len(absent)} without counterpart, {len(others)} other problems")
            print("".join(f"  {problem}\n" for problem in others), end="")
    placeholders = sum(missing.values())
    print(
        f"{files} workflows: {whole} without a placeholder, {clean} valid but for placeholders, {sum(failed.values())} refused"
    )
    print(
        f"{nodes} nodes of ours, {placeholders} of them placeholders ({1 - placeholders / max(nodes, 1):.0%} have a counterpart)"
    )
    print("most frequent: " + ", ".join(f"{type.removeprefix('comfy_')} {n}" for type, n in missing.most_common(12)))
    for message, n in failed.most_common(5):
        print(f"refused {n}: {message}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
