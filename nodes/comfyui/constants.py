"""ComfyUI's nodes that calculate with what is typed in: their results stand here in the parameters of those that read them.

A switch is the branch that it is set to.
"""

from __future__ import annotations

from numbers import Real

from core.expressions import expression
from nodes.comfyui.builder import Builder, Inputs
from nodes.comfyui.values import NoCounterpart, Value


def switch(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ComfySwitchNode: one of two, whatever they are."""
    if not isinstance(on := i.values.get("switch"), bool):
        raise NoCounterpart("is set by what no value of the file says")
    name = "on_true" if on else "on_false"
    if not i.has(name):
        raise NoCounterpart(f"is set to {name}, where nothing is connected")
    return (i.values[name],)


def math(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ComfyMathExpression: as a fraction, as a whole number, and whether it is not 0."""
    formula = i.text("expression")
    values = {}
    for name in i.values:
        if name.startswith("values."):
            values[name.partition(".")[2]] = (
                i.number(name) if not isinstance(i.values[name], bool) else int(i.flag(name))
            )
    try:
        found = expression(formula)(values)
        return float(found), int(found), bool(found)
    except (ValueError, ArithmeticError, TypeError, KeyError) as error:
        raise NoCounterpart(f"calculates {formula!r:.60}, which cannot be read here") from error


def number(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """ComfyNumberConvert: as a fraction and as a whole number."""
    value = i.values.get("value")
    try:
        if isinstance(value, str | Real):
            return float(value), int(float(value))
    except (ValueError, OverflowError):
        pass
    raise NoCounterpart("converts what is no number of the file")


def concatenated(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """StringConcatenate."""
    return (i.text("delimiter", "").join((i.text("string_a", ""), i.text("string_b", ""))),)


def replaced(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """StringReplace."""
    return (i.text("string").replace(i.text("find"), i.text("replace")),)


def chosen(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """CustomCombo: the choice and its number."""
    return i.text("choice"), i.values.get("index")


def shown(b: Builder, i: Inputs) -> tuple[Value, ...]:  # noqa: ARG001
    """PreviewAny, of what is typed in."""
    value = i.values.get("source")
    if not isinstance(value, str | Real):
        raise NoCounterpart("shows what is no value of the file")
    return (str(value),)
