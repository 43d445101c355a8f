"""What a run is about, drawn on its nodes without a node that draws it: the latents that a loop is at while it turns,
and the values that a run was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

from graph_runner.base.events import Log, Shown
from graph_runner.bind.graph import Scope, Slot
from graph_runner.bind.validate import validate
from graph_runner.contract import PortType
from graph_runner.contract.registry import Registry
from graph_runner.format.png import KEYWORD
from graph_runner.format.wires import joined, split
from graph_runner.format.workflow import Workflow
from graph_runner.run.numbers import non_finite
from graph_runner.run.outputs import OutputFolder
from ui.pictures import LATENT, Projections

SECONDS = 1.0
"""A loop is first looked at when it has turned so long, and again after as long as that or a share of its time:"""
SHARE = 1 / 16


class Easel:
    """Looks on at one run (see `graph_runner.run.observer.Observer`), and draws its values into its outputs, as pictures that
    carry the workflow.

    text: the workflow as it was sent. tell: hears of each picture, and of each that
    would show values that are no numbers.
    """

    def __init__(
        self,
        projections: Projections,
        registry: Registry,
        workspace: Path,
        workflow: Workflow,
        text: str,
        tell: Callable[[Shown | Log], None],
    ) -> None:
        self.projections, self.registry, self.workspace = projections, registry, workspace
        self.workflow, self.text, self.tell = workflow, text, tell
        self._began: dict[str, float] = {}
        self._next: dict[str, float] = {}

    @cached_property
    def top(self) -> Scope:
        """The graph with the types of its ports."""
        return validate(self.workflow, self.registry)[0]

    @cached_property
    def latents(self) -> dict[str, tuple[Slot, PortType]]:
        """The zones of the top that hand latents to their body, each with the first port that does."""
        found: dict[str, tuple[Slot, PortType]] = {}
        for id, bound in self.top.nodes.items():
            for slot, kind in bound.body.ports.items() if bound.body is not None else ():
                if kind.wire is not None and kind.wire.shape == LATENT:
                    found.setdefault(id, (slot, kind))
        return found

    def on_values(self, node: str, values: Mapping[Slot, Any], types: Mapping[Slot, PortType]) -> None:  # noqa: ARG002
        """Learn from what nodes give how latents look."""
        for slot, value in values.items():
            with suppress(RuntimeError):  # no picture is worth a failed run
                self.projections.see(types[slot], value)

    def on_turn(self, folder: Path, zone: str, turn: int, given: Mapping[str, Any]) -> None:
        """Draw the latents that a loop is at, now and then."""
        now = time.monotonic()
        began = self._began.setdefault(zone, now)
        if now < self._next.setdefault(zone, began + SECONDS) or zone not in self.latents:
            return
        self._next[zone] = now + max(SECONDS, SHARE * (now - began))
        (port, name), kind = self.latents[zone]
        self._draw(folder, zone, zone, kind, given[port][name] if name else given[port], turn)

    def target(self, run: Path, target: str, value: Any) -> None:
        """Draw the value of a target, where it has looks."""
        id, port = split(target)
        outputs = self.top.nodes[id].outputs if id in self.top.nodes else {}
        kinds = [kind for slot, kind in outputs.items() if not port or joined(*slot) == port]
        if len(kinds) == 1:
            self._draw(run, id, target.replace(".", "-"), kinds[0], value)

    def _draw(self, run: Path, node: str, name: str, kind: PortType, value: Any, turn: int | None = None) -> None:
        picture = self.projections.picture(kind, value)
        if picture is None:
            return
        if told := non_finite(value):  # a picture would hide it
            if turn is None:
                self.tell(Log(f"{name} is not drawn: {told}", node, "warning"))
            return
        carried = PngImagePlugin.PngInfo()
        carried.add_text(KEYWORD, self.text)

        def tell(path: Path, media: str, preview: bool) -> None:
            self.tell(Shown(node, path.relative_to(self.workspace).as_posix(), media, preview, turn))

        folder = OutputFolder(run, self.workspace, self.text, tell, "" if turn is None else f"-{turn + 1:06d}")
        write = partial(picture.save, format="PNG", pnginfo=carried)
        folder.file(f"{name}.png", write, media="image/png", preview=True)
