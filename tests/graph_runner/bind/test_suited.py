"""Whether a value can be on a wire."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
import torch
from torch import nn

from graph_runner.bind.suited import told, unsuited
from graph_runner.contract import PortType, Wire
from graph_runner.contract.spec import ANY


class Denoiser(Protocol):
    def __call__(self, z: torch.Tensor) -> torch.Tensor: ...


def wire(base: Any, shape: str = "") -> PortType:
    return PortType("thing", wire=Wire("thing", shape), base=base)


IMAGE, FLOAT, INT = wire(torch.Tensor, "b 3 h w"), PortType("float", base=float), PortType("int", base=int)
MODEL = PortType("M", variable=True, base=nn.Module)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.zeros(2, 3, 4, 4), IMAGE),
        ([torch.zeros(2, 3, 4, 4)], IMAGE.listed()),
        ((), IMAGE.listed()),
        (torch.zeros(()), wire(torch.Tensor)),
        (torch.zeros(7), wire(torch.Tensor, "...")),
        (1, FLOAT),
        (1.5, FLOAT),
        (1, INT),
        (nn.Linear(1, 1), MODEL),
        (object(), ANY),
        (object(), PortType("T", variable=True)),
        (nn.Linear(1, 1), wire(Denoiser)),  # a protocol that cannot be asked
    ],
    ids=str,
)
def test_what_can(value: Any, kind: PortType) -> None:
    assert unsuited(value, kind) == ""


@pytest.mark.parametrize(
    ("value", "kind", "why"),
    [
        (torch.zeros(3, 4, 4), IMAGE, "this is a tensor of the shape 3 4 4"),
        (torch.zeros(2, 1, 4, 4), IMAGE, "this is a tensor of the shape 2 1 4 4"),
        (torch.zeros(()), IMAGE, "this is a tensor of the shape ()"),
        ("x", IMAGE, "this is of the type str"),
        (None, ANY, "this is None"),
        (torch.zeros(1, 3, 2, 2), IMAGE.listed(), "this is no list"),
        ([torch.zeros(1, 3, 2, 2), 3], IMAGE.listed(), "of its item 1, this is of the type int"),
        (True, INT, "this is of the type bool"),
        (1.5, INT, "this is of the type float"),
        (3, MODEL, "this is of the type int"),
    ],
    ids=str,
)
def test_what_cannot_and_why(value: Any, kind: PortType, why: str) -> None:
    assert unsuited(value, kind) == why


def test_what_a_port_takes_in_words() -> None:
    assert told(IMAGE) == "thing (Tensor) of the form 'b 3 h w'"
    assert told(IMAGE.listed()) == "a list of thing (Tensor) of the form 'b 3 h w'"
    assert (told(FLOAT), told(MODEL), told(PortType("T", variable=True))) == ("float", "Module", "any value")
