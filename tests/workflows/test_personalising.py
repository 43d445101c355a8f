"""One thing taught to a model of captioned shapes: by a low-rank adapter with a prior, and by a word."""

from __future__ import annotations

from pathlib import Path

import torch

from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.textual_inversion import read_embedding
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, load
from graph_runner.run.engine import Engine
from tests.workflows.test_tasks import SMALL, changed, shown

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TINY = {"prior_noise": {"shape": [4, 4, 8, 8]}, "prior": {"steps": 2}, "fit": {"steps": 3}, "sample": {"steps": 2}}


def small(name: str) -> Workflow:
    workflow = load(WORKFLOWS / f"{name}.json")
    for id, params in TINY.items():
        if id in workflow.nodes:
            workflow.nodes[id].params.update(params)
    return workflow


def test_a_subject_and_a_word_are_learned_and_saved(registry: Registry, tmp_path: Path) -> None:
    engine = Engine(registry, tmp_path)
    engine.run(changed("text_to_image", SMALL), targets=["keep"])
    result = engine.run(small("dreambooth"), targets=["model.unet", "fit.ema.adapter", "decoded", "save", "keep"])
    assert {"dreambooth.png"} <= shown(result)
    assert torch.isfinite(result.values["decoded"]).all()
    adapter, unet = result.values["fit.ema.adapter"], result.values["model.unet"]
    assert any(factors.up.any() for _, factors in adapter.factors())
    merged = merge_lora(unet, read_lora(tmp_path / "models/dreambooth.safetensors"))
    assert any(not torch.equal(merged.state_dict()[key], value) for key, value in unet.state_dict().items())
    result = engine.run(small("textual_inversion"), targets=["new.word", "fit.ema.word", "decoded", "save", "keep"])
    assert {"textual_inversion.png"} <= shown(result)
    word, fresh = result.values["fit.ema.word"], result.values["new.word"]
    assert not torch.equal(word.vectors, fresh.vectors)
    assert torch.equal(read_embedding(tmp_path / "models/target.safetensors"), word.vectors)
