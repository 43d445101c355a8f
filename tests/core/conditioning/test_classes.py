"""Class embedding and condition dropout."""

from __future__ import annotations

import pytest
import torch

from core.conditioning.classes import ClassEmbedder
from core.conditioning.conditioning import Conditioning
from core.conditioning.dropout import drop, drop_captions, drop_conditioning


def test_class_embedder_gives_one_token_and_keeps_compvis_names_and_rows() -> None:
    embedder = ClassEmbedder(n_classes=1000, embed_dim=8)
    assert {name: tuple(p.shape) for name, p in embedder.named_parameters()} == {"embedding.weight": (1001, 8)}
    context = embedder(torch.tensor([3, embedder.null_class]))
    assert context.shape == (2, 1, 8)
    assert torch.equal(context[:, 0], embedder.embedding.weight[[3, 1000]])


def test_no_classes_are_the_null_class() -> None:
    embedder = ClassEmbedder(n_classes=5, embed_dim=2)
    assert embedder.indices([]).tolist() == [5]
    assert embedder.indices([4, 0]).tolist() == [4, 0]


def test_class_errors_name_the_class_and_the_range() -> None:
    with pytest.raises(ValueError, match="Class 7 does not exist: the model knows 0 to 4"):
        ClassEmbedder(n_classes=5, embed_dim=2).indices([1, 7])
    with pytest.raises(ValueError, match="no null class"):
        ClassEmbedder(n_classes=5, embed_dim=2, null_class=False).indices([])


def test_config_rebuilds_the_embedder() -> None:
    embedder = ClassEmbedder(5, 2, null_class=False)
    assert ClassEmbedder(**embedder.config).embedding.weight.shape == (5, 2)


def test_drop_replaces_exactly_the_examples_below_p() -> None:
    u = torch.tensor([0.05, 0.1, 0.9])
    assert drop(torch.tensor([1, 2, 3]), 9, u, p=0.1).tolist() == [9, 2, 3]
    context, null = torch.randn(3, 2, 4), torch.randn(1, 2, 4)
    dropped = drop(context, null, u, p=0.1)
    assert torch.equal(dropped[0], null[0])
    assert torch.equal(dropped[1:], context[1:])


def test_drop_lets_gradients_reach_the_null_condition() -> None:
    null = torch.zeros(1, 1, 2, requires_grad=True)
    drop(torch.ones(2, 1, 2), null, torch.tensor([0.0, 1.0]), p=0.5).sum().backward()
    assert null.grad.tolist() == [[[1.0, 1.0]]]


def test_drop_conditioning_drops_every_part_of_the_same_examples() -> None:
    full = Conditioning(context=torch.ones(2, 1, 2), concat=torch.ones(2, 1, 2, 2), y=torch.tensor([3, 4]))
    null = Conditioning(context=torch.zeros(1, 1, 2), concat=torch.zeros(1, 1, 2, 2), y=torch.tensor([9]))
    dropped = drop_conditioning(full, null, torch.tensor([0.9, 0.1]), p=0.2)
    assert dropped.context.flatten(1).sum(1).tolist() == [2, 0]
    assert dropped.concat.flatten(1).sum(1).tolist() == [4, 0]
    assert dropped.y.tolist() == [3, 9]
    with pytest.raises(ValueError, match="lacks concat"):
        drop_conditioning(full, Conditioning(context=null.context), torch.tensor([0.9, 0.1]), p=0.2)


def test_drop_captions_gives_the_empty_caption() -> None:
    assert drop_captions(["a", "b"], torch.tensor([0.0, 0.5]), p=0.5) == ["", "b"]
