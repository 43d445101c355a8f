"""A toy world for the engine's tests: numbers, one-parameter models, and a log of what was computed."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from graph_runner.context import Loop, Metrics, Outputs, Rng, Stateful
from graph_runner.contract import Body, Field, File, Ports, Wire, node

CALLS: list[str] = []
"""The labels of the `noted` nodes that were really computed, in order."""
RECORDED: dict[str, list[float]] = {}
"""What `record` nodes saw."""


class Scalar(nn.Module):
    """One weight."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


class ScalarCodec:
    def save(self, value: Scalar) -> dict[str, Tensor]:
        return dict(value.state_dict())

    def load(self, tree: dict[str, Tensor]) -> Scalar:
        model = Scalar()
        model.load_state_dict(tree)
        return model


Number = Annotated[Tensor, Wire("number", "")]
Text = Annotated[str, Wire("text")]
Model = Annotated[Scalar, Wire("model", codec=ScalarCodec())]
T = TypeVar("T")


@node(category="toy")
def number(value: Annotated[float, Field(ge=-100, le=100)] = 0.0) -> Number:
    """A constant.

    value: the number.
    """
    return torch.tensor(value)


@node(category="toy")
def add(a: Number, b: Number) -> Number:
    """The sum of two numbers."""
    return a + b


@node(category="toy")
def total(numbers: list[Number]) -> Number:
    """The sum of many numbers."""
    return torch.stack(numbers).sum()


@node(category="toy")
def scale(x: Number, by: float = 1.0) -> Number:
    """A number times a literal."""
    return x * by


@node(category="toy")
def noted(x: Number, label: str = "noted") -> Number:
    """Pass a number on, and log that it was computed."""
    CALLS.append(label)
    return x + 0


@node(category="toy", keep=True)
def kept(x: Number, label: str = "kept") -> Number:
    """Pass a number on, log it, and keep it on disk."""
    CALLS.append(label)
    return x + 0


@node(category="toy")
def read_number(path: File) -> Number:
    """A number from a text file."""
    from pathlib import Path

    CALLS.append("read")
    return torch.tensor(float(Path(path).read_text()))


class Halves(NamedTuple):
    low: Number
    high: Number


@node(category="toy")
def halves(x: Number) -> Halves:
    """Two outputs."""
    return Halves(x / 2, x - x / 2)


@node(category="toy")
def random_number(rng: Rng) -> Number:
    """A normal draw."""
    return rng.randn(1)[0]


@node(category="toy")
def text(value: str = "hello") -> Text:
    """A text, of another wire type than a number."""
    return value


@node(category="toy")
def same(x: T) -> T:
    """Whatever comes in goes out, and the type follows."""
    return x


@node(category="toy")
def maybe(x: Number, y: Number | None = None) -> Number:
    """An optional input."""
    return x if y is None else x + y


@node(category="toy", effect=True)
def record(x: Number, label: str = "x") -> None:
    """Remember a number for the test."""
    RECORDED.setdefault(label, []).append(float(x.detach()))


@node(category="toy", effect=True)
def show_number(x: Number, outputs: Outputs, name: str = "number") -> None:
    """Write a number to a text file of the run."""
    outputs.file(f"{name}.txt", lambda path: path.write_text(str(float(x))) and None, media="text/plain", preview=True)


@node(category="toy", effect=True)
def show_pixel(x: Number, outputs: Outputs, name: str = "pixel") -> None:
    """Write a picture of one pixel, as bright as a number."""
    from PIL import Image

    picture = Image.new("L", (1, 1), int(x))
    outputs.file(f"{name}.png", lambda path: picture.save(path, "PNG"), media="image/png", preview=True)


@node(category="toy", effect=True)
def measure(x: Number, metrics: Metrics) -> None:
    """Report a number as a metric."""
    metrics(x=x)


@node(category="toy")
def fail(x: Number) -> Number:
    """A node that cannot do its work."""
    raise ValueError("the toy broke")


@node(category="toy", mutates=("model",))
def nudge(model: Model, by: float = 1.0) -> Model:
    """Change a model in place."""
    with torch.no_grad():
        model.weight += by
    return model


@node(category="toy")
def scalar_model(weight: float = 1.0) -> Model:
    """A model of one weight."""
    return Scalar(weight)


@node(category="toy")
def weight_of(model: Model) -> Number:
    """The weight as a number."""
    return model.weight * 1


@node(category="toy")
def apply(model: Model, x: Number) -> Number:
    """The model's output."""
    return model(x)


@node(category="toy")
def applied_with_dropout(model: Model, x: Number) -> Number:
    """The model's output through dropout, which draws where the model trains."""
    return model.dropout(model(x).expand(8)).mean()


@node(category="toy")
def square(x: Number) -> Number:
    """The square."""
    return x * x


class Step(Protocol):
    def __call__(self, x: Number) -> Number: ...


@node(category="toy")
def iterate(body: Body[Step], x: Number, loop: Loop, n: int = 3) -> Number:
    """Apply the body n times."""
    for _ in loop(n):
        x = body(x)
    return x


@node(category="toy", grad=("x",))
def slope(y: Number, x: Number) -> Number:
    """dy/dx."""
    return torch.autograd.grad(y, x)[0]


@node(category="toy", batched=("x",))
def joined(x: Number, model: Model) -> Number:
    """A call that may be joined with others along its first axis."""
    CALLS.append(f"joined {x.shape[0]}")
    return model(x)


@node(category="toy")
def vector(values: list[float]) -> Number:
    """A one-axis tensor."""
    return torch.tensor(values)


@node(category="toy")
def largest(numbers: Ports[Number]) -> Number:
    """The largest of user-named numbers."""
    return torch.stack(list(numbers.values())).max()


M = TypeVar("M", bound=nn.Module)


class Lesson(Protocol):
    def __call__(self, models: Ports[M], turn: int) -> Number: ...


@node(category="toy", trains=True, mutates=("models",))
def learn(body: Body[Lesson], models: Ports[M], loop: Loop, n: int = 3, accumulate: int = 1) -> Ports[M]:
    """Gradient descent on what the body gives."""
    for model in models.values():
        model.train().requires_grad_(True)
    weights = [p for model in models.values() for p in model.parameters()]
    for turn in loop(n):
        grads = [torch.autograd.grad(body(models, turn), weights) for _ in loop.micro(accumulate)]
        for weight, *parts in zip(weights, *grads, strict=True):
            weight -= 0.1 * sum(parts)
    return models


class Counter(Stateful):
    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x = state["x"]


@node(category="toy", keep=True, continues="n")
def counted(body: Body[Step], x: Number, loop: Loop, n: int = 3) -> Number:
    """A loop with checkpoints."""
    state = Counter(x)
    for _ in loop(n, state=state):
        state.x = body(state.x)
    return state.x
