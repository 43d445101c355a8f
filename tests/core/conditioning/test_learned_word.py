"""A word that is learned: its vectors alone take gradients, and what a training leaves is what a file of it gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from core.checkpoints.textual_inversion import read_embedding, teach, tokenizer_with, write_embedding
from core.conditioning.learned_word import token_embedding, vocabulary, with_word, word_like
from core.conditioning.text import BERTEmbedder
from core.conditioning.tokenizer import TextTokenizer, train_wordpiece

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
from tiny_ldm import clip
from tiny_pipelines import tiny_clip_tokenizer


def clip_tokenizer(folder: Path) -> TextTokenizer:
    tiny_clip_tokenizer(folder)
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return TextTokenizer.load(folder, 77)


@pytest.mark.parametrize("kind", ["CLIP", "BERT"])
def test_it_is_what_a_file_of_its_vectors_gives(kind: str, tmp_path: Path) -> None:
    if kind == "CLIP":
        text, tokenizer = clip(), clip_tokenizer(tmp_path / "t")
    else:
        tokenizer = train_wordpiece(["a red circle", "a blue square"], 64, 8)
        text = BERTEmbedder(16, 1, tokenizer.vocab_size, 8).eval()
    text.requires_grad_(False)
    word = word_like(text, [5, 7], 3)
    assert torch.equal(word.vectors[2], token_embedding(text).weight[7])
    with torch.no_grad():
        word.vectors.add_(1)
    first = vocabulary(text)
    knows = tokenizer_with(tokenizer, "thing", first, 3)
    known = with_word(text, word)
    assert vocabulary(known) == first + 3
    ids = knows(["a embedding:thing", "a circle"])
    assert ids[0].max() == first + 2
    context = known(ids)
    assert torch.equal(context[1], text(tokenizer(["a red", "a circle"]))[1])
    write_embedding(tmp_path / "w.safetensors", word.vectors, "thing", "a1111")
    taught = teach(text, tokenizer, "thing", read_embedding(tmp_path / "w.safetensors"), "w")
    torch.testing.assert_close(
        taught.text_encoder(taught.tokenizer(["a embedding:thing"])), context[:1], rtol=1e-5, atol=1e-5
    )
    context.square().sum().backward()
    assert word.vectors.grad is not None
    assert all(parameter.grad is None for parameter in text.parameters())
    with pytest.raises(ValueError, match="has vectors of"):
        with_word(BERTEmbedder(24, 1, 64, 8), word)


def test_two_words_stand_side_by_side() -> None:
    text = BERTEmbedder(16, 1, 20, 8).eval()
    one, two = word_like(text, [3], 2), word_like(text, [4], 1)
    both = with_word(with_word(text, one), two)
    with torch.no_grad():
        two.vectors.add_(1)
        wanted = text.transformer.token_emb.weight[4] + 1
        found = token_embedding(both)(torch.tensor([[3, 20, 21, 22]]))
        assert torch.equal(found[0, :3], text.transformer.token_emb.weight[3].expand(3, -1))
        assert torch.equal(found[0, 3], wanted)


def test_diffusers_reads_its_form(tmp_path: Path) -> None:
    """load_textual_inversion of a small pipeline adds the token and its vector."""
    from diffusers import StableDiffusionPipeline
    from tiny_pipelines import PIPELINES

    pipeline: StableDiffusionPipeline = PIPELINES["Stable Diffusion 1"](tmp_path)
    vector = torch.randn(1, 32)
    write_embedding(tmp_path / "d.safetensors", vector[0], "cat", "diffusers")
    write_embedding(tmp_path / "a.safetensors", vector, "cat", "a1111")
    pipeline.load_textual_inversion(str(tmp_path / "d.safetensors"))
    pipeline.load_textual_inversion(str(tmp_path / "a.safetensors"), token="<dog>")
    for token in ("<cat>", "<dog>"):
        number = pipeline.tokenizer.convert_tokens_to_ids(token)
        assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[number], vector[0])
