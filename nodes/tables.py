"""Tables: of what loops collect and trainings tell, joined, grouped, sorted, chosen from, saved and loaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.tables import files, operations
from core.tables.operations import Join, Relation
from core.tables.table import Table as _Table
from core.tables.table import table_of
from graph_runner.context import Outputs
from graph_runner.contract import Name, PathTo, Ports, node
from nodes.wires import Table

ColumnNames = list[str]
TablePath = Annotated[str, PathTo("file")]
Cell = bool | int | float | str | None
"""A cell that is typed in."""
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


@node(category="tables", words=("data frame", "sweep results", "record", "spreadsheet"))
def table(columns: Ports[Any]) -> Table:
    """A table of named values: a row for each item of the lists, such as `for_each` collects; a single value stands in each row.

    Of a loop in a loop there is a row for each innermost item. Rows of a sweep are told apart by what was swept: let the loop give
    that too, as a result of its own.

    columns: named numbers, texts, tensors of one axis, or lists of these, wired or typed in.
    """
    return table_of(columns)


@node(category="tables", words=("csv", "parquet", "read", "metrics.csv"))
def load_table(path: TablePath) -> Table:
    """A table from a file: CSV, such as a run's metrics.csv or what `save_table` wrote, or Parquet (with the extra `data`).

    path: a .csv or .parquet; the first line of a CSV names its columns.
    """
    return files.load_table(Path(path))


@node(category="tables", words=("merge", "sql"))
def join_tables(left: Table, right: Table, on: ColumnNames, how: Join = "inner") -> Table:
    """Rows of two tables that agree in some columns, side by side.

    on: the columns that must agree.
    how: rows without a partner are left out (inner), kept of the left table, or of both (outer).
    """
    return operations.join(left, right, on, how)


@node(category="tables", words=("concatenate", "append"))
def stack_tables(tables: list[Table], labels: list[int | float | str] = [], column: str = "of") -> Table:  # noqa: B006
    """The rows of several tables beneath each other: the curves of the trainings of a sweep, say.

    labels: one for each table, such as what was swept; none for no column of them.
    column: what the column of the labels is called.
    """
    return operations.beneath(tables, labels, column)


@node(category="tables", version=2, words=("aggregate", "mean", "std", "average over seeds", "error bars", "pivot"))
def group_rows(table: Table, by: ColumnNames, values: ColumnNames = []) -> Table:  # noqa: B006
    """A row for each combination of some columns: how many rows it has (count), and the mean and sample deviation of the others.

    Over repeated seeds these are a result and how sure it is. They are called NAME_mean and NAME_deviation; a single row has no
    deviation.

    by: columns that are not averaged: what was swept, without the seed.
    values: columns to average; none named are all of numbers.
    """
    return operations.group(table, by, values)


@node(category="tables", words=("filter", "where"))
def select_rows(table: Table, column: str, relation: Relation = "==", value: Cell = None) -> Table:
    """The rows whose cell in a column stands in a relation to a value.

    column: whose cells are looked at.
    relation: of the cell to the value.
    value: a number, a text, true or false; nothing for what is unknown.
    """
    return operations.select(table, column, relation, value)


@node(category="tables")
def select_columns(table: Table, columns: ColumnNames) -> Table:
    """Some columns of a table.

    columns: in this order.
    """
    return table.only(columns)


@node(category="tables", words=("order by",))
def sort_rows(table: Table, by: ColumnNames, descending: bool = False) -> Table:
    """The rows in order; what is unknown comes last.

    by: columns, the first counting most.
    descending: the largest first.
    """
    return operations.sort(table, by, descending)


@node(category="tables", version=2, words=("argmin", "argmax", "top", "winner"))
def best_rows(
    table: Table,
    column: str,
    largest: bool = False,
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1,
    within: ColumnNames = [],  # noqa: B006
) -> Table:
    """The rows with the smallest numbers in a column, the best first.

    column: what is compared.
    largest: the largest are the best.
    count: how many.
    within: so many of each combination of these columns; none named, of all.
    """
    return operations.best(table, column, largest, count, within)


def _checked_column(table: _Table, column: str, **_: Any) -> Any:
    table.column(column)
    raise NotImplementedError("what is in it shows when it is computed")


@node(category="tables", dry=_checked_column, words=("to list",))
def table_column(table: Table, column: str) -> list[Any]:
    """A column of a table as a list: to sweep over, or as labels.

    column: which.
    """
    return list(table.column(column))


@node(category="tables", dry=_checked_column, words=("lookup", "best value"))
def table_value(table: Table, column: str, row: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0) -> Any:
    """One cell of a table, to wire into a parameter: the best row's guidance scale, say.

    column: which.
    row: counted from 0; −1 is the last.
    """
    cells = table.column(column)
    if not -len(cells) <= row < len(cells):
        raise ValueError(f"there is no row {row}: the table has {len(cells)}")
    return cells[row]


def _could_save(format: str, **_: Any) -> None:
    if format == "parquet":
        files.require_parquet()


@node(category="tables", effect=True, dry=_could_save, words=("csv", "parquet", "export", "show", "display", "print"))
def save_table(table: Table, outputs: Outputs, name: Name = "table", format: files.Format = "csv") -> None:
    """Save a table and show it on the node.

    name: of the file in the run's folder.
    format: CSV is shown; Parquet keeps the kinds of columns, and needs the extra `data`.
    """
    outputs.file(f"{name}.{format}", partial(files.save_table, table), media=MEDIA[format])
