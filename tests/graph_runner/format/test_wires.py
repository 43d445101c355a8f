"""References are taken apart, put together and followed in one place, whatever the form of the wire they stand in."""

from __future__ import annotations

import pytest

from graph_runner.format.wires import joined, mapped, nodes_in, references_in, split

FORMS = {
    "one": ("a.x", ["a.x"]),
    "list": (["a.x", "b", "c.y.z"], ["a.x", "b", "c.y.z"]),
    "names": ({"left": "b", "right": "c.y.z"}, ["b", "c.y.z"]),
}


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("node", ("node", "")), ("node.port", ("node", "port")), ("node.port.name", ("node", "port.name"))],
)
def test_a_reference_comes_apart_and_together(reference, parts):
    assert split(reference) == parts
    assert joined(*parts) == reference


def test_of_what_is_empty_nothing_is_left():
    assert joined("zone", "", "name") == "zone.name"
    assert joined("", "") == ""


@pytest.mark.parametrize("form", FORMS)
def test_every_reference_of_a_wire_is_found(form):
    wired, references = FORMS[form]
    assert references_in(wired) == references
    assert nodes_in(wired) == [reference[0] for reference in references]


@pytest.mark.parametrize("form", FORMS)
def test_a_followed_wire_keeps_its_form(form):
    wired, references = FORMS[form]
    led = mapped(wired, lambda reference: f"{reference}.on")
    assert type(led) is type(wired)
    assert references_in(led) == [f"{reference}.on" for reference in references]


def test_what_leads_nowhere_is_left_out():
    def follow(reference: str) -> str | None:
        return None if reference == "b" else reference

    assert mapped(["a.x", "b", "c"], follow) == ["a.x", "c"]
    assert mapped({"left": "b", "right": "c"}, follow) == {"right": "c"}
    assert mapped("b", follow) is None
