"""A learned word from its file to a prompt's condition."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.checkpoints.weights import write_weights
from core.conditioning.learned_word import LearnedWord
from graph_runner.base.events import Log
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine
from graph_runner.run.failures import NodeError
from nodes.textual_inversion import save_word

sys.path.append(str(Path(__file__).parents[1] / "core" / "checkpoints"))
import tiny_pipelines


def test_a_learned_word_changes_what_a_prompt_says(engine: Engine, tmp_path: Path) -> None:
    tiny_pipelines.PIPELINES["Stable Diffusion 1"](tmp_path).save_pretrained(tmp_path / "sd")
    loaded = {"type": "load_checkpoint", "params": {"path": "sd"}}
    text = Workflow.model_validate({"loom": 1, "nodes": {"model": loaded}})
    encoder = engine.run(text, targets=["model.text_encoder"]).values["model.text_encoder"]
    width = encoder.transformer.get_input_embeddings().weight.shape[1]
    write_weights({"emb_params": torch.randn(2, width)}, tmp_path / "my cat.safetensors")
    write_weights({"emb_params": torch.randn(2, 768 if width != 768 else 1024)}, tmp_path / "other.safetensors")
    halves = {"text_encoder": "model.text_encoder", "tokenizer": "model.tokenizer"}

    def graph(path: str) -> Workflow:
        word = {"type": "textual_inversion", "wires": halves, "params": {"path": path}}
        params = {"prompts": ["a embedding:my-cat", "a"]}
        nodes = {
            "model": loaded,
            "word": word,
            "plain": {"type": "text_context", "wires": halves, "params": params},
            "told": {
                "type": "text_context",
                "wires": {"text_encoder": "word.text_encoder", "tokenizer": "word.tokenizer"},
                "params": params,
            },
        }
        return Workflow.model_validate({"loom": 1, "nodes": nodes})

    run = engine.run(graph("my cat.safetensors"), targets=["plain", "told"])
    plain, told = (run.values[name].context for name in ("plain", "told"))
    assert not torch.allclose(plain[0], told[0])
    torch.testing.assert_close(plain[1], told[1])
    remarks = {event.node for event in run.events if isinstance(event, Log) and "textual_inversion" in event.message}
    assert remarks == {"plain"}
    with pytest.raises(NodeError, match=r"^word: .*other\.safetensors has vectors of"):
        engine.run(graph("other.safetensors"), targets=["told"])


@pytest.mark.parametrize("name", ["cat-v1.5", "words/cat-v1.5.safetensors"])
def test_a_saved_word_has_the_name_of_its_file(name: str, tmp_path: Path) -> None:
    save_word(lambda path: tmp_path / Path(path).name, LearnedWord(1, 4), name, "diffusers")
    assert list(load_file(tmp_path / "cat-v1.5.safetensors")) == ["<cat-v1.5>"]
