"""Files and folders at an address, seen from several machines."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph_runner.base import leases, remote
from graph_runner.base.home import ADDRESS, Home, HomeError, folder_of, home_of, named
from tests.effort import cases
from tests.remote import CREDENTIALS, Machines, objects, server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with server() as address:
        yield address


both = pytest.mark.parametrize("machines", ["memory", "s3"], indirect=True)
only_s3 = pytest.mark.parametrize("machines", ["s3"], indirect=True)


@pytest.fixture(params=["memory"])
def machines(request, tmp_path, monkeypatch) -> Machines:
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    if request.param == "s3":
        for variable, value in CREDENTIALS.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
    found = Machines(f"{request.param}://{name}/work", tmp_path, monkeypatch)
    found.home("a").bucket.fs.mkdir(name)
    return found


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def texts(path: Path) -> dict[str, str]:
    return {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()}


@both
def test_a_folder_that_one_machine_keeps_another_brings(machines):
    a = machines.home("a")
    kept = folder(a.workspace / "models" / "one", unet="weights", more="x" * 1000)
    folder(kept / "deep", inner="y")
    a.keep(kept)
    b = machines.home("b")
    b.bring(b.workspace / "models" / "one" / "unet")  # what is in it comes with all of it
    assert texts(b.workspace / "models" / "one") == texts(kept)
    assert b.names(b.workspace / "models") == {"one"}
    assert b.names(b.workspace / "nothing") == set()


def test_what_is_kept_anew_replaces_what_others_brought_and_leaves_nothing(machines):
    a, b = machines.home("a"), machines.home("b")
    a.keep(folder(a.workspace / "models" / "one", unet="old", gone="gone"))
    b.bring(b.workspace / "models" / "one")
    (a.workspace / "models" / "one" / "gone").unlink()
    a.keep(folder(a.workspace / "models" / "one", unet="new"))
    b.bring(b.workspace / "models" / "one")
    assert texts(b.workspace / "models" / "one") == {"unet": "new"}
    assert sum("models" in name for name in objects(a)) == 2  # a file and the manifest


def test_what_was_changed_here_alone_stays(machines):
    a, b = machines.home("a"), machines.home("b")
    a.keep(folder(a.workspace / "models" / "one", unet="at home"))
    folder(b.workspace / "models" / "one", unet="mine")
    b.bring(b.workspace / "models" / "one" / "unet")
    assert texts(b.workspace / "models" / "one") == {"unet": "mine"}
    b.bring_tree(b.workspace / "models" / "one")  # of a value of the cache, which is what its name says
    assert texts(b.workspace / "models" / "one") == {"unet": "at home"}


@both
def test_single_files_go_and_come(machines):
    a, b = machines.home("a"), machines.home("b")
    folder(a.workspace / "workflows", one="{}", two="[]")
    a.keep_below(a.workspace / "workflows")
    b.bring(b.workspace / "workflows" / "one")
    assert texts(b.workspace / "workflows") == {"one": "{}"}
    b.bring_below(b.workspace / "workflows")
    assert texts(b.workspace / "workflows") == {"one": "{}", "two": "[]"}
    (b.workspace / "workflows" / "one").write_text("()")
    os.utime(b.workspace / "workflows" / "one", (2e9, 2e9))
    b.bring_below(b.workspace / "workflows")
    assert (b.workspace / "workflows" / "one").read_text() == "()"  # not kept yet
    b.keep(b.workspace / "workflows" / "one")
    os.utime(a.workspace / "workflows" / "one", (1e9, 1e9))
    a.bring(a.workspace / "workflows" / "one")
    assert (a.workspace / "workflows" / "one").read_text() == "()"  # of the same size


@both
def test_what_is_forgotten_is_nowhere(machines):
    a, b = machines.home("a"), machines.home("b")
    for step in (1, 2):
        a.keep(folder(a.workspace / "checkpoints" / "line" / f"step-{step}", tensors="t"))
    with a.lease(a.workspace / "checkpoints" / "line", threading.Event(), lambda *_: None):
        pass
    a.forget(a.workspace / "checkpoints" / "line" / "step-1")
    assert b.names(b.workspace / "checkpoints" / "line") == {"step-2"}
    a.forget(a.workspace / "checkpoints" / "line")
    assert b.names(b.workspace / "checkpoints") == set()
    assert objects(a) == set()
    a.forget(a.workspace / "checkpoints" / "line")  # again: it is gone


@both
def test_a_name_is_claimed_once(machines):
    a, b = machines.home("a"), machines.home("b")
    assert a.claim(a.workspace / "runs" / "one")
    assert not b.claim(b.workspace / "runs" / "one")
    assert b.claim(b.workspace / "runs" / "two")


class Dies(Exception):
    pass


@both
def test_a_writer_that_dies_at_any_request_leaves_the_old_or_the_new(machines, monkeypatch):
    a, b = machines.home("a"), machines.home("b")
    place = a.workspace / "cache" / "key"
    a.keep(folder(place, tensors="old", tree="old"))
    left, died = 0, True
    while died:
        folder(place, tensors=f"new {left}", tree=f"new {left}")
        budget = left

        def dying(request):
            def call(*args, **kwargs):
                nonlocal budget
                budget -= 1
                if budget < 0:
                    raise Dies
                return request(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in ("pipe_file", "put", "rm_file"):
                patch.setattr(a.bucket.fs, name, dying(getattr(a.bucket.fs, name)))
            try:
                a.keep(place)
                died = False
            except HomeError as error:
                if not isinstance(error.__cause__, Dies):
                    raise
        b.bring_tree(b.workspace / "cache" / "key")
        seen = texts(b.workspace / "cache" / "key")
        assert len(set(seen.values())) == 1
        assert len(seen) == 2
        left += 1
    assert left > 3
    a.sweep(a.workspace / "cache", older_than=-5)
    assert len(objects(a)) == 3


def test_a_manifest_that_is_not_whole_is_none(machines):
    a, b = machines.home("a"), machines.home("b")
    a.keep(folder(a.workspace / "cache" / "key", tensors="t"))
    name = f"{a.bucket.root}/cache/key{remote.MANIFEST}"
    whole = a.bucket.fs.cat_file(name)
    for size in range(0, len(whole), cases(17, 1)):
        a.bucket.fs.pipe_file(name, whole[:size])
        b.bring_tree(b.workspace / "cache" / "key")
        assert not (b.workspace / "cache" / "key").exists()


def test_sweeping_spares_what_was_written_just_now_and_what_is_named(machines):
    a = machines.home("a")
    a.keep(folder(a.workspace / "cache" / "key", tensors="t"))
    a.keep(folder(a.workspace / "uploads", one="1") / "one")
    a.bucket.fs.pipe_file(f"{a.bucket.root}/cache/other/generation-0123456789ab/tensors", b"half")
    a.sweep(a.workspace, older_than=3600)
    assert len(objects(a)) == 4
    a.sweep(a.workspace, older_than=-5)
    assert len(objects(a)) == 3


@both
def test_what_is_held_is_measured(machines):
    a = machines.home("a")
    a.keep(folder(a.workspace / "cache" / "key", tensors="t" * 1000))
    [held] = a.held(a.workspace / "cache")
    assert held.path == a.workspace / "cache" / "key"
    assert 1000 < held.size < 1200
    assert abs(time.time() - held.used) < 3600


def test_a_folder_is_listed_as_a_user_sees_it(machines):
    a = machines.home("a")
    kept = folder(a.workspace / "models" / "one", unet="weights")
    folder(kept / "deep", inner="y")
    a.keep(kept)
    a.keep(folder(a.workspace / "models", single="12") / "single")
    assert {name: found and found.size for name, found in a.listing(a.workspace / "models").items()} == {
        "one": None,
        "single": 2,
    }
    assert {name: found and found.size for name, found in a.listing(kept).items()} == {"unet": 7, "deep": None}
    assert set(a.listing(kept / "deep")) == {"inner"}
    assert a.listing(a.workspace / "nothing") == {}
    assert a.listing(a.workspace) == {"models": None}
    assert [kept.path.name for kept in a.held(a.workspace)] == ["models"]


@pytest.mark.parametrize("name", ["../../outside", "a/../../outside", "{folder}/outside"])
def test_what_a_store_says_cannot_lead_out_of_the_copy(machines, name):
    a, name = machines.home("a"), name.format(folder=machines.folder)
    at = f"{a.bucket.root}/models/one"
    a.bucket.write(at + remote.MANIFEST, {"generation": "generation-0123456789ab", "files": {name: 4}})
    a.bucket.fs.pipe_file(f"{at}/generation-0123456789ab/{name}", b"evil")
    a.bring(a.workspace / "models" / "one")
    assert not list(machines.folder.rglob("outside*"))


def test_what_is_asked_for_cannot_lead_out_of_the_copy(machines):
    a = machines.home("a")
    a.bucket.fs.pipe_file(f"{a.bucket.root}/../outside", b"evil")
    a.bring(a.workspace / ".." / "outside")
    a.bring(a.workspace / "models" / ".." / ".." / "outside")
    assert not list(machines.folder.rglob("outside*"))


def lease(home: remote.Remote, stop: threading.Event, told: list[str]):
    return home.lease(home.workspace / "checkpoints" / "line", stop, lambda sentence, _: told.append(sentence))


@both
def test_two_machines_hold_a_lineage_one_after_the_other(machines):
    a, b = machines.home("a"), machines.home("b")
    told: list[str] = []
    order: list[str] = []

    def second() -> None:
        with lease(b, threading.Event(), told):
            order.append("b")

    with lease(a, threading.Event(), told) as first:
        waiting = threading.Thread(target=second)
        waiting.start()
        while not told:
            time.sleep(0.01)
        order.append("a")
        assert not first.lost
    waiting.join()
    assert order == ["a", "b"]
    assert "waits for another run" in told[0]
    assert str(os.getpid()) in told[0]


def test_who_waits_for_a_lineage_can_stop(machines):
    a, b = machines.home("a"), machines.home("b")
    stop = threading.Event()
    stop.set()
    with lease(a, threading.Event(), []), lease(b, stop, []) as none:
        assert not none.lost


@both
def test_a_holder_that_is_not_heard_of_loses_the_lineage_and_knows(machines, monkeypatch):
    monkeypatch.setattr(leases, "PATIENCE", 0.3)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 3600.0)  # as one whose machine sleeps
    a, b = machines.home("a"), machines.home("b")
    with lease(a, threading.Event(), []) as first, lease(b, threading.Event(), []):
        assert first.lost


def test_a_holder_that_beats_is_waited_for(machines, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.01)
    a = machines.home("a")
    store, place = a.bucket.fs, f"{a.bucket.root}/checkpoints/line.leases"
    with lease(a, threading.Event(), []) as first:
        before = leases._content(store, place, 1)
        while leases._content(store, place, 1) == before:
            time.sleep(0.01)
        store.pipe_file(f"{place}/0000000002", b"{}")  # another has taken it for dead
        while not first.lost:
            time.sleep(0.01)


def test_a_number_that_others_have_passed_meanwhile_is_no_lease(machines, monkeypatch):
    a = machines.home("a")
    store, place = a.bucket.fs, f"{a.bucket.root}/checkpoints/line.leases"
    store.pipe_file(f"{place}/0000000001", b'{"free": true}')
    look = leases._content

    def slow(store, place, number):
        content = look(store, place, number)
        if number == 1:  # while the answer is on its way one takes 2 and lets it go, and another takes 3
            store.pipe_file(f"{place}/0000000003", b"{}")
            store.rm_file(f"{place}/0000000001")
        return content

    monkeypatch.setattr(leases, "_content", slow)
    told, stop = [], threading.Event()

    def tell(sentence, level):
        told.append(sentence)
        stop.set()

    with a.lease(a.workspace / "checkpoints" / "line", stop, tell):
        assert "waits for another run" in told[0]
    assert leases._numbers(store, place) == [3]


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from graph_runner.base.home import folder_of, home_of
home = home_of(folder_of(sys.argv[1]))
with home.lease(home.workspace / "checkpoints" / "line", threading.Event(), print):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@only_s3
def test_a_killed_holder_of_the_same_machine_is_not_waited_for(machines):
    a = machines.home("a")
    killed = subprocess.run([sys.executable, "-c", KILLED, machines.address], check=False)
    assert killed.returncode == -signal.SIGKILL, "it held the lineage when it died"
    told: list[str] = []
    with lease(a, threading.Event(), told):
        assert told == []


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("workspace", "workspace"),
        ("a:b", "a:b"),
        ("C:\\work", "C:\\work"),
        ("file:///shared/work", "/shared/work"),
        (Path("file:///shared/work"), "/shared/work"),
    ],
)
def test_folders_are_folders(given, folder):
    assert folder_of(given) == Path(folder)
    assert type(home_of(folder_of(given).absolute())) is Home


def test_an_address_has_a_copy_that_says_so(machines):
    copy = machines.workspace("a")
    assert (copy / ADDRESS).read_text() == machines.address
    assert named(copy) == machines.address
    assert folder_of(Path(machines.address)) == copy  # a path makes one slash of two
    assert folder_of(machines.address + "/") == copy
    assert folder_of(machines.address + "2") != copy
    with pytest.raises(ValueError, match="no bucket"):
        folder_of("s3://")


def refusal(machines: Machines) -> str:
    with pytest.raises(ValueError, match="://") as found:
        machines.home("fresh").prepare()
    return str(found.value)


@only_s3
def test_what_is_refused_names_the_address_and_a_remedy(machines, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nowhere = Machines("s3://no-such-bucket/work", tmp_path / "1", monkeypatch)
    assert "s3://no-such-bucket/work" in refusal(nowhere)
    assert "make that bucket" in refusal(nowhere)
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("HOME", str(tmp_path))
        assert "AWS_ACCESS_KEY_ID" in refusal(Machines(machines.address, tmp_path / "2", monkeypatch))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "s3fs", None)
        patch.delitem(importlib.import_module("fsspec.registry")._registry, "s3")
        assert 'pip install "latent-loom[s3]"' in refusal(Machines("s3://absent/package", tmp_path / "3", monkeypatch))
    assert "no address that fsspec knows" in refusal(Machines("nonsense://x/y", tmp_path / "4", monkeypatch))

    def client(*_: object, **__: object) -> None:
        raise ValueError("Must provide an account")

    with monkeypatch.context() as patch:
        patch.setattr("fsspec.core.url_to_fs", client)
        told = refusal(Machines("az://container/work", tmp_path / "5", monkeypatch))
        assert "az://container/work: Must provide an account; set its credentials" in told
