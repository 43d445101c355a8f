"""Writing shards: killed anywhere it goes on, to the same files; several write one table; damage is found and mended."""

from __future__ import annotations

import os
import random
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.files import CheckpointError
from core.data.batch import Batch
from core.data.shard_writer import ShardWriter
from core.data.shards import ShardTable
from tests import crashes, damages
from tests.effort import cases


class Source:
    """Five batches of two samples; `asked` tells which were made."""

    classes = ("a", "b")

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 5

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        for n in range(start, stop):
            self.asked.append(n)
            latents = torch.arange(2 * n, 2 * n + 2.0)[:, None, None, None].expand(2, 3, 2, 2)
            yield {"latents": latents, "captions": [f"{2 * n}", f"{2 * n + 1}"], "boxes": torch.ones(2, n, 4)}


def write(folder: Path, source: Source | None = None, **settings: Any) -> ShardTable:
    return ShardWriter(folder, source or Source(), shard_bytes=1, **settings).write()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def values(table: ShardTable) -> list[Any]:
    batch = table.rows(torch.arange(len(table)).numpy())
    return [batch["latents"].tolist(), batch["captions"], batch["boxes"].sum((1, 2)).tolist(), table.classes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "shards"
    write(folder)
    return folder


def test_whatever_a_writer_dies_of_the_next_one_goes_on_to_the_same_files(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "shards"

    def begin_anew() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    deaths = 0
    for how in crashes.every_death(lambda: write(folder), begin_anew):
        deaths += 1
        if deaths % cases(7, 1):
            continue
        before = {path.name: path.stat().st_ino for path in folder.glob("shard-*")}
        table = write(folder)
        assert content(folder) == content(whole), how
        assert values(table) == values(ShardTable(whole)), how
        assert all((folder / name).stat().st_ino == inode for name, inode in before.items()), f"{how}: written twice"
    assert deaths > 40


def test_shards_that_are_whole_are_not_encoded_again(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a" / "index.json").unlink()
    for shard in (1, 3):
        (tmp_path / "a" / f"shard-{shard:05}.safetensors").unlink()
    source, told = Source(), list[tuple[int, int]]()
    write(tmp_path / "a", source, progress=lambda *done: told.append(done))
    assert source.asked == [1, 3]
    assert told == [(n, 5) for n in range(1, 6)]
    assert content(tmp_path / "a") == content(whole)


def test_damage_is_named_by_readers_and_mended_by_writers(tmp_path: Path, whole: Path) -> None:
    chance, named = random.Random(0), 0
    for _ in range(cases(60, 600)):
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "a")
        file = chance.choice(sorted((tmp_path / "a").iterdir()))
        shutil.copytree(whole, tmp_path / "b", dirs_exist_ok=True)
        done = damages.any_damage(chance, file, tmp_path / "b" / "shard-00000.safetensors")
        told = named_by(tmp_path / "a")
        assert told or values(ShardTable(tmp_path / "a")) == values(ShardTable(whole)), f"{done}: silently wrong"
        assert str(tmp_path / "a") in (told or str(tmp_path / "a")), f"{done}: {told}"
        named += bool(told)
        if file.is_dir():  # a person's doing, and a person's to undo
            continue
        source = Source()
        assert values(write(tmp_path / "a", source)) == values(ShardTable(whole)), done
        assert len(set(source.asked) - {0}) <= 1, f"{done}: more than the damaged shard was encoded"
    assert named > cases(40, 400)


def named_by(folder: Path) -> str:
    """What a reader says of damage."""
    try:
        ShardTable(folder)
    except CheckpointError as error:
        return str(error)
    return ""


def test_several_processes_share_the_shards(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "shards"
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                source = Source()
                write(folder, source)
                (tmp_path / f"{os.getpid()}").write_text(" ".join(map(str, source.asked)))
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert content(folder) == content(whole)
    asked = [int(n) for child in children for n in (tmp_path / f"{child}").read_text().split()]
    assert sorted(n for n in asked if n) == [1, 2, 3, 4]  # the first batch tells how large shards are


def test_another_table_is_not_mixed_with_what_is_there(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ValueError, match="holds shards of other data or settings"):
        write(tmp_path, half=("latents",))


def test_fields_that_come_and_go_are_named(tmp_path: Path) -> None:
    class Changing(Source):
        def batches(self, start: int, stop: int) -> Iterator[Batch]:
            for n, batch in enumerate(super().batches(start, stop), start):
                yield batch | ({"labels": torch.zeros(2)} if n == 3 else {})

    with pytest.raises(ValueError, match=r"shard-00003\.safetensors has the fields .*labels"):
        write(tmp_path, Changing())


def test_latents_that_are_no_numbers_end_it_and_what_was_written_stays(tmp_path: Path) -> None:
    class Spoilt(Source):
        def batches(self, start: int, stop: int) -> Iterator[Batch]:
            for n, batch in enumerate(super().batches(start, stop), start):
                yield batch | ({"latents": torch.full((2, 3, 2, 2), torch.nan)} if n == 2 else {})

    with pytest.raises(FloatingPointError, match="the encoded latents"):
        write(tmp_path, Spoilt())
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == [
        "plan.json",
        "shard-00000.safetensors",
        "shard-00001.safetensors",
    ]
