"""A denoiser and a part of a condition that a stranger's package brings: trained in the quickstart's graph, guided, kept, resumed."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import PARTS
from core.diffusion.tiles import denoise_tiles
from core.models.denoiser import denoise
from core.models.unet import UNet
from graph_runner.base import events
from graph_runner.bind.paths import Paths
from graph_runner.bind.validate import errors, validate
from graph_runner.context import Processes
from graph_runner.contract import ContractError
from graph_runner.contract.registry import Registry
from graph_runner.estimate.dry import dry_run
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine, Result
from graph_runner.run.shares import put_together
from tests.nodes.toy_control import Control, Mixer

QUICKSTART = Path(__file__).parents[2] / "workflows" / "quickstart.json"
STEPS = 50
TINY = {
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "attention_factors": [],
    "num_heads": 2,
    "norm_groups": 4,
}
PACKAGE = """
from dataclasses import dataclass

from torch import Tensor

from core.conditioning.parts import PARTS, Part


@PARTS.mark
@dataclass(frozen=True, eq=False)
class Theirs(Part):
    name = "{name}"
    about = "a part of another package"
    values: Tensor
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.scan(["graph_runner.zones", "nodes", "tests.nodes.toy_models", "tests.nodes.toy_control"])


@pytest.fixture
def engine(registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, tmp_path)


def quickstart(**unet: Any) -> Workflow:
    """The shipped graph with one node exchanged, and small."""
    workflow = load(QUICKSTART)
    workflow.nodes["unet0"] = type(workflow.nodes["unet0"])(**(unet or {"type": "mixer"}))
    for id, changes in {
        "shapes": {"size": 128},
        "autoencoder": {"steps": 2, "batch_size": 8},
        "diffusion": {"steps": STEPS, "batch_size": 32, "log_every": 1},
        "sample": {"steps": 2},
    }.items():
        workflow.nodes[id].params.update(changes)
    return workflow


def losses(result: Result) -> list[float]:
    told = [event for event in result.events if isinstance(event, events.Metric) and event.node == "diffusion"]
    return [event.values["loss/diffusion"] for event in told]


def rows(n: int, hint: bool = True, seed: int = 0) -> Conditioning:
    """A condition for n latents of 8 × 8."""
    torch.manual_seed(seed)
    residuals = Control((torch.randn(n, 4, 8, 8), torch.randn(n, 4, 4, 4)), strength=0.5)
    return Conditioning(torch.randn(n, 3, 6), parts=[residuals] if hint else [])


def same(a: Conditioning, b: Conditioning) -> bool:
    return list(a.parts) == list(b.parts) and all(map(torch.equal, a.tensors(), b.tensors()))


def test_it_trains_in_the_quickstarts_graph_by_exchanging_one_node(engine: Engine) -> None:
    result = engine.run(quickstart(), targets=["decoded", "diffusion.models.unet"], only=True)
    found = losses(result)
    assert found[0] == pytest.approx(1, abs=0.2), "it predicts nothing at first"
    assert sum(found[-5:]) / 5 < 0.85
    assert isinstance(result.values["diffusion.models.unet"], Mixer)
    assert result.values["decoded"].shape == (24, 3, 32, 32)
    again = engine.run(quickstart(), targets=["decoded"], only=True)
    assert {event.node for event in again.events if isinstance(event, events.Cached)} >= {"decoded"}
    assert torch.equal(again.values["decoded"], result.values["decoded"])


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(registry: Registry, tmp_path: Path) -> None:
    target = "diffusion.models.unet"
    whole = Engine(registry, tmp_path / "whole").run(quickstart(), targets=[target], only=True).values[target]
    stop = threading.Event()

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Metric) and event.node == "diffusion" and event.turn == STEPS // 2:
            stop.set()

    broken = Engine(registry, tmp_path / "broken").run(
        quickstart(), targets=[target], only=True, checkpoint_seconds=0, listeners=[interrupt], stop=stop
    )
    assert target not in broken.values
    resumed = Engine(registry, tmp_path / "broken").run(quickstart(), targets=[target], only=True)
    assert len(losses(resumed)) < STEPS, "it began anew"
    state = resumed.values[target].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize(
    ("exchanged", "wrong"),
    [
        ({"type": "mixer"}, ""),
        ({"type": "mixer", "params": {"channels": 3}}, "takes b 3 ..., says model"),
        ({"type": "mixer", "params": {"context_dim": 5}}, "the shapes do not fit"),
        ({"type": "unet", "params": TINY}, "the UNet takes no context"),
        ({"type": "unet", "params": TINY | {"context_dim": 64, "num_classes": 25}}, "the UNet needs y"),
        ({"type": "unet", "params": TINY | {"context_dim": 64, "in_channels": 7}}, "the UNet needs concat"),
    ],
)
def test_what_it_takes_is_known_before_the_run(
    exchanged: dict[str, Any], wrong: str, registry: Registry, tmp_path: Path
) -> None:
    workflow = quickstart(**exchanged)
    del workflow.nodes["keep"]
    top, problems = validate(workflow, registry, Paths(tmp_path))
    assert errors(problems) == []
    estimate = dry_run(top, tmp_path)
    assert [problem.node for problem in estimate.problems] == (["prediction"] if wrong else [])
    assert all(wrong in problem.message for problem in estimate.problems), estimate.problems


def guided(batch: int = 2) -> Workflow:
    """Guidance with tokens and residuals on both sides."""
    body = {
        id: {"type": "denoise", "wires": {"model": "mixer", "z": "sample.z", "t": "sample.t", "condition": condition}}
        for id, condition in (("with", "cond"), ("without", "null"))
    }
    body["guide"] = {"type": "cfg_combine", "wires": {"cond": "with", "uncond": "without"}}
    nodes = {
        "mixer": {"type": "mixer", "params": {"context_dim": 16}},
        "embedder": {"type": "class_embedder", "params": {"classes": 4, "dim": 16}},
        "class": {"type": "class_context", "wires": {"embedder": "embedder"}, "params": {"classes": [1] * batch}},
        "none": {"type": "class_context", "wires": {"embedder": "embedder"}},
        "hint": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8], "seed": 5}},
        "control": {"type": "control", "wires": {"hint": "hint"}},
        "cond": {"type": "combine_conditions", "wires": {"a": "class", "b": "control"}},
        "grey": {"type": "null_like", "wires": {"conditioning": "control"}},
        "null": {"type": "combine_conditions", "wires": {"a": "none", "b": "grey"}},
        "noise": {"type": "gaussian_noise", "params": {"shape": [batch, 4, 8, 8]}},
        "schedule": {"type": "noise_schedule"},
        "sample": {
            "type": "sample",
            "params": {"steps": 3},
            "wires": {"noise": "noise", "schedule": "schedule"},
            "body": {"nodes": body, "results": {"prediction": "guide"}},
        },
    }
    return Workflow.model_validate({"loom": 1, "nodes": nodes})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_is_guided_in_half_precision(registry: Registry, tmp_path: Path, dtype: str) -> None:
    whole = Engine(registry, tmp_path / "whole").run(guided(), targets=["sample"]).values["sample"]
    half = Engine(registry, tmp_path / "half", dtype=dtype).run(guided(), targets=["sample"]).values["sample"]
    assert half.dtype == torch.float32
    assert 0 < float((half - whole).abs().mean()) < 0.05 * float(whole.abs().mean())


def test_guidance_asks_it_once_for_both_conditions(engine: Engine) -> None:
    values = engine.run(guided(), targets=["sample", "mixer", "cond", "null"]).values
    model = values["mixer"]
    assert model.calls == [4, 4, 4], "three steps, both conditions at once"
    z, t = torch.randn(2, 4, 8, 8), torch.tensor(500)
    told, untold = (denoise(model, z, t, values[name]) for name in ("cond", "null"))
    both = denoise(model, torch.cat([z, z]), t, Conditioning.cat([values["cond"].expand(2), values["null"].expand(2)]))
    torch.testing.assert_close(both, torch.cat([told, untold]))
    assert not torch.allclose(told, untold, atol=1e-3)


def cached(result: Result) -> bool:
    return "control" in {event.node for event in result.events if isinstance(event, events.Cached)}


def test_its_condition_is_kept_on_disk(registry: Registry, tmp_path: Path) -> None:
    first = Engine(registry, tmp_path).run(guided(), targets=["control"])
    again = Engine(registry, tmp_path).run(guided(), targets=["control"])
    assert cached(again)
    assert not cached(first)
    assert isinstance(again.values["control"].parts["control"], Control)
    assert same(again.values["control"], first.values["control"])


def test_what_is_kept_of_a_kind_that_is_not_listed_is_computed_anew_and_told(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Conditioning, "to_tree", lambda self: {"parts": {"os.system": self[Control].to_tree()}})
        Engine(registry, tmp_path).run(guided(), targets=["control"])
    anew = Engine(registry, tmp_path).run(guided(), targets=["control"])
    assert not cached(anew)
    told = [event.message for event in anew.events if isinstance(event, events.Log) and event.node == "control"]
    assert len(told) == 1
    assert "no condition part is called 'os.system'" in told[0]
    assert cached(Engine(registry, tmp_path).run(guided(), targets=["control"]))


def test_a_dropped_sample_loses_all_of_its_tensors(engine: Engine) -> None:
    workflow = guided(16)
    nodes = dict(workflow.nodes)
    dropped = {
        "type": "drop_conditions",
        "params": {"probability": 0.5},
        "wires": {"conditioning": "cond", "null": "null"},
    }
    nodes["dropped"] = type(workflow.nodes["cond"])(**dropped)
    workflow = workflow.model_copy(update={"nodes": nodes})
    values = engine.run(workflow, targets=["dropped", "cond", "null"]).values
    lost = []
    for found, cond, null in zip(*(values[name].tensors() for name in ("dropped", "cond", "null")), strict=True):
        given, empty = cond.expand_as(found), null.expand_as(found)
        assert all(torch.equal(found[i], given[i]) or torch.equal(found[i], empty[i]) for i in range(16))
        lost.append([bool(torch.equal(found[i], empty[i])) for i in range(16)])
    assert lost[0] == lost[1] == lost[2]
    assert 0 < sum(lost[0]) < 16


def test_rows_of_processes_are_put_together_part_by_part() -> None:
    class Two(Processes):
        def gather(self, value: Any) -> list[Any]:
            return [value, value]

    told = rows(2)
    (whole,) = put_together([told], Two(0, 2))
    assert same(whole, Conditioning.cat([told, told]))


def test_tiles_cut_it_as_it_says() -> None:
    model = Mixer(4, 8, 6)
    z, t, told = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), rows(2)
    with torch.no_grad():
        tiled = denoise_tiles(model, z, t, told, kernel=4, stride=4)
        corner = Conditioning(
            told.context, parts=[told[Control].map(lambda r: r[..., : r.shape[2] // 2, : r.shape[3] // 2])]
        )
        assert torch.allclose(tiled[..., :4, :4], denoise(model, z[..., :4, :4], t, corner), atol=1e-6)


def test_parts_of_different_arrangement_do_not_fit_together() -> None:
    weaker = Conditioning(rows(2).context, parts=[Control(rows(2)[Control].residuals, strength=0.1)])
    for other in (weaker, rows(2, hint=False)):
        with pytest.raises(ValueError, match=r"do not fit together: control|hold control"):
            Conditioning.cat([rows(2), other])
    summed = rows(1) | Conditioning(parts=[rows(1, seed=1)[Control]])
    assert torch.equal(
        summed[Control].residuals[1], rows(1)[Control].residuals[1] + rows(1, seed=1)[Control].residuals[1]
    )


def test_two_packages_with_a_part_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_control.py").write_text(PACKAGE.format(name="control"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ContractError, match=r"two kinds of condition part are called 'control': in tests.nodes.toy_control"
    ):
        Registry.scan(["tests.nodes.toy_control", "other_control"])
    assert PARTS["control"] is Control


def test_importing_lists_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quiet_control.py").write_text(PACKAGE.format(name="quiet"))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("quiet_control")
    assert "quiet" not in PARTS
    with pytest.raises(ValueError, match=r"no condition part is called 'quiet'; there are context, .*--nodes"):
        Conditioning.from_tree({"parts": {"quiet": {"values": torch.zeros(1)}}})
    Registry.scan(["quiet_control"])
    assert "quiet" in PARTS
    monkeypatch.delitem(PARTS._kinds, "quiet")


def test_the_shipped_denoiser_refuses_what_it_would_ignore() -> None:
    told = rows(2)
    unet = UNet(4, 4, 8, (1, 2), 1, (2,), num_heads=2, context_dim=6, norm_groups=4)
    denoise(unet, torch.randn(2, 4, 8, 8), torch.tensor(1), Conditioning(told.context))
    with pytest.raises(ValueError, match=r"the UNet takes no control \(residuals for the features\)"):
        denoise(unet, torch.randn(2, 4, 8, 8), torch.tensor(1), told)


def test_a_unet_is_a_denoiser_and_not_every_denoiser_a_unet(registry: Registry) -> None:
    """Packages of version 0.1 give and take the wire `unet`, and still may."""

    def problems(giver: str, taker: str, port: str) -> list[str]:
        nodes: dict[str, Any] = {
            "giver": {"type": giver, "params": TINY if giver == "unet" else {}},
            "taker": {"type": taker, "wires": {port: "giver"}},
            "z": {"type": "gaussian_noise"},
            "schedule": {"type": "noise_schedule"},
            "t": {"type": "random_timesteps", "wires": {"schedule": "schedule", "z": "z"}},
        }
        if taker == "denoise":
            nodes["taker"]["wires"] |= {"z": "z", "t": "t"}
        found = validate(Workflow.model_validate({"loom": 1, "nodes": nodes}), registry)[1]
        return [problem.message for problem in errors(found)]

    assert problems("unet", "denoise", "model") == []
    assert problems("mixer", "denoise", "model") == []
    assert problems("unet", "awakened_unet", "model") == []
    assert problems("mixer", "awakened_unet", "model") == ["takes unet, and giver.denoiser is denoiser"]
