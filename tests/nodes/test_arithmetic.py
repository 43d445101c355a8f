"""Arithmetic nodes in graphs: values and kinds, gradients in a training, the dry run's errors, numbers that are wired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core import tensor_arithmetic
from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from tests.nodes.samples import PARAMS

REGISTRY = Registry.scan(["graph_runner.zones", "nodes"])
NOISES = {
    "a": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 1}},
    "b": {"type": "gaussian_noise", "params": {"shape": [2, 4, 8, 8], "seed": 2}},
    "other": {"type": "gaussian_noise", "params": {"shape": [2, 3, 8, 8], "seed": 3}},
}


def node(type: str, params: dict[str, Any] | None = None, **wires: Any) -> dict[str, Any]:
    return {"type": type, "params": params or {}, "wires": wires}


def graph(**nodes: Any) -> Workflow:
    return Workflow.model_validate({"loom": 1, "nodes": NOISES | nodes})


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(REGISTRY, tmp_path)


def run(engine: Engine, wanted: str, **nodes: Any) -> Any:
    return engine.run(graph(**nodes), targets=["a", "b", wanted]).values


def formula(text: str, params: dict[str, Any] | None = None, **values: str) -> dict[str, Any]:
    return node("expression", {"formula": text} | ({"values": params} if params else {}), **({"values": values} if values else {}))  # fmt: skip


def test_a_formula_of_wires_and_numbers(engine: Engine) -> None:
    result = run(engine, "x", x=formula("a + s * (b - a)", {"s": 0.25}, a="a", b="b"))
    assert torch.equal(result["x"], result["a"] + 0.25 * (result["b"] - result["a"]))


def test_numbers_of_samples_are_lined_up_by_the_batch(engine: Engine) -> None:
    result = run(engine, "unit", size=node("norm", x="a"), unit=formula("a / size", a="a", size="size"))
    assert torch.allclose(result["unit"].flatten(1).norm(dim=1), torch.ones(2))


def test_a_whole_number_that_is_calculated_is_a_parameter_of_another_node(engine: Engine) -> None:
    result = run(engine, "x", n=formula("2 * k - 1", {"k": 1}), x=node("rows", {"count": 1}, x="a", first="n"))
    assert torch.equal(result["x"], result["a"][1:])


def test_kinds_go_on(engine: Engine) -> None:
    """What is calculated of latents goes where latents go, and of a number does not."""
    assert run(engine, "x", s=node("slerp", a="a", b="b"), x=node("noise_like", z="s"))["x"].shape == (2, 4, 8, 8)
    _, problems = validate(graph(n=node("to_number", x="m"), m=node("mean", {"axes": [0, 1, 2, 3]}, x="a"), x=node("noise_like", z="n")), REGISTRY)  # fmt: skip
    assert "takes latent, and n.value is float" in str(problems[0])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (formula("u + v", u="a", v="other"), "u is 2×4×8×8 and v is 2×3×8×8: axis 1 has 4 and 3"),
        (node("add_values", a="a", b="other"), "a is 2×4×8×8 and b is 2×3×8×8"),
        (node("cat", {"axis": 0}, items=["a", "other"]), "item 1 is 2×4×8×8 and item 2 is 2×3×8×8: only axis 0 may differ"),
        (node("split", {"sizes": [1, 2]}, x="a"), "1 + 2 = 3, and axis 1 of 2×4×8×8 has 4"),
        (node("mean", {"axes": [5]}, x="a"), "there is no axis 5"),
        (node("rows", {"first": 1, "count": 2}, x="a"), "rows 1 to 2 are asked for, counted from 0, and there are 2 rows"),
        (node("rearrange", {"pattern": "b c (h p) w -> b (c p) h w", "sizes": {"p": 3}}, x="a"), "does not fit 2×4×8×8"),
        (node("rearrange", {"pattern": "b c h w"}, x="a"), "'b c h w' does not fit 2×4×8×8"),
        (node("weighted_sum", {"weights": [1]}, values=["a", "b"]), "1 weights for 2 values"),
        (node("to_number", x="a"), "it holds 512 numbers"),
        (node("clamp", {"low": 1, "high": 0}, x="a"), "low must not be larger"),
        (formula("1 / z", {"z": 0}), "'1 / z' has no value here: division by zero"),
    ],
)  # fmt: skip
def test_the_dry_run_says_what_does_not_go_together(wrong: dict[str, Any], why: str, engine: Engine, tmp_path: Path) -> None:  # fmt: skip
    top, problems = validate(graph(x=wrong), REGISTRY)
    assert problems == []
    told = dry_run(top, tmp_path).problems
    assert [problem.node for problem in told] == ["x"]
    assert why in str(told[0])
    with pytest.raises(NodeError) as failed:
        run(engine, "x", x=wrong)
    assert why in str(failed.value)


def test_the_dry_run_knows_the_shapes(tmp_path: Path) -> None:
    top, problems = validate(
        graph(
            x=formula("a + s * b", a="a", b="b", s="s"), s=node("norm", x="b"), parts=node("split", {"sizes": [1, 3]}, x="x"), part=node("list_item", {"index": 1}, items="parts"),
            r=node("rearrange", {"pattern": "b c (h p) w -> b (c p) h w", "sizes": {"p": 2}}, x="x"), of_r=node("mean", x="r"), n=node("to_number", x="m"),
            m=node("mean", {"axes": [0, 1, 2, 3]}, x="x"), y=formula("n * a", n="n", a="a"),
        ),
        REGISTRY,
    )  # fmt: skip
    estimate = dry_run(top, tmp_path)
    assert problems == estimate.problems == []
    given = {id: next(iter(each.gives.values()), "") for id, each in estimate.nodes.items()}
    assert given["x"] == "2×4×8×8"
    assert given["s"] == "2×1×1×1"
    assert given["parts"] == "2 of 2×1×8×8"
    assert given["r"] == "2×8×4×8"


def test_an_error_in_a_formula_points_at_the_character_before_anything_runs() -> None:
    _, problems = validate(graph(x=formula("a +* b", a="a", b="b")), REGISTRY)
    assert [(problem.node, problem.port) for problem in problems] == [("x", "formula")]
    assert "character 4 of 'a +* b'" in problems[0].message


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_drawn_trains_as_the_node_does(engine: Engine, accumulate: int) -> None:
    def trained(**loss: dict[str, Any]) -> dict[str, torch.Tensor]:
        body = {
            "pictures": node("batch_images", batch="train.batch"),
            "z0": node("as_kind_of", x="pictures", like="other"),
            "noise": node("noise_like", z="z0"),
            "t": node("random_timesteps", schedule="schedule", z="z0"),
            "z": node("add_noise", schedule="schedule", z0="z0", noise="noise", t="t"),
            "p": node("denoise", model="train.models.unet", z="z", t="t"),
            **loss,
            "aim": node("objective", loss="loss", models=["train.models.unet"], optimizer="adamw"),
        }
        train = node(
            "train", {"steps": 2, "batch_size": 4, "accumulate": accumulate}, models={"unet": "unet"}, data="data"
        )
        nodes = {
            "schedule": node("noise_schedule"),
            "adamw": node("adamw", {"lr": 0.01}),
            "unet": node("unet", PARAMS["unet"] | {"in_channels": 3, "out_channels": 3}),
            "data": node("shapes_dataset", {"size": 8, "resolution": 8}),
            "train": train | {"body": {"nodes": body, "results": {"objectives": ["aim"]}}},
        }
        unet: torch.nn.Module = engine.run(graph(**nodes), targets=["train.models.unet"]).values["train.models.unet"]
        return unet.state_dict()

    drawn = trained(error=formula("(p - noise) ** 2", p="p", noise="noise"), loss=node("mean_loss", x="error"))
    ready = trained(loss=node("diffusion_loss", schedule="schedule", prediction="p", z0="z0", noise="noise", t="t"))
    assert all(torch.allclose(drawn[name], ready[name], atol=1e-4) for name in ready)


def test_slerp_keeps_the_length_and_meets_its_ends() -> None:
    a, b = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    for weight, end in ((0.0, a), (1.0, b)):
        assert torch.allclose(tensor_arithmetic.slerp(a, b, weight), end, atol=1e-5)
    unit = [each / each.flatten(1).norm(dim=1).view(3, 1, 1, 1) for each in (a, b)]
    middle = tensor_arithmetic.slerp(*unit, 0.3)
    assert torch.allclose(middle.flatten(1).norm(dim=1), torch.ones(3), atol=1e-5)
    angle = [torch.acos((x * y).flatten(1).sum(1)) for x, y in ((unit[0], middle), (unit[0], unit[1]))]
    assert torch.allclose(angle[0], 0.3 * angle[1], atol=1e-4)
    assert torch.allclose(tensor_arithmetic.slerp(a, 2 * a, 0.5), 1.5 * a)  # one direction: a straight line
    with pytest.raises(ValueError, match="an axis besides the batch"):
        tensor_arithmetic.slerp(torch.ones(2), torch.ones(2), 0.5)


def test_sizes_and_means_are_those_of_torch() -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    flat = x.flatten(1)
    wanted = {
        "l2": flat.norm(dim=1),
        "l1": flat.abs().sum(1),
        "max": flat.abs().amax(1),
        "rms": flat.square().mean(1).sqrt(),
    }
    for kind, size in wanted.items():
        found = tensor_arithmetic.norm(x, kind)  # type: ignore[arg-type]
        assert found.shape == (2, 1, 1)
        assert torch.allclose(found.flatten(), size)
    assert torch.allclose(tensor_arithmetic.mean(x, [-1]), x.mean(2, keepdim=True))
