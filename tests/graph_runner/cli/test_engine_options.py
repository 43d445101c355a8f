"""The options of engines: what a server hands to its workers is what the user chose."""

from __future__ import annotations

import argparse
import inspect

import pytest

from graph_runner.cli import engine_options
from graph_runner.cli.arguments import parse
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


@pytest.mark.parametrize("command", [[], ["run"]])
@pytest.mark.parametrize("name", [name for name, told in engine_options.OPTIONS.items() if told.get("nargs") == "?"])
def test_an_option_that_may_stand_alone_leaves_the_file_after_it_alone(name: str, command: list[str]) -> None:
    flag, told = "--" + name.replace("_", "-"), engine_options.OPTIONS[name]
    for file in ("training.json", "folder/training", "../picture.png"):
        for words in ([flag, file], [flag, file, "--seed", "1"], ["--seed", "1", flag, file], [file, flag]):
            options = parse([*command, *words])
            assert (str(options.workflow), getattr(options, name)) == (file, told["const"]), words
        for value in told["choices"]:
            for words in ([flag, value, file], [f"{flag}={value}", file]):
                options = parse([*command, *words])
                assert (str(options.workflow), getattr(options, name)) == (file, value), words


def test_a_misspelt_value_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["run", "--compile", "max-autotun", "training.json"])
    assert "max-autotune" in capsys.readouterr().err


def test_they_are_the_engines_own_with_its_defaults() -> None:
    parser = argparse.ArgumentParser()
    engine_options.add_to(parser)
    known = inspect.signature(Engine).parameters
    assert engine_options.chosen(parser.parse_args([])) == {
        name: known[name].default for name in engine_options.OPTIONS
    }
