"""Workflows carried inside pictures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from graph_runner.__main__ import main
from graph_runner.base.problems import WorkflowError
from graph_runner.format.png import KEYWORD, open_workflow
from graph_runner.format.workflow import save, write
from tests.graph_runner.conftest import graph

WORKFLOW = graph({"one": {"type": "number", "params": {"value": 3}}}, title="Größe ≥ 1", about="x" * 100_000)


def picture(path: Path, **texts: str) -> Path:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    Image.new("RGB", (4, 4)).save(path, format="PNG", pnginfo=info)
    return path


def test_a_picture_gives_the_workflow_that_it_carries(tmp_path: Path) -> None:
    save(WORKFLOW, tmp_path / "a.json")
    carrying = picture(tmp_path / "no_suffix", **{"Software": "a camera", KEYWORD: write(WORKFLOW)})
    assert open_workflow(carrying) == open_workflow(tmp_path / "a.json") == WORKFLOW


def test_the_command_line_runs_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = picture(tmp_path / "a.png", **{KEYWORD: write(WORKFLOW)})
    argv = [str(file), "--to", "one", "--workspace", str(tmp_path / "w"), "--nodes", "tests.graph_runner.toys"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph_runner.contract.registry.entry_points", lambda group: ())
        assert main(argv) == 0
    assert "one = 3" in capsys.readouterr().out


def test_pictures_that_give_none_are_named(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.png").write_bytes(picture(tmp_path / "a.png").read_bytes()[:40])
    for path, message in [
        (picture(tmp_path / "plain.png"), "carries no workflow"),
        (picture(tmp_path / "other.png", **{KEYWORD: '{"last_node_id": 3}'}), "has no version"),
        (broken, "cannot read the picture"),
        (tmp_path / "absent.png", "cannot read"),
        (tmp_path, "cannot read"),
    ]:
        with pytest.raises(WorkflowError) as caught:
            open_workflow(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, side: int = 1) -> bytes:
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


TEXT = chunk(b"tEXt", KEYWORD.encode() + b"\0" + write(graph({})).encode())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png(chunk(b"tEXt", b"parameters\0a cat")), "a picture of Stable Diffusion web UI"),
        (png(chunk(b"zTXt", KEYWORD.encode() + b"\0\0" + zlib.compress(b"a" * 50_000_000))), "cannot read the picture"),
        (
            png(chunk(b"iTXt", KEYWORD.encode() + b"\0\1\0\0\0" + zlib.compress(b"a" * 50_000_000))),
            "cannot read the pic",
        ),
        (png(TEXT, side=100_000), "cannot read the picture .* exceeds limit"),
        (png(chunk(b"tEXt", KEYWORD.encode() + b"\0" + b"[" * 100_000)), "deeper than 128"),
        (png(chunk(b"tEXt", KEYWORD.encode() + b"\0" + b" " * 9_000_000)), "more than 8 million characters of text"),
        (png(*[chunk(b"tEXt", b"k%d\0v" % i) for i in range(100_000)]), "carries no workflow"),
    ],
    ids=["another program's", "packed", "packed too", "ten billion pixels", "deep", "long", "100,000 chunks"],
)
def test_pictures_made_to_harm_are_refused(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(WorkflowError, match=told) as caught:
        open_workflow(tmp_path / "a.png")
    assert str(tmp_path / "a.png") in str(caught.value)


def test_a_workflow_is_found_among_100_000_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(*[chunk(b"tEXt", b"k%d\0v" % i) for i in range(100_000)], TEXT))
    assert open_workflow(tmp_path / "a.png") == graph({})
