"""Tables: rows of what loops collect, joined, grouped, sorted, chosen from, in files and back."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from core.tables.files import load_table, save_table
from core.tables.frames import frame_of, of_frame
from core.tables.operations import beneath, best, group, join, select, sort
from core.tables.table import Table, table_of, told
from tests.effort import cases


def test_columns_side_by_side_with_single_values_in_every_row() -> None:
    table = table_of({"scale": [1, 3.5], "fid": [torch.tensor(2.0), torch.tensor(4)], "solver": "ddim", "ok": True})
    assert list(table.rows()) == [(1, 2.0, "ddim", True), (3.5, 4, "ddim", True)]
    assert len(table) == 2
    assert str(table) == "table, 2 rows: scale, fid, solver, ok"
    assert len(table_of({"one": np.float32(0.5)})) == 1
    assert len(table_of({"none": []})) == 0
    assert len(Table({})) == 0


def test_a_loop_in_a_loop_gives_a_row_for_each_innermost_item() -> None:
    table = table_of({"scale": [1, 3], "seed": [[7, 8], [7]], "fid": [torch.tensor([0.1, 0.2]), [0.5]]})
    assert [row[:2] for row in table.rows()] == [(1, 7), (1, 8), (3, 7)]
    assert table.numbers("fid") == pytest.approx([0.1, 0.2, 0.5])


def test_what_is_no_table_is_refused_by_column() -> None:
    with pytest.raises(ValueError, match=r"different lengths \(\{'a': 2, 'b': 3\}\)"):
        table_of({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(ValueError, match="'a' is given a Linear"):
        table_of({"a": [torch.nn.Linear(1, 1)]})
    with pytest.raises(ValueError, match="'a' is given a tensor of 4 axes"):
        table_of({"a": torch.zeros(1, 3, 4, 4)})
    with pytest.raises(ValueError, match="no column 'c'; it has a, b"):
        table_of({"a": 1, "b": 2}).column("c")
    with pytest.raises(ValueError, match="different lengths"):
        Table({"a": (1,), "b": ()})
    with pytest.raises(ValueError, match="no name"):
        Table({"": (1,)})
    with pytest.raises(ValueError, match="holds the text 'x'"):
        table_of({"a": [1, "x"]}).numbers("a")


def test_groups_have_mean_and_sample_deviation() -> None:
    random = np.random.default_rng(0)
    for _ in range(cases(10, 300)):
        rows = int(random.integers(1, 30))
        scale, fid = random.integers(0, 4, rows).tolist(), random.normal(size=rows).tolist()
        grouped = group(Table({"scale": tuple(scale), "fid": tuple(fid)}), ["scale"])
        assert list(grouped.columns) == ["scale", "count", "fid_mean", "fid_deviation"]
        assert list(grouped.columns["scale"]) == list(dict.fromkeys(scale)), "in the order in which they come"
        for value, count, mean, deviation in grouped.rows():
            own = [x for x, s in zip(fid, scale, strict=True) if s == value]
            assert count == len(own)
            assert mean == pytest.approx(statistics.fmean(own))
            assert deviation == (pytest.approx(statistics.stdev(own)) if len(own) > 1 else None)


def test_groups_leave_out_the_unknown_and_name_what_is_no_number() -> None:
    table = table_of({"by": ["a", "a", "b"], "x": [1.0, None, math.nan], "told": ["p", "q", "r"]})
    assert list(group(table, ["by"]).rows()) == [("a", 2, 1.0, None), ("b", 1, None, None)]
    assert list(group(table, []).rows()) == [(3, 1.0, None)]
    with pytest.raises(ValueError, match="'told' holds the text 'p'"):
        group(table, ["by"], ["told"])
    with pytest.raises(ValueError, match="'x' is what rows are grouped by"):
        group(table, ["x"], ["x"])


def test_what_is_unknown_is_one_group_and_no_result_takes_the_place_of_a_column() -> None:
    table = table_of({"by": [math.nan, None, float("nan"), 1], "x": [1, 2, 3, 4], "count": [1, 1, 1, 1]})
    assert list(group(table, ["by"], ["x"]).rows()) == [(None, 3, 2.0, 1.0), (1, 1, 4.0, None)]
    assert best(table, "x", within=["by"]).columns["x"] == (1, 4)
    for by, values in ((["count"], ["x"]), (["x_mean"], ["x"])):
        with pytest.raises(ValueError, match=f"grouped by '{by[0]}', as a column of the result is called"):
            group(Table({**table.columns, "x_mean": (1, 1, 1, 1)}), by, values)


def test_infinite_numbers_have_a_mean_and_no_deviation() -> None:
    table = table_of({"by": ["a", "a", "b"], "x": [math.inf, 1.0, 2.0]})
    assert list(group(table, ["by"]).rows()) == [("a", 2, math.inf, None), ("b", 1, 2.0, None)]


def test_join_finds_partners_and_keeps_whole_numbers_whole() -> None:
    left = table_of({"seed": [1, 2, 3], "fid": [0.1, 0.2, 0.3]})
    right = table_of({"seed": [3, 1, 4], "kid": [30, 10, 40]})
    assert list(join(left, right, ["seed"]).rows()) == [(1, 0.1, 10), (3, 0.3, 30)]
    assert list(join(left, right, ["seed"], "left").rows()) == [(1, 0.1, 10), (2, 0.2, None), (3, 0.3, 30)]
    outer = join(left, right, ["seed"], "outer")
    assert {row[0] for row in outer.rows()} == {1, 2, 3, 4}
    assert all(isinstance(cell, int | None) for cell in outer.columns["kid"])
    with pytest.raises(ValueError, match="no column 'kid'"):
        join(left, right, ["kid"])
    with pytest.raises(ValueError, match="both tables have a column 'fid'"):
        join(left, left, ["seed"])
    with pytest.raises(ValueError, match="at least one column"):
        join(left, right, [])


def test_tables_beneath_each_other_are_told_apart_by_labels() -> None:
    first, second = table_of({"step": [1, 2], "loss": [3.0, 2.0]}), table_of({"step": [1], "kl": [0.5]})
    table = beneath([first, second], [0.1, 0.2], "lr")
    assert list(table.columns) == ["lr", "step", "loss", "kl"]
    assert list(table.rows()) == [(0.1, 1, 3.0, None), (0.1, 2, 2.0, None), (0.2, 1, None, 0.5)]
    assert list(beneath([first, second]).columns) == ["step", "loss", "kl"]
    with pytest.raises(ValueError, match="1 labels for 2 tables"):
        beneath([first, second], ["a"], "of")
    with pytest.raises(ValueError, match="'step' of their own"):
        beneath([first, second], [1, 2], "step")


def test_sorted_selected_and_best() -> None:
    table = table_of({"solver": ["b", "a", "b", "a"], "fid": [3.0, 1.0, None, 2.0], "n": [1, 2, 3, 4]})
    assert sort(table, ["fid"]).columns["n"] == (2, 4, 1, 3), "the unknown last"
    assert sort(table, ["fid"], descending=True).columns["n"] == (1, 4, 2, 3), "there too"
    assert sort(table, ["solver", "n"], descending=True).columns["n"] == (3, 1, 4, 2)
    assert best(table, "fid").columns["n"] == (2,)
    assert best(table, "fid", largest=True, count=9).columns["n"] == (1, 4, 2)
    assert best(table, "fid", within=["solver"]).columns["n"] == (2, 1)
    assert select(table, "fid", "<=", 2).columns["n"] == (2, 4)
    assert select(table, "fid", "==", None).columns["n"] == (3,)
    assert select(table, "solver", "!=", "a").columns["n"] == (1, 3)
    mixed = table_of({"x": [1, "a"]})
    for act in (lambda: sort(mixed, ["x"]), lambda: select(mixed, "x", "<", 2), lambda: best(mixed, "x")):
        with pytest.raises(ValueError, match="'x' holds"):
            act()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_give_back_what_was_written(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = table_of({
        "whole": [1, -2, None, 2**53],
        "number": [0.1 + 0.2, 1e-300, None, -0.0],
        "text": ['with, a "comma"', "two\nlines", "ünï", "NA"],
        "truth": [True, False, True, None],
        "formula": ["=1+1", "+x", "-y", "@z"],
        "long": [2**63 - 1, None, -(2**63), 0],
        'a "name",\nof lines': [1, 2, 3, 4],
    })  # fmt: skip
    path = tmp_path / f"table{suffix}"
    for written in (table, table_of({"alone": [" ", None, " x ", "=1"]}), table_of({"alone": [None, 1, None]})):
        save_table(written, path)
        again = load_table(path)
        assert list(again.columns) == list(written.columns)
        for name in written.columns:
            kinds = [(type(cell), cell) for cell in again.columns[name]]
            assert kinds == [(type(cell), cell) for cell in written.columns[name]], name


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"a,b\n1,2,3,4\n1"), ("b.csv", b"\xff\xfe\x00"), ("c.parquet", b"PAR1")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            load_table(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.csv and \.parquet"):
        load_table(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        save_table(Table({}), tmp_path / "a.xlsx")
    pytest.importorskip("pyarrow")
    for mixed in ([1, "a"], [True, 2], [2**70]):
        with pytest.raises(ValueError, match="'x' holds texts and numbers"):
            save_table(table_of({"x": mixed}), tmp_path / "d.parquet")
    assert not (tmp_path / "d.parquet").exists()


def test_frames_and_cells_for_people() -> None:
    table = table_of({"a": [1, None], "b": ["x", "y"]})
    assert of_frame(frame_of(table)) == table
    assert [told(cell) for cell in (1 / 3, 7, None, "x", True)] == ["0.333333", "7", "", "x", "True"]
