"""A docstring's grammar, whose one owner reads it for ports, the node reference and the canvas."""

from __future__ import annotations

from graph_runner.catalog.describe import describe
from graph_runner.contract import docstring
from graph_runner.contract.registry import Registry

TEXT = """Combine two predictions.

eps = uncond + scale * (cond - uncond)

scale: larger follows
  the condition more closely,
and this belongs to it.
cond: with it.

Note: this is prose, for no parameter is called so.
"""


def test_prose_and_the_help_of_parameters_are_told_apart() -> None:
    read = docstring.read(TEXT, {"scale", "cond"})
    assert read.summary == "Combine two predictions."
    assert read.help == {
        "scale": "larger follows the condition more closely, and this belongs to it.",
        "cond": "with it.",
    }
    assert read.prose == (
        "Combine two predictions.\n\neps = uncond + scale * (cond - uncond)\n\n"
        "Note: this is prose, for no parameter is called so."
    )


def test_what_is_no_docstring_is_nothing() -> None:
    assert docstring.read("", ()) == docstring.Docstring("", "", {})


def test_nothing_of_a_nodes_docstring_is_told_twice_or_lost() -> None:
    for spec in Registry.installed().values():
        described = describe(spec)
        helps = [port["help"] for port in described["inputs"] if port["help"]]
        told = " ".join([described["documentation"], *helps])
        words = set(spec.documentation.replace(":", " ").split())
        missing = {word for word in words if word not in told.replace(":", " ")}
        assert missing <= set(spec.params) | set(spec.input), (spec.type, missing)
        assert not [text for text in helps if len(text) > 30 and text in described["documentation"]], spec.type
