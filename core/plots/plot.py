"""A plot as a value: a table, and which of its columns are drawn how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.tables.table import Table, told

Kind = Literal["line", "scatter", "bar", "heat map", "histogram"]


@dataclass(frozen=True)
class Plot:
    """What is drawn of a table.

    x, y: columns across and up; of a heat map, of its columns and rows, of a histogram x alone. value: of a heat map, the column of
    its colours. by: a column; each of its values is a series with a colour of its own. deviation: a column of how far y may be off,
    as a band or as bars. log: whether y's axis (a heat map's colours, a histogram's counts) is logarithmic. bins: of a histogram.
    Raises ValueError, naming it, for a column that is not there, or has no numbers where they are needed.
    """

    kind: Kind
    table: Table
    x: str
    y: str = ""
    value: str = ""
    by: str = ""
    deviation: str = ""
    title: str = ""
    log: bool = False
    bins: int = 20

    def __post_init__(self) -> None:
        numeric = {"line": (self.x, self.y), "scatter": (self.x, self.y), "bar": (self.y,), "heat map": (self.value,)}
        for name in (self.x, self.y, self.value, self.by, self.deviation):
            if name:
                self.table.column(name)
        for name in (*numeric.get(self.kind, (self.x,)), *([self.deviation] if self.deviation else [])):
            self.table.numbers(name)
        if self.deviation and (below := [each for each in self.table.numbers(self.deviation) if each < 0]):
            raise ValueError(f"the column {self.deviation!r} says how far y may be off, and holds {told(below[0])}")

    def to_tree(self) -> dict[str, Any]:
        """All of it as tensors and JSON values; `Plot.from_tree` reads it."""
        return vars(self) | {"table": {name: list(column) for name, column in self.table.columns.items()}}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Plot:
        """What `to_tree` took apart."""
        return cls(**{**tree, "table": Table({name: tuple(column) for name, column in tree["table"].items()})})
