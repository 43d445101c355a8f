"""The options of engines: what a server hands to its workers is what the user chose."""

from __future__ import annotations

import argparse
import inspect

import pytest

from graph_runner.cli import engine_options
from graph_runner.run.engine import Engine


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--dtype", "bfloat16", "--weights", "float8", "--no-tf32"],
        ["--vram", "8GB", "--compile", "--attention", "math", "--channels-last", "--tf32"],
    ],
    ids=" ".join,
)
def test_what_is_handed_on_says_the_same(argv: list[str]) -> None:
    parser = argparse.ArgumentParser()
    engine_options.add_to(parser)
    chosen = engine_options.chosen(parser.parse_args(argv))
    assert engine_options.chosen(parser.parse_args(engine_options.words(chosen))) == chosen


def test_they_are_the_engines_own_with_its_defaults() -> None:
    parser = argparse.ArgumentParser()
    engine_options.add_to(parser)
    known = inspect.signature(Engine).parameters
    assert engine_options.chosen(parser.parse_args([])) == {
        name: known[name].default for name in engine_options.OPTIONS
    }
