"""Tokenizers without a network, and prompt weights."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch

from core.conditioning.prompts import apply_weights, parse_weights, weighted_tokens
from core.conditioning.tokenizer import TextTokenizer, tokenizer_files, train_wordpiece

CAPTIONS = ["a red circle on a blue gradient", "a green square", "two yellow triangles near a café"]


def tiny_clip_folder(folder: Path) -> Path:
    """A CLIP tokenizer's folder in the published form, with three merges."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merges = [("r", "e"), ("re", "d</w>"), ("a", "t</w>")]
    tokens = [*letters, *(f"{c}</w>" for c in letters), *("".join(m) for m in merges)]
    vocab = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    end = "<|endoftext|>"
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16, "pad_token": end, "unk_token": end}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_trained_wordpiece_pads_cuts_and_adds_the_special_tokens() -> None:
    tokenizer = train_wordpiece(CAPTIONS, vocab_size=200, length=6)
    ids = tokenizer(["A RED circle", "", "a red circle on a blue gradient"])
    assert ids.shape == (3, 6)
    assert ids.dtype == torch.int64
    assert ids[1].tolist() == [2, 3, 0, 0, 0, 0]
    assert ids[0, 0] == 2
    assert ids[0, -2:].tolist() == [3, 0]
    assert ids[2, -1] == 3
    assert tokenizer.backend.decode(ids[0].tolist()) == "a red circle"
    assert 1 not in tokenizer(["a red square near a café"])


def test_the_same_captions_give_the_same_vocabulary() -> None:
    vocabularies = [train_wordpiece(CAPTIONS, vocab_size=80).backend.get_vocab() for _ in range(4)]
    assert len(vocabularies[0]) == 80
    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies)


def test_saved_tokenizer_is_read_by_us_and_by_transformers(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    tokenizer = train_wordpiece(CAPTIONS, vocab_size=200, length=9)
    tokenizer.save(tmp_path / "t")
    again = TextTokenizer.load(tmp_path / "t")
    theirs = BertTokenizer.from_pretrained(tmp_path / "t")
    expected = tokenizer(["a red café", ""])
    assert torch.equal(again(["a red café", ""]), expected)
    assert theirs(["a red café", ""], padding="max_length").input_ids == expected.tolist()
    as_json = TextTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert torch.equal(as_json(["a red café", ""]), expected)
    assert (again.length, again.pad_token, again.kind) == (9, "[PAD]", "BertTokenizer")


@pytest.mark.parametrize("known", [True, False], ids=["of a known kind", "of a kind of its own"])
@pytest.mark.parametrize("answer", ["", "y\n" * 10], ids=["no answer", "yes"])
def test_code_in_a_tokenizers_folder_is_never_run(
    known: bool, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anybody ask on the standard input whether it may be."""
    folder, mark = tiny_clip_folder(tmp_path / "hostile"), tmp_path / "ran"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}
    if not known:
        config["tokenizer_class"] = "EvilTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(
        json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}})
    )
    (folder / "evil.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nclass EvilTokenizer: pass\nclass EvilConfig: pass\n"
    )
    asked = io.StringIO(answer)
    monkeypatch.setattr(sys, "stdin", asked)
    try:
        TextTokenizer.load(folder)
    except ValueError as error:
        assert "of its own, which is never done" in str(error)  # noqa: PT017 (either is well: read without it, or refused)
        assert not known
    assert not mark.exists()
    assert asked.tell() == 0


def test_clip_folder_gives_transformers_ids(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    folder = tiny_clip_folder(tmp_path / "clip")
    texts = ["a red cat", "", "a " * 40]
    theirs = CLIPTokenizer.from_pretrained(folder)
    expected = theirs(texts, padding="max_length", truncation=True, max_length=16).input_ids
    ours = TextTokenizer.load(folder)
    assert ours(texts).tolist() == expected
    ours.save(tmp_path / "again")
    assert TextTokenizer.load(tmp_path / "again")(texts).tolist() == expected


def test_vocab_txt_alone_is_enough(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert TextTokenizer.load(tmp_path, length=6)(["a red blue"]).tolist() == [[2, 5, 6, 1, 3, 0]]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no tokenizer: expected one of tokenizer.json"):
        TextTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=f"{tmp_path} holds a tokenizer that transformers cannot read"):
        TextTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "text", "weights"),
    [
        ("ab", "ab", [1, 1]),
        ("a(b:1.5)c", "abc", [1, 1.5, 1]),
        ("(a(b:2))", "ab", [1.1, 2.2]),
        ("[a]", "a", [1 / 1.1]),
        (r"\(a:1.5\)", "(a:1.5)", [1] * 7),
        ("(a", "(a", [1, 1]),
        ("a)", "a)", [1, 1]),
        ("a:1.5)", "a:1.5)", [1] * 6),
        ("", "", []),
    ],
)
def test_prompt_weights_are_parsed(prompt: str, text: str, weights: list[float]) -> None:
    plain, found = parse_weights(prompt)
    assert plain == text
    assert found == pytest.approx(weights)


def test_weights_fall_on_the_tokens_of_the_plain_prompt() -> None:
    tokenizer = train_wordpiece(CAPTIONS, vocab_size=300, length=8)
    tokens, weights = weighted_tokens(tokenizer, ["a (red:1.5) circle"])
    assert torch.equal(tokens, tokenizer(["a red circle"]))
    red = tokenizer.backend.token_to_id("red")
    assert weights[0].tolist() == [1.5 if token == red else 1.0 for token in tokens[0].tolist()]


def test_weight_one_keeps_and_weight_zero_gives_the_null_context() -> None:
    context, null = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    weighted = apply_weights(context, null, torch.tensor([[1.0, 0.0, 2.0]]))
    assert torch.equal(weighted[0, 0], context[0, 0])
    assert torch.equal(weighted[0, 1], null[0, 1])
    assert torch.allclose(weighted[0, 2], 2 * context[0, 2] - null[0, 2], atol=1e-6)


def test_a_second_tokenizers_ids_follow_and_are_kept(tmp_path: Path) -> None:
    first, second = (train_wordpiece(CAPTIONS, vocab_size=300, length=length) for length in (8, 5))
    both = first.beside(second)
    texts = ["a red circle", ""]
    wanted = torch.cat([first(texts), second(texts)], dim=1)
    assert torch.equal(both(texts), wanted)
    assert torch.equal(TextTokenizer.from_dict(both.to_dict())(texts), wanted)
    both.save(tmp_path / "both")
    assert torch.equal(TextTokenizer.load(tmp_path / "both")(texts), wanted)
    assert {"tokenizer.json", "second/tokenizer.json"} <= set(tokenizer_files(tmp_path / "both"))
    assert torch.equal(both.beside(None)(texts), first(texts))
    assert first.second is None
    assert "second" not in first.to_dict(), "the hash of one alone is what it was"
    tokens, weights = weighted_tokens(both, ["a (red:1.5) circle"])
    assert torch.equal(tokens, both(["a red circle"]))
    assert [int(weight == 1.5) for weight in weights[0, :8]].count(1) == 1
    assert [int(weight == 1.5) for weight in weights[0, 8:]].count(1) == 1
