"""docs/parity.md covers what its command measures; the figures themselves are the parity tests' affair."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_comparison_is_a_test_and_on_the_page() -> None:
    spec = importlib.util.spec_from_file_location("parity", ROOT / "benchmarks/parity.py")
    parity = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parity)
    from core.diffusion.solvers import SOLVERS

    page = parity.TABLE.read_text()
    for comparison in parity.COMPARISONS:
        file, _, function = comparison.test.partition("::")
        assert f"def {function}(" in (ROOT / "tests/core" / file).read_text()
        assert f"| {comparison.part} |" in page
    assert [name for name in SOLVERS if f"| solver | {name}, " not in page] == []
    solvers = [line for line in page.splitlines() if line.startswith("| solver |")]
    compared = [
        f"| solver | {name} | {oracle} | {settings} |" for name, oracle, settings, _ in parity.solver_comparisons()
    ]
    assert [line[: len(row)] for line, row in zip(solvers, compared, strict=True)] == compared
