"""LPIPS on weights laid out as in the files that people have (random ones here)."""

import pytest
import torch
import torch.nn.functional as F

from core.models.lpips import LPIPS

CONVS = [(0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256), (14, 256, 256)]
CONVS += [(17, 256, 512), (19, 512, 512), (21, 512, 512), (24, 512, 512), (26, 512, 512), (28, 512, 512)]
FEATURES_AFTER = {2: 0, 7: 1, 14: 2, 21: 3, 28: 4}


@pytest.fixture(scope="module")
def vgg():
    """torchvision's VGG-16: He-initialised, with a classifier that LPIPS has no use for."""
    generator = torch.Generator().manual_seed(0)
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    for number, c_in, c_out in CONVS:
        state[f"features.{number}.weight"] = (
            torch.randn(c_out, c_in, 3, 3, generator=generator) * (2 / (9 * c_in)) ** 0.5
        )
        state[f"features.{number}.bias"] = 0.1 * torch.randn(c_out, generator=generator)
    return state


@pytest.fixture(scope="module")
def heads():
    generator = torch.Generator().manual_seed(1)
    widths = (64, 128, 256, 512, 512)
    return {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1, generator=generator) for i, width in enumerate(widths)}


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def by_hand(vgg, heads, a, b):
    """The published definition, written out on the two files."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    maps = [(x - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1) for x in (a, b)]
    total = torch.zeros(len(a))
    for number, *_ in CONVS:
        if number in (5, 10, 17, 24):
            maps = [F.max_pool2d(x, 2, 2) for x in maps]
        maps = [
            F.relu(F.conv2d(x, vgg[f"features.{number}.weight"], vgg[f"features.{number}.bias"], padding=1))
            for x in maps
        ]
        if number in FEATURES_AFTER:
            unit = [F.normalize(x, dim=1, eps=1e-10) for x in maps]
            weight = heads[f"lin{FEATURES_AFTER[number]}.model.1.weight"].view(1, -1, 1, 1)
            total += ((unit[0] - unit[1]) ** 2 * weight).sum(1).mean((1, 2))
    return total


def test_agrees_with_the_definition_in_training_mode_too(vgg, heads, images):
    lpips = LPIPS.from_weights(heads, vgg).train()
    wanted = by_hand(vgg, heads, *images)
    assert wanted.min() > 0.1
    torch.testing.assert_close(lpips(*images), wanted, rtol=1e-4, atol=1e-6)
    assert lpips(images[0], images[0]).abs().max() == 0


def test_one_file_under_its_own_names(vgg, heads, images):
    lpips = LPIPS.from_weights(vgg, heads)
    whole = dict(lpips.state_dict()) | {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    assert "net.slice3.14.weight" in whole
    assert torch.equal(LPIPS.from_weights(whole)(*images), lpips(*images))


def test_gradients_reach_the_images_and_no_weight(vgg, heads, images):
    lpips = LPIPS.from_weights(vgg, heads)
    a = images[0].clone().requires_grad_()
    lpips(a, images[1]).sum().backward()
    assert a.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in lpips.parameters())


def test_a_missing_or_foreign_file_is_named(vgg, heads):
    with pytest.raises(ValueError, match=r"VGG-16 \(torchvision's"):
        LPIPS.from_weights(heads)
    with pytest.raises(ValueError, match="LPIPS heads"):
        LPIPS.from_weights(vgg)
    with pytest.raises(ValueError, match="LPIPS heads"):
        LPIPS.from_weights(vgg, heads | {"lin0.model.1.weight": torch.zeros(1, 96, 1, 1)})


def test_images_too_small_for_five_scales_are_refused(vgg, heads):
    with pytest.raises(ValueError, match="at least 16 pixels"):
        LPIPS.from_weights(vgg, heads)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
