"""Prompts: what is cut, unknown or another program's syntax is told, and nothing else; weights may be signed."""

import pytest

from core.conditioning.prompts import parse_weights, remarks, too_long
from core.conditioning.tokenizer import TextTokenizer, train_wordpiece


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    captions = [
        "a red circle left of a blue square",
        "a (red) [circle] : and | 1.5 <",
        "{ } > BREAK AND embedding lora",
    ]
    return train_wordpiece(captions, 300, 16)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a red circle",
        "a (red:1.3) circle",
        "a [red] circle",
        "(red:-1) circle",
        r"a \[red\] circle",
        "a red and blue square",
    ],
)
def test_a_plain_prompt_calls_for_no_remark(prompt: str, tokenizer: TextTokenizer) -> None:
    assert remarks(tokenizer, prompt) == []


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("a <lora:red:1> circle", "<lora:red:1>"),
        ("a [red:blue:.5] circle", "[red:blue:.5]"),
        ("a [red:5] circle", "[red:5]"),
        ("a [red|blue] circle", "[red|blue]"),
        ("a {red|blue} circle", "{red|blue}"),
        ("a red circle BREAK a blue square", "BREAK"),
        ("a red circle AND a blue square", "AND"),
        ("embedding:red circle", "embedding:red"),
    ],
)
def test_what_other_programs_would_do_is_told(prompt: str, part: str, tokenizer: TextTokenizer) -> None:
    found = [remark for remark in remarks(tokenizer, prompt) if "read as words" in remark]
    assert len(found) == 1
    assert f"“{part}”" in found[0]


def test_what_is_cut_is_quoted(tokenizer: TextTokenizer) -> None:
    assert tokenizer.length == 16
    fits, cut = "red " * 14, "red " * 14 + "circle left"
    assert remarks(tokenizer, fits) == []
    [remark] = remarks(tokenizer, cut)
    assert "16 tokens" in remark
    assert "“circle left” is lost" in remark
    assert too_long(tokenizer, [fits, cut, ""]) == 1


def test_unknown_words_are_named_once_also_beyond_the_cut(tokenizer: TextTokenizer) -> None:
    [remark] = remarks(tokenizer, "a 赤 circle 赤 円")
    assert "“赤”, “円”" in remark
    assert any("“円”" in remark for remark in remarks(tokenizer, "red " * 20 + "円"))


@pytest.mark.parametrize(("text", "weight"), [("-1.5", -1.5), ("+2", 2.0), ("-.5", -0.5), ("1.3", 1.3)])
def test_weights_may_be_signed(text: str, weight: float) -> None:
    plain, weights = parse_weights(f"a (red:{text}) circle")
    assert plain == "a red circle"
    assert weights == [1, 1, weight, weight, weight, *[1] * 7]
