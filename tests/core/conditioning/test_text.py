"""Text encoders against diffusers' LDMBert (≤ 1e-5) and transformers' CLIP (exact), float32 on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.checkpoints.text_keys import ldm_bert_from_diffusers, ldm_bert_to_diffusers
from core.conditioning.clip import CLIPTextEmbedder
from core.conditioning.text import BERTEmbedder

CLIP = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


@pytest.mark.parametrize("depth", [1, 3], ids="depth {}".format)
def test_ldm_bert_equals_diffusers(depth: int) -> None:
    """The same random weights, outputs of order 1."""
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    shape = {"vocab_size": 50, "max_position_embeddings": 12}
    theirs = randomise(LDMBertModel(LDMBertConfig(encoder_layers=depth, encoder_ffn_dim=96, d_model=24, **shape)))
    ours = BERTEmbedder(n_embed=24, n_layer=depth, vocab_size=50, max_seq_len=12).eval()
    ours.load_state_dict(ldm_bert_from_diffusers(theirs.state_dict(), depth))
    tokens = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens)[0], rtol=0, atol=1e-5)


def test_ldm_bert_names_go_both_ways() -> None:
    ours = BERTEmbedder(n_embed=8, n_layer=2, vocab_size=5, max_seq_len=4).state_dict()
    back = ldm_bert_from_diffusers(ldm_bert_to_diffusers(ours, 2), 2)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)


def test_bert_names_are_compvis_and_the_head_is_frozen() -> None:
    names = dict(BERTEmbedder(n_embed=8, n_layer=1, vocab_size=5, max_seq_len=4).named_parameters())
    layers = "transformer.attn_layers.layers."
    assert {
        "transformer.token_emb.weight",
        "transformer.pos_emb.emb.weight",
        layers + "0.0.weight",
        layers + "0.1.to_q.weight",
        layers + "0.1.to_out.bias",
        layers + "1.1.net.0.0.weight",
        layers + "1.1.net.2.bias",
        "transformer.norm.weight",
        "transformer.to_logits.weight",
    } <= names.keys()
    assert layers + "0.1.to_q.bias" not in names
    assert [name for name, p in names.items() if not p.requires_grad] == [
        "transformer.to_logits.weight",
        "transformer.to_logits.bias",
    ]


def test_the_text_encoder_trains_with_the_unet() -> None:
    encoder = BERTEmbedder(n_embed=8, n_layer=2, vocab_size=5, max_seq_len=4)
    context = encoder(torch.tensor([[0, 1, 2, 3], [4, 4, 4, 4]]))
    (context * torch.randn(context.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    still = [name for name, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ({"n_embed": 1280, "n_layer": 32}, 582.0),  # txt2img-1p4B
        ({"n_embed": 640, "n_layer": 32}, 186.2),  # text2img256
        ({"n_embed": 512, "n_layer": 16, "vocab_size": 8192, "max_seq_len": 92}, 58.9),  # layout2img
    ],
)
def test_published_text_encoders_have_the_published_size(config: dict[str, int], millions: float) -> None:
    with torch.device("meta"):
        model = BERTEmbedder(**config)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == millions


@torch.no_grad()
def test_embeddings_start_where_they_are_told_to() -> None:
    """From the published deviation a first layer's output drowns them; from 1 tokens stay apart."""
    torch.manual_seed(0)
    published = BERTEmbedder(n_embed=64, n_layer=2, vocab_size=64, max_seq_len=6)
    state = {key: value.clone() for key, value in published.state_dict().items()}
    assert all(torch.equal(value, state[key]) for key, value in published.start_from(0.02).state_dict().items())

    def likeness(model: BERTEmbedder) -> float:
        """Mean cosine between the contexts of different tokens of one row."""
        context = torch.nn.functional.normalize(model(torch.arange(6)[None]), dim=-1)[0]
        return float((context @ context.T)[~torch.eye(6, dtype=torch.bool)].mean())

    alike = likeness(published)
    apart = published.start_from(1.0)
    assert float(apart.transformer.token_emb.weight.std()) == pytest.approx(1, abs=0.05)
    assert float(apart.transformer.pos_emb.emb.weight.std()) == pytest.approx(1, abs=0.15)
    assert likeness(apart) < 0.2 < 0.6 < alike


def test_too_many_tokens_name_the_remedy() -> None:
    with pytest.raises(ValueError, match="5 tokens are more than this text encoder's 4; set the tokenizer's length"):
        BERTEmbedder(n_embed=8, n_layer=1, vocab_size=5, max_seq_len=4)(torch.zeros(1, 5, dtype=torch.long))


@pytest.mark.parametrize("skip", [0, 1, 2], ids="{} layers skipped".format)
def test_clip_equals_transformers_exactly(skip: int) -> None:
    ours = randomise(CLIPTextEmbedder(**CLIP, skip=skip))
    tokens = torch.randint(99, (2, 77), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = ours.transformer(tokens, output_hidden_states=True)
        context = ours(tokens)
        wanted = ours.transformer.final_layer_norm(theirs.hidden_states[-1 - skip])
    torch.testing.assert_close(context, wanted, rtol=0, atol=0)
    assert torch.equal(context, theirs.last_hidden_state) == (skip == 0)


def test_clip_defaults_are_vit_l_14() -> None:
    with torch.device("meta"):
        model = CLIPTextEmbedder()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 123.1
    assert CLIPTextEmbedder(**CLIP).config == CLIP | {
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "skip": 0,
    }


def test_clip_skip_must_leave_a_layer() -> None:
    with pytest.raises(ValueError, match="at least one of the 3 layers"):
        CLIPTextEmbedder(**CLIP, skip=3)
