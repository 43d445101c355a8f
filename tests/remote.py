"""An object store for tests, and machines that share it: each has a copy of its own of every address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graph_runner.base.home import COPIES, folder_of, home_of
from graph_runner.base.remote import Remote

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def server() -> Iterator[str]:
    """A server that speaks S3, on this machine; gives its address."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    serving = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    serving.start()
    host, port = serving.get_host_and_port()
    yield f"http://{host}:{port}"
    serving.stop()


class Machines:
    """Machines that share the workspace at an address."""

    def __init__(self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address, self.folder, self._monkeypatch = address, folder, monkeypatch

    def workspace(self, machine: str) -> Path:
        """The folder of this machine's copy; from now on this process is that machine."""
        self._monkeypatch.setenv(COPIES, str(self.folder / machine))
        return folder_of(self.address)

    def home(self, machine: str) -> Remote:
        home = home_of(self.workspace(machine))
        assert isinstance(home, Remote)
        return home


def objects(home: Remote) -> set[str]:
    """All that lies at an address, by the names below it."""
    return {name.removeprefix(f"{home.bucket.root}/") for name in home.bucket.fs.find(home.bucket.root)}
