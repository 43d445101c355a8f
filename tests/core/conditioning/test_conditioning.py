"""Conditioning: joining, batching, and what the UNet is called with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning, denoise


class Recorder(nn.Module):
    """Stands for the UNet: returns its first latent channels and keeps what it was called with."""

    def forward(self, z: Tensor, t: Tensor, context: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        self.z, self.t, self.context, self.y = z, t, context, y
        return z[:, :3]


def test_denoise_concatenates_after_the_latent_and_expands_single_conditions() -> None:
    z, channels, context = torch.randn(2, 3, 4, 4), torch.randn(1, 5, 4, 4), torch.randn(2, 7, 6)
    model = Recorder()
    out = denoise(model, z, torch.tensor(9), Conditioning(context=context, concat=channels, y=torch.tensor([4])))
    assert torch.equal(out, z)
    assert torch.equal(model.z[1, 3:], channels[0])
    assert model.t.tolist() == [9, 9]
    assert model.y.tolist() == [4, 4]
    assert torch.equal(model.context, context)


def test_denoise_without_a_condition_passes_none() -> None:
    model = Recorder()
    denoise(model, torch.randn(2, 3, 4, 4), torch.tensor([1, 2]))
    assert model.context is None
    assert model.y is None
    assert model.t.tolist() == [1, 2]


def test_denoise_casts_floating_parts_to_the_latents_dtype_and_keeps_classes_integer() -> None:
    model = Recorder()
    c = Conditioning(context=torch.randn(1, 2, 3), y=torch.tensor([1]))
    denoise(model, torch.randn(1, 3, 2, 2, dtype=torch.float64), torch.tensor([0]), c)
    assert model.context.dtype == torch.float64
    assert model.y.dtype == torch.int64


def test_denoise_names_both_sizes_when_the_concatenated_condition_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8\) and the latent \(4, 4\)"):
        denoise(Recorder(), torch.randn(1, 3, 4, 4), torch.tensor([0]), Conditioning(concat=torch.randn(1, 1, 8, 8)))


def test_hybrid_joins_tokens_and_channels() -> None:
    a = Conditioning(context=torch.randn(1, 2, 3), concat=torch.randn(4, 1, 2, 2))
    b = Conditioning(context=torch.randn(1, 5, 3), concat=torch.randn(1, 2, 2, 2), y=torch.arange(4))
    both = a | b
    assert both.context is not None
    assert both.concat is not None
    assert both.y is not None
    assert both.context.shape == (4, 7, 3)
    assert both.concat.shape == (4, 3, 2, 2)
    assert torch.equal(both.concat[:, :1], a.concat)
    assert both.y.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="takes one"):
        both | Conditioning(y=torch.tensor([0]))


def test_cat_then_chunk_gives_the_parts_back() -> None:
    a, b = (Conditioning(context=torch.randn(2, 3, 4), y=torch.tensor([1, 2])) for _ in range(2))
    both = Conditioning.cat([a, b])
    assert both.batch_size == 4
    assert torch.equal(both.context[:2], a.context)
    assert torch.equal(both.context[2:], b.context)


def test_cat_expands_within_each_conditioning_before_joining() -> None:
    a = Conditioning(context=torch.randn(1, 3, 4), y=torch.tensor([1, 2]))
    b = Conditioning(context=torch.randn(2, 3, 4), y=torch.tensor([3, 4]))
    assert Conditioning.cat([a, b]).context.shape == (4, 3, 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Conditioning(y=torch.tensor([1])), "hold context"),
        (Conditioning(context=torch.randn(1, 9, 4)), "do not fit together: context"),
    ],
)
def test_cat_refuses_what_does_not_fit(other: Conditioning, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conditioning.cat([Conditioning(context=torch.randn(1, 3, 4)), other])


def test_wrong_shapes_are_refused_where_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"context must have shape \(b, n, d\)"):
        Conditioning(context=torch.randn(3, 4))
    with pytest.raises(ValueError, match="differ in batch size"):
        Conditioning(context=torch.randn(3, 4, 5), y=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="does not fit a latent of batch 2"):
        Conditioning(context=torch.randn(3, 4, 5)).expand(2)


def test_conditioners_run_on_fake_tensors() -> None:
    """A dry run knows shapes and no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from core.conditioning.classes import ClassEmbedder
    from core.conditioning.clip import CLIPTextEmbedder
    from core.conditioning.inpainting import inpainting_channels, masked_image
    from core.conditioning.layouts import LayoutTokenizer
    from core.conditioning.spatial import SpatialRescaler, one_hot_map
    from core.conditioning.text import BERTEmbedder

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    with FakeTensorMode():
        labels, boxes = torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, 4)
        tokens = LayoutTokenizer(n_tokens=100, max_objects=2)(labels, boxes, order=torch.rand(labels.shape))
        assert BERTEmbedder(8, 1, vocab_size=100, max_seq_len=8)(tokens).shape == (2, 8, 8)
        assert CLIPTextEmbedder(vocab_size=100, **small, skip=1)(tokens).shape == (2, 8, 8)
        assert ClassEmbedder(5, 4)(torch.zeros(2, dtype=torch.long)).shape == (2, 1, 4)
        maps = SpatialRescaler(1, 7, 3)(one_hot_map(torch.zeros(2, 8, 8, dtype=torch.long), 7))
        image, mask = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
        channels = inpainting_channels(masked_image(image, mask)[..., :4, :4], mask)
        both = Conditioning(concat=maps) | Conditioning(concat=channels)
        assert denoise(Recorder(), torch.zeros(2, 3, 4, 4), torch.tensor([1, 2]), both).shape == (2, 3, 4, 4)
