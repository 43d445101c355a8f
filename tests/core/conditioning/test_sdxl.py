"""Stable Diffusion XL's text encoders: as transformers computes both, whatever the tokenizer pads with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.conditioning.conditioning import Conditioning
from core.conditioning.sdxl import SDXLTextEmbedder
from core.conditioning.text import BERTEmbedder
from core.conditioning.text_condition import emphasised, text_condition

VOCAB, END = 60, 59
SHAPE: dict[str, Any] = {"vocab_size": VOCAB, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
SECOND = SHAPE | {"hidden_size": 16, "hidden_act": "gelu"}
TOKENS = torch.tensor([[58, 3, 4, END, END, END], [58, 5, END, END, END, END]])


def encoder(two: bool = True, skip: int = 1) -> SDXLTextEmbedder:
    torch.manual_seed(0)
    first = SHAPE | {"hidden_size": 12} if two else None
    return SDXLTextEmbedder(first, SECOND, projection_dim=10, skip=skip, end=END, pads=(END, 0)).eval()


@torch.no_grad()
@pytest.mark.parametrize("two", [True, False])
def test_it_is_what_diffusers_makes_of_both(two: bool) -> None:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    ours = encoder(two)
    theirs = CLIPTextModelWithProjection(CLIPTextConfig(**SECOND, projection_dim=10, eos_token_id=END)).eval()
    theirs.text_model.load_state_dict(ours.clip_g.transformer.state_dict())
    theirs.text_projection.load_state_dict(ours.text_projection.state_dict())
    padded = torch.tensor([[58, 3, 4, END, 0, 0], [58, 5, END, 0, 0, 0]])
    second = theirs(padded, output_hidden_states=True)
    context, vector = ours(TOKENS, pooled=True)
    assert torch.equal(vector, second.text_embeds)
    assert torch.equal(context[..., -16:], second.hidden_states[-2])
    if two:
        first = ours.clip_l.transformer(TOKENS, output_hidden_states=True).hidden_states[-2]
        assert torch.equal(context[..., :12], first)
    assert torch.equal(ours(TOKENS), context)
    assert all(torch.equal(a, b) for a, b in zip(ours(padded, pooled=True), (context, vector), strict=True))


@torch.no_grad()
def test_layers_are_skipped() -> None:
    ours = encoder()
    skipped = encoder(skip=2)
    first = ours.clip_l.transformer(TOKENS, output_hidden_states=True).hidden_states[-3]
    assert torch.equal(skipped(TOKENS)[..., :12], first)
    with pytest.raises(ValueError, match="skip must leave at least one of the 3 layers"):
        encoder(skip=3)


def test_a_condition_holds_the_vector_of_those_that_pool() -> None:
    told = text_condition(encoder(), TOKENS)
    assert {name: tuple(part.tensors()[0].shape) for name, part in told.parts.items()} == {
        "context": (2, 6, 28),
        "vector": (2, 10),
    }
    plain = text_condition(BERTEmbedder(8, 1, vocab_size=VOCAB, max_seq_len=6), TOKENS)
    assert set(plain.parts) == {"context"}


@torch.no_grad()
def test_emphasis_changes_the_tokens_and_not_the_vector() -> None:
    told, null = text_condition(encoder(), TOKENS), text_condition(encoder(), TOKENS[:1])
    weights = torch.ones(2, 6)
    weights[:, 1] = 1.5
    changed = emphasised(told, null, weights)
    assert torch.equal(changed.y, told.y)
    assert torch.equal(changed.context[:, 2:], told.context[:, 2:])
    wanted = null.context[:, 1] + 1.5 * (told.context[:, 1] - null.context[:, 1])
    torch.testing.assert_close(changed.context[:, 1], wanted)


def test_sizes_follow_the_text_in_the_vector() -> None:
    both = Conditioning(y=torch.tensor([[1.0, 2.0]])) | Conditioning(y=torch.tensor([[3.0], [4.0]]))
    assert both.y.tolist() == [[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]


def test_gradients_reach_both_encoders() -> None:
    ours = encoder().train()
    context, vector = ours(TOKENS, pooled=True)
    (context.square().sum() + vector.square().sum()).backward()
    for half in (ours.clip_l, ours.clip_g):
        assert half.transformer.embeddings.token_embedding.weight.grad.abs().sum() > 0
    assert ours.text_projection.weight.grad.abs().sum() > 0
