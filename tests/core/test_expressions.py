"""Formulas: what they are worth, what they refuse and where, and that nothing typed is run."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from core.expressions import FRACTIONS, FUNCTIONS, LONGEST, NAMES, Expression, ExpressionError, expression
from tests.effort import cases


def value(text: str, **given: Any) -> Any:
    return expression(text)(given)


def tensor(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7), ("-2 ** 2", -4), ("2 ** 3 ** 2", 512), ("2 ** -1", 0.5), ("7 // 2", 3), ("-7 % 3", 2), ("1 - 2 - 3", -4),
        ("8 / 2 / 2", 2), ("(1 + 2) * 3", 9), ("--1", 1), (" 1_000 + .5e1 ", 1005), ("1 < 2", 1), ("1 < 2 < 2", 0), ("not 3", 0),
        ("0 or 2", 1), ("1 and 0 or 1", 1), ("not 1 == 2", 1), ("2 > 1 and 1 != 1", 0), ("clamp(5, 0, 1)", 1), ("max(1, 2, 3)", 3),
        ("where(1 > 0, 4, 5)", 4), ("round(2.6)", 3), ("cos(pi)", -1), ("sqrt(exp(log(4)))", 2), ("sign(-3)", -1), ("sigmoid(0)", 0.5),
        ("abs(\n -1)", 1),
    ],
)  # fmt: skip
def test_numbers(text: str, wanted: float) -> None:
    assert value(text) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("a +* b", 4, "a value is missing"), ("a b", 3, "cannot stand here"), ("(a", 1, "not closed"), ("a)", 2, "cannot stand"),
        ("a + ", 5, "missing at the end"), ("a ^ b", 3, "a ** 2"), ("a[0]", 2, "no meaning"), ("a.b", 2, "no meaning"),
        ("f(a)", 1, "no function 'f'"), ("a + sqrt(a, b)", 5, "takes 1 value"), ("2a", 2, "operator is missing"), ("A", 1, "small"),
        ("min(a)", 1, "2 or more"), ("a = b", 3, "no meaning"), ("'a'", 1, "no meaning"), ("a + ä", 5, "no meaning"),
        ("a and", 6, "missing at the end"), ("where(a, b)", 1, "takes 3"), ("lambda: 0", 7, "no meaning"), ("a;b", 2, "no meaning"),
        ("-" * 60, 52, "deep"), ("(" * 60, 52, "deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_character(text: str, at: int, why: str) -> None:
    with pytest.raises(ExpressionError, match=rf"{re.escape(why)}.*character {at} of"):
        expression(text)


@pytest.mark.parametrize("text", ["", "  ", "a" * (LONGEST + 1)])
def test_what_is_empty_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        expression(text)


@pytest.mark.parametrize(
    "text",
    [
        *("1 / 0", "sqrt(-1)", "log(0)", "(-1) ** 0.5", "exp(1000)", "9 ** 9 ** 9", "floor(1e999)", "0 ** -1", "1 % 0"),
        *("((((9 ** 64) ** 64) ** 64) ** 64) ** 64", "((2 ** 60) ** 60) ** 60"),
    ],
)
def test_numbers_without_a_result_are_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="has no value here"):
        value(text)


def test_python_gives_the_same_for_random_formulas() -> None:
    rng = random.Random(1)
    known = {"math": math, "sqrt": math.sqrt, "exp": math.exp, "abs": abs, "min": min, "max": max}

    def formula(depth: int) -> str:
        if depth == 0:
            return rng.choice(["a", "b", "c", "2", "0.5"])
        match rng.randrange(5):
            case 0:
                return f"({formula(depth - 1)})"
            case 1:
                return f"-{formula(depth - 1)}"
            case 2:
                return f"{rng.choice(['min', 'max'])}({formula(depth - 1)}, {formula(depth - 1)})"
            case _:
                return f"{formula(depth - 1)} {rng.choice(['+', '-', '*', '/', '//', '%', '<', '>='])} {formula(depth - 1)}"

    given = {"a": 1.5, "b": -2.25, "c": 3}
    for _ in range(cases(300, 20_000)):
        text = formula(rng.randrange(5))
        try:
            wanted = eval(text, dict(known), dict(given))
        except ZeroDivisionError:
            continue
        read = expression(text)
        assert read({name: given[name] for name in read.names}) == pytest.approx(float(wanted)), text


def test_random_texts_give_a_formula_or_an_error_and_nothing_else() -> None:
    rng = random.Random(2)
    parts = [
        "a",
        "b1",
        "__import__",
        "(",
        ")",
        "+",
        "-",
        "*",
        "**",
        "/",
        ",",
        "1",
        "_",
        ".5",
        "e",
        " ",
        "sqrt",
        "or",
        "not",
        "<",
        "[",
        "'",
        "\n",
        "é",
    ]
    for _ in range(cases(2000, 100_000)):
        text = "".join(rng.choices(parts, k=rng.randrange(12)))
        try:
            Expression(text)
        except ExpressionError:
            continue


def test_the_pattern_of_names_finds_what_the_reader_reads() -> None:
    rng = random.Random(3)
    parts = [
        "a",
        "b_1",
        "xy",
        "(",
        ")",
        " + ",
        "*",
        "1",
        "1.",
        "e5",
        "1e5",
        " ",
        "sqrt(",
        "pi",
        " or ",
        " not ",
        "<",
        "where(",
        ",",
        "\n",
    ]
    found = 0
    for _ in range(cases(3000, 100_000)):
        text = "".join(rng.choices(parts, k=rng.randrange(9)))
        try:
            read = Expression(text)
        except ExpressionError:
            continue
        found += 1
        assert list(read.names) == list(dict.fromkeys(re.findall(NAMES, text, re.ASCII))), text
    assert found > 50


def test_whole_numbers_stay_whole_unless_the_pattern_of_fractions_is_found() -> None:
    for text in (
        "a + 1",
        "a // 2 * b",
        "a % 3 - -b",
        "min(a, b)",
        "a < b",
        "where(a, b, 2)",
        "abs(a)",
        "floor(a)",
        "round(a)",
        "clamp(a, 0, 1)",
    ):
        assert not re.search(FRACTIONS, text)
        read = expression(text)
        assert isinstance(read(dict.fromkeys(read.names, 5)), int), text
    for text in ("a / 2", "a * 0.5", "a ** -1", "1e3 * a", "pi * a", "sqrt(a)", "sigmoid (a)", "2. * a"):
        assert re.search(FRACTIONS, text), text


def test_tensors_are_lined_up_by_the_batch() -> None:
    z, s, one = tensor(2, 3, 4, 4), tensor(2, seed=1), torch.tensor(2.0)
    assert torch.equal(value("s * z + one", s=s, z=z, one=one), s.view(2, 1, 1, 1) * z + 2)
    assert value("s + m", s=s, m=tensor(1, 3)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"a is 2×3×4×4 and b is 2×5×4×4: axis 1 has 3 and 5"):
        value("a + b", a=z, b=tensor(2, 5, 4, 4))
    with pytest.raises(ValueError, match="b is a str"):
        value("a + b", a=z, b="x")
    with pytest.raises(ValueError, match="nothing is given for 'b'"):
        value("a + b", a=z)
    with pytest.raises(ValueError, match="no 'c'"):
        value("a + b", a=z, b=z, c=z)


@pytest.mark.parametrize(
    "text",
    [
        "where(s > 0, 0, z)",
        "where(2 > 1, 0, z)",
        "max(z, 0)",
        "min(0, z)",
        "clamp(z, -1, s)",
        "z > 0",
        "not z",
        "z and s",
        "1 or z",
        "z ** 2",
        "2 ** z",
    ],
)
def test_a_tensor_in_gives_a_tensor_of_its_shape_out(text: str) -> None:
    read = expression(text)
    result = read({name: {"z": tensor(2, 3, 4, 4), "s": tensor(2)}[name] for name in read.names})
    assert result.shape == (2, 3, 4, 4)
    assert result.dtype == torch.float32


@pytest.mark.parametrize("name", [name for name, (_, least, _) in FUNCTIONS.items() if least == 1])
def test_functions_give_the_same_of_numbers_and_tensors(name: str) -> None:
    for number in (0.25, 1.5, 2.75):
        assert value(f"{name}(x)", x=torch.tensor(number, dtype=torch.float64)).item() == pytest.approx(
            value(f"{name}(x)", x=number)
        )


@pytest.mark.parametrize("text", ["min(a, b)", "max(a, b)", "min(1, a, b)", "max(b, 1, a)", "clamp(a, b, 1)"])
def test_what_is_no_number_stays_so_wherever_it_stands(text: str) -> None:
    for a, b in ((math.nan, 0.5), (0.5, math.nan)):
        assert math.isnan(expression(text)({"a": a, "b": b}))
        assert torch.isnan(expression(text)({"a": torch.tensor(a), "b": torch.tensor(b)}))


@pytest.mark.parametrize(("a", "b"), [(2, -1), (2, 3), (3, -2)])
def test_whole_powers_are_the_same_of_numbers_and_tensors(a: int, b: int) -> None:
    power = expression("a ** b")
    for given in ((a, torch.tensor([b])), (torch.tensor([a]), b), (torch.tensor([a]), torch.tensor([b]))):
        assert float(power(dict(zip("ab", given, strict=True)))) == pytest.approx(a**b)


@pytest.mark.parametrize("x", [-800.0, -40.0, -20.0, 0.0, 3.0, 800.0])
def test_the_sigmoid_of_a_number_has_all_its_figures(x: float) -> None:
    wanted = float(torch.sigmoid(torch.tensor(x, dtype=torch.float64)))
    assert expression("sigmoid(x)")({"x": x}) == pytest.approx(wanted, rel=1e-14, abs=0)


def test_gradients_flow() -> None:
    a, b, s = tensor(2, 3).requires_grad_(), tensor(2, 3, seed=1), tensor(2, seed=2).requires_grad_()
    value("a + s * (b - a) * where(b > 0, 1, 0.5)", a=a, s=s, b=b).sum().backward()
    weight = torch.where(b > 0, 1.0, 0.5)
    assert torch.allclose(a.grad, 1 - s.detach()[:, None] * weight)
    assert torch.allclose(s.grad, ((b - a.detach()) * weight).sum(1))


def test_numbers_beyond_a_tensors_type_are_rounded_or_refused() -> None:
    x = torch.tensor([0.5, 2.0])
    assert torch.equal(value("clamp(x, -1e300, 1e300)", x=x), x)
    assert torch.equal(value("where(x > 1, x, -1e300)", x=x), torch.tensor([-torch.inf, 2.0]))
    assert torch.equal(value("where(x > 1, 0, 10 ** 30)", x=x), torch.tensor([1e30, 0.0]))
    assert torch.equal(value("where(m, 1, 2)", m=x > 1), torch.tensor([2, 1]))
    with pytest.raises(ValueError, match=r"lies beyond the numbers of torch\.int64"):
        value("max(t, 10 ** 30)", t=torch.tensor([1, 2]))


def test_whole_tensors_may_be_chosen_with_fractions() -> None:
    t = torch.tensor([10, 700])
    assert torch.equal(value("where(t > 500, 0.5, t)", t=t), torch.tensor([10.0, 0.5]))
    assert value("t / 2", t=t).tolist() == [5.0, 350.0]
