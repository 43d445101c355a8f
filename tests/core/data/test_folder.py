"""Image folders, on photographs that scikit-image ships."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from core.data.folder import ImageFolder
from core.data.loader import Batches
from core.data.picture_files import image_files
from core.images import ImageError, load_image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photographs in two classes (one of them nested), a picture at the top, and captions."""
    root = tmp_path / "photos"
    for name, pixels in {
        "animals/cats/chelsea.png": data.chelsea(),
        "animals/horse.bmp": data.horse().astype(np.uint8) * 255,
        "things/coffee.JPG": data.coffee(),
        "things/rocket.webp": data.rocket(),
        "astronaut.jpg": data.astronaut(),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    (root / "things/coffee.txt").write_text("a cup of coffee\nan espresso\n\n", encoding="utf-8")
    (root / "things/readme.txt").write_text("not a caption")
    (root / ".hidden.png").write_bytes((root / "animals/cats/chelsea.png").read_bytes())
    return root


def test_files_classes_and_captions(photos: Path) -> None:
    (photos / "things" / "loop").symlink_to(photos)
    folder = ImageFolder(photos, resolution=48)
    names = [
        "animals/cats/chelsea.png",
        "animals/horse.bmp",
        "astronaut.jpg",
        "things/coffee.JPG",
        "things/rocket.webp",
    ]
    assert folder.files == names
    assert folder.classes == ("animals", "photos", "things")
    batch = folder.get_batch(range(5))
    assert batch["images"].shape == (5, 3, 48, 48)
    assert batch["labels"].tolist() == [0, 0, 1, 2, 2]
    assert batch["captions"] == ["", "", "", "a cup of coffee", ""]
    # The photographs themselves, within what a reduced JPEG decode and resampling change.
    assert (batch["images"][0] - load_image(photos / names[0], 48)).abs().max() < 1e-6
    assert (folder[2]["image"] - load_image(photos / "astronaut.jpg", 48)).abs().mean() < 0.02


def test_corrupt_files_are_named_and_left_out(photos: Path) -> None:
    whole = (photos / "astronaut.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "things" / "text.png").write_text("no image")
    folder = ImageFolder(photos, resolution=32)
    assert set(folder.corrupt) == {"cut.jpg", "things/text.png"}
    assert len(folder) == 5
    [remark] = folder.remarks
    assert "cut.jpg" in remark
    assert "things/text.png" in remark
    for name in folder.files:
        (photos / name).write_text("damaged")
    with pytest.raises(ImageError, match=r"astronaut\.jpg"):
        folder[2]
    with pytest.raises(ImageError, match=r"no images .*left out as unreadable: animals"):
        ImageFolder(photos)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ImageFolder(photos / "nowhere")


def test_crops_and_flips_are_keyed_by_epoch_and_sample(photos: Path) -> None:
    folder = ImageFolder(photos, resolution=24, crop="random", scale=(0.5, 0.9), flip=True)
    alone = Batches(folder, 2, seed=5, drop_last=False)
    helped = Batches(folder, 2, seed=5, drop_last=False, workers=1)
    resumed = helped.iterate(2, 5)
    for n, batch in enumerate(resumed, start=2):
        assert torch.equal(batch["images"], alone.batch(n)["images"])
    pictures = [b["images"][b["index"].tolist().index(3)] for b in alone.iterate(0, 60) if 3 in b["index"]]
    assert len({picture.numpy().tobytes() for picture in pictures}) == 20
    captions = {c for b in alone.iterate(0, 60) for c in b["captions"]}
    assert captions == {"", "a cup of coffee", "an espresso"}
    plain = ImageFolder(photos, resolution=24)
    assert torch.equal(plain[3]["image"], Batches(plain, 5, shuffle=False).batch(7)["images"][3])


def test_flips_happen_half_of_the_time_and_mirror(photos: Path) -> None:
    folder = ImageFolder(photos, resolution=16, flip=True)
    straight = folder[0]["image"]
    seen = [Batches(folder, 5, seed, shuffle=False).batch(0)["images"][0] for seed in range(60)]
    flipped = sum(torch.equal(image, straight.flip(-1)) for image in seen)
    assert flipped + sum(torch.equal(image, straight) for image in seen) == 60
    assert 15 <= flipped <= 45  # within 3.9 standard deviations of 30


def test_the_fingerprint_follows_contents_and_the_index_saves_reading(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.picture_files.YOUNG_SECONDS", 0)  # these files were written just now
    index = photos.parent / "index.json"
    (photos / "bad.png").write_text("no image")
    read: list[tuple[int, int]] = []
    first = ImageFolder(photos, index_file=index, progress=lambda *done: read.append(done))
    assert read[-1] == (7, 7)
    read.clear()
    again = ImageFolder(photos, index_file=index, progress=lambda *done: read.append(done))
    assert (again.fingerprint(), again.corrupt, read) == (first.fingerprint(), first.corrupt, [])
    os.utime(photos / "astronaut.jpg", ns=(1, 1))
    touched = ImageFolder(photos, index_file=index, progress=lambda *done: read.append(done))
    assert (touched.fingerprint(), read) == (first.fingerprint(), [(1, 1)])
    (photos / "things/coffee.txt").write_text("a cup of tea")
    assert ImageFolder(photos, index_file=index).fingerprint() != first.fingerprint()
    (photos / "things/coffee.txt").write_text("a cup of coffee\nan espresso\n\n")
    (photos / "astronaut.jpg").rename(photos / "spaceman.jpg")
    assert ImageFolder(photos, index_file=index).fingerprint() != first.fingerprint()
    (photos / "spaceman.jpg").rename(photos / "astronaut.jpg")
    index.write_text("damaged")
    assert ImageFolder(photos, index_file=index).fingerprint() == first.fingerprint()


@pytest.mark.parametrize(("wrong", "named"), [({"resolution": 0}, "resolution"), ({"scale": (0, 1)}, "scale")])
def test_wrong_parameters_are_named(photos: Path, wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ImageFolder(photos, **wrong)  # type: ignore[arg-type]


def test_captions_come_from_texts_and_tables_and_are_counted(photos: Path) -> None:
    (photos / "animals/horse.caption").write_bytes("ein Pferd, schwarz auf weiß".encode("utf-16"))
    (photos / "things/rocket.txt").write_bytes("a rocket’s start".encode("cp1252"))
    (photos / "astronaut.txt").write_text("")
    (photos / "metadata.csv").write_text(
        "file_name,text\nanimals\\cats\\chelsea.png,from afar\nastronaut.jpg,an astronaut\ngone.png,nobody\n"
    )
    (photos / "animals/metadata.jsonl").write_text('{"file_name": "cats/chelsea.png", "text": ["a cat", "a tomcat"]}\n')
    folder = ImageFolder(photos, resolution=16)
    assert folder.get_batch(range(5))["captions"] == [
        "a cat",
        "ein Pferd, schwarz auf weiß",
        "an astronaut",
        "a cup of coffee",
        "a rocket’s start",
    ]
    assert folder.summary() == "5 pictures in 3 classes, 5 with a caption"
    assert folder.remarks == ["captions of pictures that are not there: gone.png"]
    (photos / "animals/metadata.jsonl").write_text('{"file_name": "cats/chelsea.png"}\n')
    folder = ImageFolder(photos, resolution=16)
    assert folder[0]["caption"] == "from afar"
    assert "animals/metadata.jsonl (line 1: no column for the caption" in folder.remarks[0]


def test_a_folder_without_captions_says_so(photos: Path) -> None:
    (photos / "things/coffee.txt").unlink()
    assert ImageFolder(photos, resolution=16).summary() == "5 pictures in 3 classes, none with a caption"


def test_what_is_not_read_is_counted_and_told(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20), "red").save(photos / "red.tiff")
    Image.new("RGB", (20, 20), "red").save(photos / "red.gif")
    for name in ("phone.HEIC", "other.heic", "things/drawing.svg", "Thumbs.db", "film.mp4"):
        (photos / name).write_bytes(b"some bytes")
    (photos / "closed").mkdir()
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "astronaut.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[arg-type]

    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "scandir", closed)
    folder = ImageFolder(photos, resolution=16)
    assert {"red.tiff", "red.gif"} <= set(folder.files)
    assert "astronaut.jpg" not in folder.files
    assert folder.remarks == [
        "left out as unreadable: astronaut.jpg (permission denied)",
        "folders that may not be opened: closed",
        "pictures of types that are not read: 2 .heic, 1 .svg",
    ]


def test_a_picture_of_the_same_size_and_time_is_looked_at_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.picture_files.YOUNG_SECONDS", 0)
    index, picture = photos.parent / "index.json", photos / "animals" / "horse.bmp"
    assert ImageFolder(photos, index_file=index).corrupt == {}
    status = picture.stat()
    picture.write_bytes(bytes(status.st_size))
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list(ImageFolder(photos, index_file=index).corrupt) == ["animals/horse.bmp"]


def test_what_was_written_just_now_is_looked_at_again(photos: Path) -> None:
    index, read = photos.parent / "index.json", list[tuple[int, int]]()
    for _ in range(2):
        ImageFolder(photos, index_file=index, progress=lambda *done: read.append(done))
        assert read.pop() == (6, 6)


def test_links_are_followed_and_those_that_lead_nowhere_told(photos: Path) -> None:
    (photos.parent / "elsewhere").mkdir()
    (photos / "animals" / "horse.bmp").rename(photos.parent / "elsewhere" / "horse.bmp")
    (photos / "linked").symlink_to("../elsewhere")
    (photos / "gone.png").symlink_to("nothing")
    os.mkfifo(photos / "pipe.png")
    folder = ImageFolder(photos, resolution=16)
    assert folder.corrupt == {"gone.png": "a link that leads nowhere", "pipe.png": "no file"}
    assert folder.remarks == ["left out as unreadable: gone.png (a link that leads nowhere), pipe.png (no file)"]
    assert "linked/horse.bmp" in folder.files
    assert image_files(photos).keys() - {"../photos/pipe.png"} == {
        *("animals/cats/chelsea.png", "linked/horse.bmp", "things/coffee.JPG", "things/coffee.txt"),
        *("things/rocket.webp", "../photos/astronaut.jpg"),
    }
