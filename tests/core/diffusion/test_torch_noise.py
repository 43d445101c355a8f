"""Noise of other programs, from what is known of them: published vectors, PyTorch's own generators, numbers of a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.diffusion.torch_noise import Philox, added, philox, start


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123's known answers for philox4x32, 10 rounds
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    a, b, c, d = (np.array([word], dtype=np.uint64) for word in counter)
    assert [int(word[0]) for word in philox((a, b, c, d), key)] == list(expected)


def test_philox_gives_what_torch_gives_on_cuda() -> None:
    recorded = [  # torch.manual_seed(0); torch.randn(3, 4, device="cuda")
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    torch.testing.assert_close(Philox(0)(3, 4), torch.tensor(recorded), atol=2e-6, rtol=2e-6)


def test_philox_is_standard_normal_and_goes_on() -> None:
    draw = Philox(2**40 + 3)
    first, second = draw(20_000), draw(20_000)
    assert not torch.equal(first, second)
    for numbers in (first, second):
        assert abs(float(numbers.mean())) < 0.05
        assert abs(float(numbers.std()) - 1) < 0.05
    assert not torch.equal(Philox(3)(8), Philox(2**40 + 3)(8))  # all 64 bits of a seed count


SHAPE = (3, 4, 8, 8)


@pytest.mark.gpu
def test_philox_agrees_with_this_gpu() -> None:
    generator = torch.Generator("cuda").manual_seed(7)
    ours = Philox(7)
    for _ in range(2):
        theirs = torch.randn(SHAPE, generator=generator, device="cuda").cpu()
        torch.testing.assert_close(ours(*SHAPE), theirs, atol=2e-6, rtol=2e-6)


def test_diffusers_goes_on_with_the_generator_of_its_latents() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    generator = torch.Generator().manual_seed(5)
    like = torch.zeros(SHAPE)
    theirs = [randn_tensor(SHAPE, generator=generator) for _ in range(4)]
    assert torch.equal(start("diffusers", 5)(*SHAPE), theirs[0])
    draw = added("diffusers", 5, "euler_ancestral", skip=0)
    assert all(torch.equal(draw(like), each) for each in theirs[1:])
    assert torch.equal(added("diffusers", 5, "ddim", skip=2)(like), theirs[3])


def test_a1111_has_a_seed_for_each_picture() -> None:
    rows = [torch.Generator().manual_seed(5 + row) for row in range(3)]
    theirs = [torch.stack([torch.randn(SHAPE[1:], generator=row) for row in rows]) for _ in range(3)]
    assert torch.equal(start("a1111", 5)(*SHAPE), theirs[0])
    assert torch.equal(start("a1111", 5, first_row=2)(1, *SHAPE[1:]), theirs[0][2:])
    draw = added("a1111", 5, "euler_ancestral", skip=0)
    assert all(torch.equal(draw(torch.zeros(SHAPE)), each) for each in theirs[1:])
    gpu = start("a1111 gpu", 5)(*SHAPE)
    assert torch.equal(gpu[1], Philox(6)(*SHAPE[1:]))


def test_comfyui_adds_noise_from_a_generator_of_its_own() -> None:
    torch.manual_seed(5)
    assert torch.equal(start("comfyui", 5)(*SHAPE), torch.randn(SHAPE))
    assert torch.equal(start("comfyui gpu", 5)(*SHAPE), start("comfyui", 5)(*SHAPE))
    like = torch.zeros(SHAPE)
    generator = torch.Generator().manual_seed(6)
    draw = added("comfyui", 5, "euler_ancestral", skip=0)
    assert all(torch.equal(draw(like), torch.randn(SHAPE, generator=generator)) for _ in range(2))
    assert torch.equal(added("comfyui gpu", 5, "euler_ancestral", skip=0)(like), Philox(5)(*SHAPE))


def test_what_is_not_made_again_is_refused() -> None:
    with pytest.raises(ValueError, match="a1111 draws the noise that dpmpp_2m_sde adds from a Brownian path"):
        added("a1111 gpu", 0, "dpmpp_2m_sde", skip=0)
    for draw in (start, lambda *given: added(*given[:2], "ddim", 0, given[2])):
        with pytest.raises(ValueError, match="there is no row 2 alone"):
            draw("comfyui", 0, 2)
