"""Workflows that pages are at work on: what is wrong with one after a change of literals, without sending and checking it whole."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from graph_runner.base.problems import Problem, WorkflowError
from graph_runner.bind.standing import Standing
from graph_runner.contract import NodeSpec
from graph_runner.format.document import MOST_BYTES, MOST_VALUES, parse
from graph_runner.format.workflow import Identifier

LONGEST = 2**16
"""Characters of changed literals; of more, the whole workflow may as well be sent."""
MOST_NODES = 30_000
"""Nodes of all workflows that are kept, at about 5 kB each; the one asked of last stays in any case."""
DEEPEST = 16
"""Lists within each other in a literal; whether a deeper one is within the limits of a file, the file tells."""

Literals = dict[str, dict[str, Any]]
_LITERALS: TypeAdapter[Literals] = TypeAdapter(dict[Identifier, dict[Identifier, Any]])


class Marked:
    """The workflows that were validated last, by their marks. Any thread may ask."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Mapping[str, NodeSpec], Standing]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, workflow: dict[str, Any] | str, standing: Standing | None, registry: Mapping[str, NodeSpec]) -> str:
        """The mark of a workflow, empty where there is nothing to keep, or so large that literals could make it too large."""
        text = workflow if isinstance(workflow, str) else json.dumps(workflow)
        values = sum(map(text.count, ",[{"))
        if standing is None or len(text) > MOST_BYTES - LONGEST or values > MOST_VALUES - LONGEST:
            return ""
        mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
        with self._lock:
            self._kept[mark] = registry, standing
            self._kept.move_to_end(mark)
            while len(self._kept) > 1 and sum(len(each) for _, each in self._kept.values()) > MOST_NODES:
                self._kept.popitem(last=False)
        return mark

    def again(self, mark: str, literals: str, registry: Mapping[str, NodeSpec]) -> list[Problem] | None:
        """See `Standing.again`; None too where the workflow is not kept, or was checked with other nodes than there are now."""
        with self._lock:
            known, standing = self._kept.get(mark, (None, None))
            if standing is None or known is not registry:
                return None
            self._kept.move_to_end(mark)
        read = _read(literals)
        return None if read is None else standing.again(read)


def _read(text: str) -> Literals | None:
    """Literals by node and name; None where something in them is wrong that concerns the form of a file."""
    try:
        document, problems = parse(text, "the change")
        return None if problems or _depth(document) > DEEPEST else _LITERALS.validate_python(document)
    except (WorkflowError, ValidationError):
        return None


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(_depth, inside), default=0)
