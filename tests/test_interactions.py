"""The table of interactions names tests that exist, and fifty of them work."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/interactions.md").read_text(encoding="utf-8")
ROWS = [line for line in TABLE.splitlines() if re.match(r"\| \d", line)]


def test_every_row_names_a_test_that_exists() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 56))
    for row in ROWS:
        named = re.findall(r"`(test_\w+\.py)::(\w+)`", row)
        assert named, row
        for file, name in named:
            assert f"def {name}(" in (ROOT / "tests/ui/browser" / file).read_text(encoding="utf-8"), row


def test_fifty_of_them_work() -> None:
    assert sum("| yes |" in row for row in ROWS) >= 50
