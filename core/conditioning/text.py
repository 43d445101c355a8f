"""The paper's text encoder: an unmasked transformer over token ids, trained jointly with the UNet.

Rombach et al. 2022, sec. 4.3.1 and appendix E.2.1; layer names are those of CompVis ldm/modules/x_transformer.py
(after lucidrains' x-transformers), of which it uses the plain pre-norm encoder. Layouts use it too, over box tokens.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from core.models.global_batch import GlobalDropout
from core.models.registry import model

HEADS = 8
EMBEDDING_STD = 0.02
HEAD_DIM = 64  # fixed, so the attention's inner width is 512 whatever the model's width is


@model
class BERTEmbedder(nn.Module):
    """Token ids to cross-attention context.

    There is no padding mask: the UNet attends to padding too, as it was trained to.

    n_embed: width of the context.
    n_layer: transformer layers (32 for text, 16 for layouts in the published models).
    vocab_size: 30522 for BERT's WordPiece vocabulary, 8192 for layouts.
    max_seq_len: 77 for text, 92 for layouts.
    embedding_dropout: dropout of the embedded tokens in training.
    """

    config: dict[str, Any]
    kept_float32 = ("transformer.pos_emb",)

    def __init__(
        self,
        n_embed: int,
        n_layer: int,
        vocab_size: int = 30522,
        max_seq_len: int = 77,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.transformer = TransformerWrapper(n_embed, n_layer, vocab_size, max_seq_len, embedding_dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n) token ids to a (b, n, n_embed) context. Raises ValueError where n exceeds max_seq_len."""
        if tokens.shape[1] > self.config["max_seq_len"]:
            raise ValueError(
                f"{tokens.shape[1]} tokens are more than this text encoder's {self.config['max_seq_len']}; "
                "set the tokenizer's length to the encoder's."
            )
        context: Tensor = self.transformer(tokens)
        return context

    @torch.no_grad()
    def start_from(self, std: float) -> BERTEmbedder:
        """Scale fresh embeddings of tokens and places to this standard deviation; returns this model.

        From the published .02 the first layers' outputs, near .1, drown what tells one token from another. Large models
        get over that; small ones that must learn which token belongs to which begin to from 1 (docs/tasks.md).
        """
        for embedding in (self.transformer.token_emb, self.transformer.pos_emb.emb):
            embedding.weight.mul_(std / EMBEDDING_STD)
        return self


class TransformerWrapper(nn.Module):
    """Embeddings, layers and final norm; gives the embeddings, not the logits."""

    def __init__(self, dim: int, depth: int, vocab_size: int, max_seq_len: int, dropout: float) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(vocab_size, dim)
        self.pos_emb = LearnedPositions(max_seq_len, dim)
        self.emb_dropout = GlobalDropout(dropout)
        self.attn_layers = EncoderLayers(dim, depth)
        self.norm = nn.LayerNorm(dim)
        # The published files carry this head and count it; latent diffusion never reads it, so it takes no gradient.
        self.to_logits = nn.Linear(dim, vocab_size).requires_grad_(False)
        nn.init.normal_(self.token_emb.weight, std=EMBEDDING_STD)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n) ids to (b, n, dim) embeddings."""
        x = self.emb_dropout(self.token_emb(tokens) + self.pos_emb(tokens.shape[1]))
        normed: Tensor = self.norm(self.attn_layers(x))
        return normed


class LearnedPositions(nn.Module):
    """A vector for each place in the sequence."""

    def __init__(self, max_seq_len: int, dim: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(max_seq_len, dim)
        nn.init.normal_(self.emb.weight, std=EMBEDDING_STD)

    def forward(self, length: int) -> Tensor:
        """The first `length` vectors, (length, dim)."""
        return self.emb.weight[:length]


class EncoderLayers(nn.Module):
    """Attention at even and feed-forward at odd indices, each a (norm, block) pair with a residual."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        blocks = (block(dim) for _ in range(depth) for block in (Attention, FeedForward))
        self.layers = nn.ModuleList(nn.ModuleList([nn.LayerNorm(dim), block]) for block in blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) to (b, n, dim)."""
        for pair in self.layers:
            norm, block = cast("nn.ModuleList", pair)
            x = x + block(norm(x))
        return x


class Attention(nn.Module):
    """Multi-head self-attention, without biases into it and without a mask."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_k = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_v = nn.Linear(dim, HEADS * HEAD_DIM, bias=False)
        self.to_out = nn.Linear(HEADS * HEAD_DIM, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) to (b, n, dim)."""
        q, k, v = (rearrange(f(x), "b n (h d) -> b h n d", h=HEADS) for f in (self.to_q, self.to_k, self.to_v))
        attended: Tensor = self.to_out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))
        return attended


class FeedForward(nn.Module):
    """A multilayer perceptron of four times the width, on each token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        project_in = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU())
        self.net = nn.Sequential(project_in, nn.Identity(), nn.Linear(4 * dim, dim))  # published files count a dropout

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, dim) to (b, n, dim)."""
        out: Tensor = self.net(x)
        return out
