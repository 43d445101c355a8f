"""Learned words: read in each form, and put where a prompt names them, as transformers embeds them by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_ldm import clip
from tiny_pipelines import tiny_clip_tokenizer
from torch import Tensor

from core.checkpoints.files import CheckpointError
from core.checkpoints.textual_inversion import read_embedding, teach
from core.checkpoints.weights import write_weights
from core.conditioning.prompts import remarks
from core.conditioning.tokenizer import TextTokenizer

WIDTH = 32


def vectors(number: int) -> Tensor:
    return torch.randn(number, WIDTH, generator=torch.Generator().manual_seed(number))


def tokenizer(tmp_path: Path) -> TextTokenizer:
    tiny_clip_tokenizer(tmp_path / "t")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (tmp_path / "t/tokenizer_config.json").write_text(json.dumps(config))
    return TextTokenizer.load(tmp_path / "t", 77)


def test_every_form_gives_the_vectors(tmp_path: Path) -> None:
    learned = vectors(3)
    a1111 = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": learned}, "name": "cat", "step": 5}
    torch.save(a1111, tmp_path / "a.pt")
    write_weights({"emb_params": learned}, tmp_path / "b.safetensors")
    write_weights({"<cat>": learned[0]}, tmp_path / "c.safetensors")
    torch.save({"<cat>": learned[0]}, tmp_path / "d.bin")
    for name, wanted in (
        ("a.pt", learned),
        ("b.safetensors", learned),
        ("c.safetensors", learned[:1]),
        ("d.bin", learned[:1]),
    ):
        assert torch.equal(read_embedding(tmp_path / name), wanted)
    write_weights({"input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)}, tmp_path / "u.safetensors")
    with pytest.raises(CheckpointError, match=r"u\.safetensors is a UNet"):
        read_embedding(tmp_path / "u.safetensors")


@pytest.mark.parametrize("number", [1, 3])
def test_a_word_stands_for_its_vectors_in_a_prompt(number: int, tmp_path: Path) -> None:
    text, tokens = clip(), tokenizer(tmp_path)
    taught = teach(text, tokens, "Cat-Toy", vectors(number), "cat.pt")
    prompts = ["a embedding:cat-toy b", "a b"]
    ids = taught.tokenizer(prompts)
    table = taught.text_encoder.transformer.get_input_embeddings().weight
    first = len(text.transformer.get_input_embeddings().weight)
    at = (ids[0] >= first).nonzero().flatten()
    assert len(at) == number
    torch.testing.assert_close(table[ids[0, at]], vectors(number))
    assert torch.equal(ids[1], tokens(prompts[1:])[0]), "other words keep their numbers"
    before, after = tokens(["a"])[0], ids[0, : at[0]]
    assert torch.equal(after, before[: len(after)])
    with torch.no_grad():
        torch.testing.assert_close(taught.text_encoder(ids[1:]), text(ids[1:]))
    assert remarks(taught.tokenizer, "embedding:Cat-Toy") == []
    assert "wire its file by textual_inversion" in remarks(tokens, "embedding:dog")[0]
    again = TextTokenizer.from_dict(taught.tokenizer.to_dict())
    assert torch.equal(again(prompts), ids)


def test_two_words_and_what_does_not_fit(tmp_path: Path) -> None:
    text, tokens = clip(), tokenizer(tmp_path)
    one = teach(text, tokens, "one", vectors(2), "one.pt")
    two = teach(*one, "two", vectors(1), "two.pt")
    ids = two.tokenizer(["embedding:one embedding:two"])[0]
    table = two.text_encoder.transformer.get_input_embeddings().weight
    learned = table[ids[ids >= len(text.transformer.get_input_embeddings().weight)]]
    torch.testing.assert_close(learned, torch.cat([vectors(2), vectors(1)]))
    with pytest.raises(ValueError, match="embedding:one is known already"):
        teach(*one, "one", vectors(1), "one.pt")
    with pytest.raises(ValueError, match="is no plain word"):
        teach(text, tokens, "a b", vectors(1), "a.pt")
    with pytest.raises(CheckpointError, match=r"wide\.pt has vectors of 7 numbers, and this text encoder's have 32"):
        teach(text, tokens, "wide", torch.zeros(1, 7), "wide.pt")
