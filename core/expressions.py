"""Formulas as people write them, `a + s * (b - a)`: a grammar of their own, calculated on numbers and tensors.

Nothing that is typed is ever run as a program. Operators bind as in Python: `-2 ** 2` is -4, `2 ** 3 ** 2` is 512, `7 // 2` is 3.
All is calculated element by element, so that gradients flow, with axes lined up as `core.broadcasting` says. What compares, and
`and`, `or` and `not`, give 1 where they hold and 0 elsewhere.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from core.broadcasting import Value, aligned
from core.elementwise import CONSTANTS, FUNCTIONS, RELATIONS, both, either, negation, power

LONGEST = 1000
DEEPEST = 50
"""So deep may brackets and signs lie in each other."""
WORDS = ("and", "or", "not")

_RESERVED = "|".join((*WORDS, *CONSTANTS))
NAMES = rf"(?<![\w.])(?!(?:{_RESERVED})\b)[A-Za-z_]\w*\b(?!\s*\()"
"""What is a name in a formula: no function, constant or word of the grammar. Whoever shows one port for each goes by it."""
FRACTIONS = r"(?<!/)/(?!/)|\*\*|\d\.|\.\d|\d[eE]|\bpi\b|\b(?:sqrt|exp|log|sin|cos|tan|tanh|sigmoid)\s*\("
"""Where it is found in a formula, whole numbers need not give a whole number."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|//|<=|>=|==|!=|[-+*/%(),<>]))",
    re.ASCII,
)
_SUMS = {"+": operator.add, "-": operator.sub}
_PRODUCTS = {"*": operator.mul, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod}

Part = Callable[[Mapping[str, Any]], Any]
"""A part of a formula: its value, from those of the names."""


class ExpressionError(ValueError):
    """A text that is no formula; the message says at which character."""


class Expression:
    """A formula that was read.

    names: what it takes, in the order in which they stand in it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        reader = _Reader(text)
        self._value = reader.whole()
        self.names = tuple(reader.names)

    def __call__(self, values: Mapping[str, Value]) -> Any:
        """Its value: a tensor where any of the values is one, else a number.

        values: one for each of `names`. Raises ValueError where one is missing or too many, where shapes do not go together,
        and where numbers have no result (a division by zero, the root of a negative one).
        """
        if missing := [name for name in self.names if name not in values]:
            raise ValueError(f"nothing is given for {missing[0]!r} of {self.text!r}")
        if unread := [name for name in values if name not in self.names]:
            raise ValueError(f"there is no {unread[0]!r} in {self.text!r}")
        given = aligned(values)
        try:
            return self._value(given)
        except ArithmeticError as error:
            raise ValueError(f"{self.text!r} has no value here: {error}") from error


@lru_cache(maxsize=1024)
def expression(text: str) -> Expression:
    """Read a formula. Raises ExpressionError where it is none."""
    return Expression(text)


def checked(text: str) -> str:
    """The text of a formula, as it is. Raises ExpressionError where it is none."""
    expression(text)
    return text


class _Token(NamedTuple):
    text: str
    at: int
    kind: str


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            at = len(text) - len(text[at:].lstrip())
            hint = "; a power is written a ** 2" if text[at] == "^" else ""
            raise _error(text, at, f"{text[at]!r} has no meaning in a formula{hint}")
        kind = found.lastgroup or ""
        yield _Token(found[kind], found.start(kind), kind)
        at = found.end()
    yield _Token("", len(text), "end")


def _error(text: str, at: int, why: str) -> ExpressionError:
    return ExpressionError(f"{why} (character {at + 1} of {text!r})")


class _Reader:
    """Reads by precedence, loosest first; a power binds tighter than the sign before it, and looser than the one after it."""

    def __init__(self, text: str) -> None:
        if not text.strip():
            raise ExpressionError("write a formula, such as a + s * (b - a)")
        if len(text) > LONGEST:
            raise ExpressionError(f"a formula has at most {LONGEST} characters, and this one has {len(text)}")
        self.text, self.names = text, dict[str, None]()
        self._tokens = list(_tokens(text))
        self._at = self._depth = 0

    def whole(self) -> Part:
        """All of the text."""
        value = self._or()
        if self._next.kind != "end":
            raise self._error(
                self._next, f"{self._next.text!r} cannot stand here; an operator is missing before it, or a ("
            )
        return value

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _error(self, token: _Token, why: str) -> ExpressionError:
        return _error(self.text, token.at, why)

    def _take(self, *wanted: str) -> str:
        """The next token, where it is one of these; else an empty text."""
        if (token := self._next).text not in wanted or token.kind == "end":
            return ""
        self._at += 1
        return token.text

    def _or(self) -> Part:
        return self._chain(self._and, {"or": either})

    def _and(self) -> Part:
        return self._chain(self._not, {"and": both})

    def _not(self) -> Part:
        if not self._take("not"):
            return self._comparison()
        inner = self._deeper(self._not)
        return lambda terms: negation(inner(terms))

    def _comparison(self) -> Part:
        first, links = self._sum(), list[tuple[Callable[[Any, Any], Any], Part]]()
        while relation := self._take(*RELATIONS):
            links.append((RELATIONS[relation], self._sum()))
        if not links:
            return first

        def holds(terms: Mapping[str, Any]) -> Any:
            left, all_hold = first(terms), None
            for relation, part in links:  # a < b < c: both hold
                right = part(terms)
                here = relation(left, right)
                left, all_hold = right, here if all_hold is None else both(all_hold, here)
            return all_hold

        return holds

    def _sum(self) -> Part:
        return self._chain(self._product, _SUMS)

    def _product(self) -> Part:
        return self._chain(self._signed, _PRODUCTS)

    def _chain(self, inner: Callable[[], Part], operators: Mapping[str, Callable[[Any, Any], Any]]) -> Part:
        """Parts joined by operators of one rank, from left to right."""
        first, rest = inner(), list[tuple[Callable[[Any, Any], Any], Part]]()
        while sign := self._take(*operators):
            rest.append((operators[sign], inner()))
        if not rest:
            return first

        def value(terms: Mapping[str, Any]) -> Any:
            result = first(terms)
            for apply, part in rest:
                result = apply(result, part(terms))
            return result

        return value

    def _signed(self) -> Part:
        if sign := self._take("-", "+"):
            inner = self._deeper(self._signed)
            return (lambda terms: -inner(terms)) if sign == "-" else inner
        base = self._atom()
        if not self._take("**"):
            return base
        exponent = self._deeper(self._signed)
        return lambda terms: power(base(terms), exponent(terms))

    def _deeper(self, read: Callable[[], Part]) -> Part:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(self._next, f"brackets and signs lie more than {DEEPEST} deep in each other")
        part = read()
        self._depth -= 1
        return part

    def _atom(self) -> Part:
        token = self._next
        self._at += 1
        if token.kind == "number":
            if self._next.kind == "name" and self._next.at == token.at + len(token.text):
                raise self._error(self._next, "an operator is missing between a number and a name")
            number: Value = float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
            return lambda _: number
        if token.text == "(":
            part = self._deeper(self._or)
            self._close(token)
            return part
        if token.kind == "name" and token.text not in WORDS:
            return self._named(token)
        self._at -= 1
        raise self._error(
            token, f"a value is missing before {token.text!r}" if token.text else "something is missing at the end"
        )

    def _named(self, token: _Token) -> Part:
        name = token.text
        if self._next.text == "(":
            return self._call(token)
        if name in CONSTANTS:
            constant = CONSTANTS[name]
            return lambda _: constant
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self._error(
                token, f"{name!r} is no name; names are of small letters, digits and _, and begin with a letter"
            )
        self.names[name] = None
        return lambda terms: terms[name]

    def _call(self, token: _Token) -> Part:
        if token.text not in FUNCTIONS:
            raise self._error(token, f"there is no function {token.text!r}; there are {', '.join(FUNCTIONS)}")
        bracket = self._next
        self._at += 1
        given = [self._deeper(self._or)]
        while self._take(","):
            given.append(self._deeper(self._or))
        self._close(bracket)
        function, least, most = FUNCTIONS[token.text]
        if not least <= len(given) <= (most or len(given)):
            wanted = f"{least}" if least == most else f"{least} or more"
            values = "value" if wanted == "1" else "values"
            raise self._error(token, f"{token.text} takes {wanted} {values}, and here are {len(given)}")
        return lambda terms: function(*(part(terms) for part in given))

    def _close(self, bracket: _Token) -> None:
        if not self._take(")"):
            raise self._error(bracket, "this bracket is not closed")
