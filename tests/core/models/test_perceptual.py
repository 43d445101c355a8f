"""The distance without weights, on photographs: it orders what people order, which pixel error does not."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data

from core.models.perceptual import HaarDistance


def photo(name, side=128):
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    square = image.crop((0, 0, min(image.size), min(image.size))).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 127.5 - 1


def blur(x, sigma):
    reach = int(4 * sigma) + 1
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    x = F.pad(x, (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(x, kernel, groups=3), kernel.mT, groups=3)


def noisy(x, sigma):
    return x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def jpeg(x, quality):
    file = io.BytesIO()
    Image.fromarray(((x[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.fixture(scope="module", params=["astronaut", "chelsea", "coffee", "rocket"])
def image(request):
    return photo(request.param)


@pytest.fixture
def distance():
    return HaarDistance()


@pytest.mark.parametrize(
    ("degrade", "strengths"),
    [(blur, (0.5, 0.8, 1.2, 2, 4)), (noisy, (0.02, 0.05, 0.1, 0.2)), (jpeg, (95, 75, 50, 25, 10, 5))],
)
def test_grows_with_the_strength_of_a_degradation(distance, image, degrade, strengths):
    values = [distance(degrade(image, strength), image).item() for strength in strengths]
    assert values[0] > 0.003
    assert all(weaker < stronger for weaker, stronger in pairwise(values))
    assert values[-1] < distance(photo("coins"), image).item()


def test_at_equal_pixel_error_orders_as_people_do(distance, image):
    """All at 26 dB: a change of brightness, of contrast, a shift by a pixel, then blocks, blur and noise."""
    changes = {
        "brightness": torch.ones_like(image),
        "contrast": -image,
        "shift": image.roll(1, dims=3) - image,
        "blur": blur(image, 2) - image,
        "jpeg": jpeg(image, 5) - image,
        "noise": noisy(image, 1) - image,
    }
    error = 4 / 10**2.6
    values = {
        name: distance(image + change * (error / change.square().mean()).sqrt(), image).item()
        for name, change in changes.items()
    }
    assert values["brightness"] < 0.005
    for mild in ("brightness", "contrast", "shift"):
        for harsh in ("blur", "jpeg", "noise"):
            assert values[mild] < values[harsh], (mild, harsh, values)


def test_is_a_symmetric_distance_for_each_image_of_the_batch(distance):
    a, b = (
        torch.cat([photo("astronaut", 32), photo("coffee", 32)]),
        torch.cat([photo("chelsea", 32), photo("coffee", 32)]),
    )
    values = distance(a, b)
    torch.testing.assert_close(values, distance(b, a))
    assert values[0] > 0.5
    assert values[1] == 0
    torch.testing.assert_close(values[:1], distance(a[:1], b[:1]))


def test_minimising_it_undoes_a_blur(distance):
    image = photo("chelsea", 32)
    guess = blur(image, 2).requires_grad_()
    optimizer = torch.optim.Adam([guess], lr=0.02)
    start = distance(guess, image).item()
    for _ in range(100):
        optimizer.zero_grad()
        value = distance(guess, image).sum()
        value.backward()
        assert guess.grad.isfinite().all()
        optimizer.step()
    assert value.item() < 0.02 * start


def test_gradient_is_finite_for_flat_images(distance):
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance(flat, torch.zeros(1, 3, 32, 32)).sum().backward()
    assert flat.grad.isfinite().all()
    assert flat.grad.abs().max() == 0


def test_config_rebuilds_it_and_it_holds_no_state(distance):
    other = HaarDistance(levels=2, noise_floor=0.2, shift_tolerance=0.9)
    assert HaarDistance(**other.config).config == other.config
    assert not distance.state_dict()


@pytest.mark.parametrize("shapes", [((1, 3, 8, 8), (1, 3, 8, 9)), ((1, 1, 8, 8),) * 2, ((1, 3, 3, 8),) * 2])
def test_what_it_cannot_compare_is_refused(distance, shapes):
    with pytest.raises(ValueError, match="two batches"):
        distance(*(torch.zeros(shape) for shape in shapes))
