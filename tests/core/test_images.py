"""Images in and out: values, sizes, orientation, texts inside, and files that are not images."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage import data

from core.images import (
    ImageError,
    crop_box,
    from_pil,
    grid,
    load_image,
    load_mask,
    open_image,
    read_text,
    save_png,
    to_pil,
)


def test_eight_bit_values_survive_the_round_trip(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    tensor = from_pil(Image.fromarray(values))
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert (np.asarray(to_pil(tensor)) == values).all()
    save_png(tmp_path / "a.png", tensor)
    assert torch.equal(load_image(tmp_path / "a.png"), tensor)
    assert (np.asarray(to_pil(torch.tensor([[[-3.0, 3.0]]]))) == [[0, 255]]).all()
    with pytest.raises(ValueError, match=r"\(4, 2, 2\)"):
        to_pil(torch.zeros(4, 2, 2))


def test_texts_travel_inside_a_png(tmp_path: Path) -> None:
    texts = {"workflow": '{"loom": 1}' * 200_000, "prompt": "ein Häuschen, 🎨\nzweite Zeile", "seed": "7"}
    save_png(tmp_path / "sub" / "a.png", torch.zeros(3, 4, 4), texts)
    assert read_text(tmp_path / "sub" / "a.png") == texts
    before = (tmp_path / "sub" / "a.png").read_bytes()
    save_png(tmp_path / "sub" / "a.png", torch.zeros(3, 4, 4), texts)
    assert (tmp_path / "sub" / "a.png").read_bytes() == before
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.png"]
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    assert read_text(tmp_path / "a.jpg") == {}


def test_orientation_transparency_and_sixteen_bits_are_understood(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (20, 10), "black")
    sideways.paste("white", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    sideways.save(tmp_path / "turned.png", exif=exif)
    upright = load_image(tmp_path / "turned.png")
    assert upright.shape == (3, 20, 10)
    assert upright[0, 2, 5] == 1
    assert upright[0, 17, 5] == -1
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (load_image(tmp_path / "clear.png") == 1).all()
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert load_image(tmp_path / "deep.png").abs().max() < 0.01
    Image.new("P", (4, 4)).save(tmp_path / "palette.gif", transparency=0)
    assert (load_image(tmp_path / "palette.gif") == 1).all()


def test_fitting_crops_pads_or_stretches(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "red")
    picture.paste("blue", (0, 0, 10, 20))
    picture.paste("blue", (30, 0, 40, 20))
    picture.save(tmp_path / "wide.png")
    red, blue = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0])
    cropped, padded, stretched = (load_image(tmp_path / "wide.png", 20, fit) for fit in ("crop", "pad", "stretch"))
    assert cropped.shape == padded.shape == stretched.shape == (3, 20, 20)
    assert (cropped == red[:, None, None]).all()
    assert (padded[:, :5] == -1).all()
    assert (padded[:, 10, 10] == red).all()
    assert (padded[:, 10, 1] == blue).all()
    assert (stretched[:, 0, 1] == blue).all()
    assert load_image(tmp_path / "wide.png", (12, 30)).shape == (3, 12, 30)


def test_a_reduced_decode_stays_close_to_the_whole_one(tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "photo.jpg", quality=95)
    assert open_image(tmp_path / "photo.jpg", at_least=100).size == (128, 128)
    whole = load_image(tmp_path / "photo.jpg", 64)
    reduced = from_pil(open_image(tmp_path / "photo.jpg", at_least=128).resize((64, 64), Image.Resampling.BICUBIC))
    assert (whole - reduced).abs().mean() < 0.02


def test_masks_come_from_transparency_or_brightness(tmp_path: Path) -> None:
    erased = Image.new("RGBA", (8, 8), (9, 9, 9, 255))
    erased.paste((0, 0, 0, 0), (0, 0, 4, 8))
    erased.save(tmp_path / "erased.png")
    painted = Image.new("L", (8, 8), 0)
    painted.paste(255, (0, 0, 4, 8))
    painted.save(tmp_path / "painted.png")
    for name in ("erased.png", "painted.png"):
        mask = load_mask(tmp_path / name, 16)
        assert mask.shape == (1, 16, 16)
        assert (mask[0, :, :7] == 1).all()
        assert (mask[0, :, 9:] == 0).all()


def test_a_grid_places_tiles_row_by_row_and_writes_captions() -> None:
    tiles = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 6, 8)
    plain = grid(tiles, columns=3, padding=2)
    assert plain.shape == (3, 2 * 8 + 2, 3 * 10 + 2)
    for i in range(5):
        top, left = 2 + 8 * (i // 3), 2 + 10 * (i % 3)
        assert torch.equal(plain[:, top : top + 6, left : left + 8], tiles[i])
    assert (plain[:, 10:, 22:] == 1).all()
    captioned = grid(tiles, columns=3, captions=["a red circle left of a blue square", "b", "c", "d", ""])
    assert captioned.shape[2] == 3 * (96 + 2) + 2
    strip = captioned[:, 2 + 72 : 2 + 72 + 30, 2 : 2 + 96]
    assert strip.min() < 0
    assert strip.max() == 1
    with pytest.raises(ValueError, match="1 captions for 5"):
        grid(tiles, captions=["a"])


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken", b"\xff\xd8\xff\xe0 broken"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    for read in (load_image, load_mask, read_text):
        with pytest.raises(ImageError, match=r"bad\.png"):
            read(tmp_path / "bad.png")
    with pytest.raises(ImageError, match=r"missing\.png"):
        load_image(tmp_path / "missing.png")


def test_fractions_and_whole_numbers_beyond_eight_bits_keep_their_greys(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for name, values in {
        "fractions": ramp,
        "eight": ramp * 255,
        "sixteen": ramp * 65535,
        "whole16": (ramp * 65535).astype(np.uint16),
        "whole32": (ramp.astype(np.float64) * (2**31 - 1)).astype(np.int32),
    }.items():
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
        loaded = load_image(tmp_path / f"{name}.tif")
        assert (loaded - torch.from_numpy(2 * ramp - 1)).abs().max() < 0.005, name
    odd = ramp.copy()
    odd[0, :3] = [np.nan, np.inf, -5]
    Image.fromarray(odd).save(tmp_path / "odd.tif")
    assert (load_image(tmp_path / "odd.tif")[0, 0, :3] == -1).all()
    Image.fromarray(np.ones((4, 4), dtype=np.uint16)).save(tmp_path / "dark.tif")
    assert (load_image(tmp_path / "dark.tif") == -1).all()


def test_a_crop_never_reaches_beyond_its_picture() -> None:
    """Not by a rounding either: Pillow refuses that."""
    for width, height, (tall, wide) in itertools.product(
        range(1, 40, 3), range(1, 40, 3), [(62, 43), (7, 1), (49, 37)]
    ):
        for x in (0.0, 0.5, 1.0):
            left, upper, right, lower = crop_box(width, height, wide / tall, 1.0, x, x)
            assert 0 <= left <= right <= width
            assert 0 <= upper <= lower <= height


def swapped_profile() -> bytes:
    """sRGB's profile with the primaries of red and green exchanged, under another name."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = plain.replace(b"rXYZ", b"****").replace(b"gXYZ", b"rXYZ").replace(b"****", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "sGRB".encode("utf-16-be"))


def test_colours_of_another_profile_become_srgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 4), "red")
    red.save(tmp_path / "plain.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red.save(tmp_path / "swapped.png", icc_profile=swapped_profile())
    red.convert("RGBA").save(tmp_path / "clear.png", icc_profile=swapped_profile())
    red.save(tmp_path / "damaged.jpg", icc_profile=swapped_profile()[:300], quality=100)
    assert (load_image(tmp_path / "plain.png")[:, 0, 0] == torch.tensor([1.0, -1, -1])).all()
    for name in ("swapped.png", "clear.png"):
        assert (load_image(tmp_path / name)[:, 0, 0] - torch.tensor([-1.0, 1, -1])).abs().max() < 0.02
    assert (load_image(tmp_path / "damaged.jpg")[:, 0, 0] - torch.tensor([1.0, -1, -1])).abs().max() < 0.02
