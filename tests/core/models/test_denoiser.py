"""What every denoiser is called with, whatever it takes, and what is said where it does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.conditioning.conditioning import Conditioning
from core.conditioning.parts import ClassNumber, Concat, Context
from core.models.denoiser import Takes, denoise


class Recorder(nn.Module):
    """Returns z and keeps what it was called with."""

    takes = Takes(3, may=(Context, Concat, ClassNumber))

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        self.z, self.t, self.condition = z, t, condition
        return z


class Nothing(nn.Module):
    """Says nothing of what it takes."""

    def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
        return z


@pytest.mark.parametrize("axes", [(4,), (4, 4), (3, 4, 4)])
def test_it_is_called_with_one_time_step_and_one_condition_for_each_sample(axes: tuple[int, ...]) -> None:
    z, channels, context = torch.randn(2, 3, *axes), torch.randn(1, 5, *axes), torch.randn(2, 7, 6)
    model = Recorder()
    told = Conditioning(context=context, concat=channels, y=torch.tensor([4]))
    assert torch.equal(denoise(model, z, torch.tensor(9), told), z)
    assert model.t.tolist() == [9, 9]
    assert model.condition.y.tolist() == [4, 4]
    assert torch.equal(model.condition.context, context)
    beside = model.condition[Concat].beside(z)
    assert torch.equal(beside[:, :3], z)
    assert torch.equal(beside[1, 3:], channels[0])


def test_without_a_condition_it_is_told_nothing() -> None:
    model = Recorder()
    denoise(model, torch.randn(2, 3, 4, 4), torch.tensor([1, 2]))
    assert model.condition.parts == {}
    assert model.t.tolist() == [1, 2]


def test_floating_parts_take_the_latents_dtype_and_classes_stay_whole() -> None:
    model = Recorder()
    told = Conditioning(context=torch.randn(1, 2, 3), y=torch.tensor([1]))
    denoise(model, torch.randn(1, 3, 2, 2, dtype=torch.float64), torch.tensor([0]), told)
    assert model.condition.context.dtype == torch.float64
    assert model.condition.y.dtype == torch.int64


def test_channels_of_another_size_are_named_with_the_latents() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8\) and the latent \(4, 4\)"):
        Concat(torch.randn(1, 1, 8, 8)).beside(torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("takes", "told", "message"),
    [
        (Takes(4), Conditioning(), r"the Recorder takes a latent of 4 channels, not 3: \(2, 3, 4, 4\)"),
        (
            Takes(needs=(Context, ClassNumber)),
            Conditioning(torch.randn(1, 2, 3)),
            r"needs y \(class numbers\), and the condition's parts are: context; wire",
        ),
        (
            Takes(needs=(ClassNumber,)),
            Conditioning(torch.randn(1, 2, 3), y=torch.tensor([1])),
            r"takes no context \(tokens for cross-attention\), which the condition holds; its parts may be: y\.",
        ),
    ],
)
def test_what_does_not_fit_is_named(takes: Takes, told: Conditioning, message: str) -> None:
    model = Recorder()
    model.takes = takes
    with pytest.raises(ValueError, match=message):
        denoise(model, torch.randn(2, 3, 4, 4), torch.tensor([1, 2]), told)


def test_one_that_says_nothing_takes_no_condition_rather_than_ignoring_it() -> None:
    z = torch.randn(2, 3, 4, 4)
    assert torch.equal(denoise(Nothing(), z, torch.tensor(1)), z)
    with pytest.raises(ValueError, match=r"the Nothing takes no y .* its parts may be: none"):
        denoise(Nothing(), z, torch.tensor(1), Conditioning(y=torch.tensor([1])))


def test_a_prediction_of_another_shape_is_refused() -> None:
    class Double(nn.Module):
        def forward(self, z: Tensor, t: Tensor, condition: Conditioning) -> Tensor:
            return torch.cat([z, z], dim=1)

    with pytest.raises(ValueError, match=r"the Double predicts \(2, 6, 4\) for latents \(2, 3, 4\)"):
        denoise(Double(), torch.randn(2, 3, 4), torch.tensor(1))


def test_conditioners_and_denoisers_run_on_fake_tensors() -> None:
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
