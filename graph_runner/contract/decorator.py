"""The decorator that makes a node of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from graph_runner.contract.reader import read_spec
from graph_runner.contract.spec import Draws, Saves

F = TypeVar("F", bound=Callable[..., Any])


def node(
    *,
    category: str,
    version: int = 1,
    effect: bool = False,
    mutates: tuple[str, ...] = (),
    grad: tuple[str, ...] = (),
    batched: tuple[str, ...] = (),
    keep: bool = False,
    trains: bool = False,
    aside: str = "",
    continues: str | None = None,
    independent: bool = False,
    continues_from: str = "",
    dry: Callable[..., Any] | None = None,
    saves: Saves | None = None,
    draws_when: Draws | None = None,
    formerly: tuple[str, ...] = (),
    lighter: str = "",
    conditional: str = "",
    whole: bool = False,
    lazy: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    words: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Mark a function as a node.

    category: where the palette lists it. version: part of its cache key, raised when what it computes changes.
    effect: it saves or shows something, so it runs although nobody reads it, and is never cached. mutates: names of
    inputs it changes in place (the engine hands it copies where others read them). grad: names of inputs with respect to
    which it needs gradients, even where gradients are off. batched: names of inputs along whose first axis several
    calls may be made as one batched call (their values are tensors or Joinable, their results tensors with one row for each).
    keep: results are worth the disk. trains: the body runs with gradients on. aside: the zone is a callback. The named
    parameter, a whole number n, says that it runs every n steps of the zone around it; it is no part of what that one
    computes. continues: a parameter, a number of steps; where it is larger than before, the zone goes on from an earlier
    checkpoint. continues_from: a parameter, a `Checkpoint` of another training to begin at. independent: a zone whose iterations
    depend on nothing but what it is given and their number (it goes round by `loop.map`): other nodes in its body do not change
    what is trained there, and an executor may do them elsewhere. dry: what stands in for the function in a dry run, where it goes
    through much by itself: it takes the same, does a part, and reports how large a part by its progress. formerly: names the node had before, the first published
    one first; files that use them open, and what it draws and what is cached stay as they were.
    words: by which people look for it besides its name: what other programs call it ("ksampler"), what it is for ("img2img").
    conditional: a zone whose body may not run at all, as the named input says: nothing of the body is computed before that is known,
    and a dry run goes through it.
    whole: a zone whose body is done whole each time: what in it depends on nothing that changes is not computed once outside.
    lazy: inputs that it does not always read, each with a function of some of its other single inputs, by their names, that says whether it
    does: {"uncond": lambda scale: scale != 1}. Where it does not, what only makes that value is not computed, and None comes in.
    lighter: another node, of the same inputs and outputs, that does the same in less memory.
    saves: what it writes through its `Saving`, from its literals and the names of its wires, so that two nodes of one graph
    do not save under one name.
    draws_when: whether it draws random numbers, from its literals, where it does not always: what draws nothing may share a seed.
    """

    def attach(function: F) -> F:
        spec = read_spec(
            function,
            category=category,
            version=version,
            effect=effect,
            mutates=mutates,
            grad=grad,
            batched=batched,
            keep=keep,
            trains=trains,
            aside=aside,
            continues=continues,
            independent=independent,
            continues_from=continues_from,
            dry=dry,
            saves=saves,
            draws_when=draws_when,
            formerly=formerly,
            lighter=lighter,
            conditional=conditional,
            whole=whole,
            lazy=lazy,
            words=words,
        )
        function.__node__ = spec  # type: ignore[attr-defined]
        return function

    return attach
