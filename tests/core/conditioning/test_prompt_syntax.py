"""The language of prompts: every text is read, what is read is written and read again, and what is wrong is told with its place."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.conditioning.prompt_schedule import MOST_CELLS, at, fragments, moments
from core.conditioning.prompt_syntax import DEEPEST, READINGS, Branch, Style, Words, parse, written
from core.conditioning.prompts import parse_weights

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Loaded machines are slow; nothing here is about time."""

PIECES = st.one_of(
    st.text(st.sampled_from("ab (:)[]|\\.510-\n"), max_size=12),
    st.sampled_from([" AND ", " BREAK ", "BREAK", "AND_", ":.5]", ":1.2)", ":3]", ": 2 ", "[a|b]", "((a))", "\\"]),
    st.text(st.sampled_from("é赤\t😀Aa0"), max_size=5),
)
PROMPTS = st.lists(PIECES, max_size=8).map("".join)


@QUIET
@given(PROMPTS, st.sampled_from(list(READINGS)))
def test_every_text_is_read(text: str, style: Style) -> None:
    found = parse(text, READINGS[style])
    assert all(0 <= remark.at <= len(text) for remark in found.remarks)
    for branch in found.branches:
        fragments(at(branch.items, 0, 0.0, 0), READINGS[style])


@QUIET
@given(PROMPTS, st.sampled_from(["a1111", "compel"]))
def test_what_is_read_is_written_and_read_again(text: str, style: Style) -> None:
    found = parse(text, READINGS[style]).branches
    again = parse(written(found), READINGS[style])
    assert again.branches == found
    assert written(again.branches) == written(found)


@pytest.mark.parametrize(
    ("style", "prompt", "expected"),
    [
        ("a1111", "normal text", [("normal text", 1)]),
        ("a1111", "an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("a1111", "(unbalanced", [("unbalanced", 1.1)]),
        ("a1111", r"\(literal\]", [("(literal]", 1)]),
        ("a1111", "(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        ("a1111", "((a:1.5) b:2)", [("a", 3), (" b", 2)]),
        (
            "a1111",
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                *(("a ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1), ("hill", 0.55)),
                *((", sun, ", 1.1), ("sky", 1.4641), (".", 1.1)),
            ],
        ),
        ("comfyui", "a [b] ((c)) (d:2)", [("a [b] ", 1), ("c", 1.21), (" ", 1), ("d", 2)]),
        ("comfyui", "((a:1.5) b:2) (c", [("a", 1.5), (" b", 2), (" (c", 1)]),
        ("compel", "a (b c:.5) [d]", [("a ", 1), ("b c", 0.5), (" ", 1), ("d", 1 / 1.1)]),
    ],
)
def test_weights_are_those_of_the_program(style: Style, prompt: str, expected: list[tuple[str, float]]) -> None:
    [branch] = parse(prompt, READINGS[style]).branches
    [found] = fragments(branch.items, READINGS[style])
    assert [text for text, _ in found] == [text for text, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def said(prompt: str, step: int, of: int) -> str:
    """What a prompt says at a step of so many."""
    [branch] = parse(prompt, READINGS["a1111"]).branches
    when = moments([branch.items])
    items = at(branch.items, *when.example(when.cell(step, step / of)))
    return "|".join("".join(text for text, _ in part) for part in fragments(items, READINGS["a1111"]))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a [red:blue:.5] cat", ["a red cat"] * 2 + ["a blue cat"] * 2),
        ("a [red:blue:1] cat", ["a red cat"] + ["a blue cat"] * 3),
        ("a [b:.5]", ["a "] * 2 + ["a b"] * 2),
        ("[a::.75]", ["a", "a", "a", ""]),
        ("[cow|horse]", ["cow", "horse", "cow", "horse"]),
        ("[a|[b:c:2]|]", ["a", "b", "", "a"]),
        ("a[b:[c:d:.5]:.25]e", ["abe", "ace", "ade", "ade"]),
        ("x BREAK [y:z:2]", ["x|y"] * 2 + ["x|z"] * 2),
        ("[a:b:0]", ["b"] * 4),
    ],
)
def test_prompts_change_by_the_share_of_steps_done_or_by_steps(prompt: str, expected: list[str]) -> None:
    assert [said(prompt, step, 4) for step in range(4)] == expected


def test_and_joins_prompts_with_weights() -> None:
    branches = parse("a cat AND (a dog:2) :0.5 AND BRAND_AND", READINGS["a1111"]).branches
    assert [weight for _, weight in branches] == [1, 0.5, 1]
    assert branches[2] == Branch((Words("BRAND_AND"),), 1.0)
    assert parse("a AND b", READINGS["comfyui"]).branches == (Branch((Words("a AND b"),)),)


@pytest.mark.parametrize(
    ("style", "prompt", "place", "told"),
    [
        ("a1111", "a (red circle", 3, "never closed; it reaches to the end"),
        ("compel", "a (red circle", 3, "never closed; it is read as a letter"),
        ("plain", "a (red circle", 3, "never closed"),
        ("comfyui", "a red) circle", 6, "closes no bracket"),
        ("a1111", "a cat AND [red:blue:soon]", 11, "whose “when” is a number"),
        ("a1111", "a [red|blue:2]", 3, "no [one|other]"),
        ("plain", "(" * (DEEPEST + 1) + "a", DEEPEST + 1, "more than 64 others"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(style: Style, prompt: str, place: int, told: str) -> None:
    assert any(
        str(remark).startswith(f"character {place}: ") and told in remark.what
        for remark in parse(prompt, READINGS[style]).remarks
    )


def test_changes_without_measure_are_refused() -> None:
    items = [parse("[" + "|" * count + "]", READINGS["a1111"]).branches[0].items for count in (90, 96, 100)]
    with pytest.raises(ValueError, match=f"at most {MOST_CELLS} are encoded"):
        moments(items)


@QUIET
@given(st.text(st.sampled_from("ab (:)[]\\.15-"), max_size=20))
def test_plain_weights_are_one_for_each_letter(text: str) -> None:
    plain, weights = parse_weights(text)
    assert len(plain) == len(weights)
