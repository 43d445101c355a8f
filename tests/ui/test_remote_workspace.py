"""Two servers, as of two machines, with one workspace at an address."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator

import pytest
from PIL import Image

from graph_runner.base.home import COPIES
from tests.remote import CREDENTIALS, server
from tests.ui.conftest import RunningServer, graph

NODES = {
    "a": {"type": "number", "params": {"value": 3}},
    "k": {"type": "kept", "wires": {"x": "a"}},
    "show": {"type": "show_number", "wires": {"x": "k"}},
}


@pytest.fixture
def servers(tmp_path, monkeypatch) -> Iterator[list[RunningServer]]:
    with server() as endpoint:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        import s3fs

        bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        found = []
        for machine in ("one", "two"):
            monkeypatch.setenv(COPIES, str(tmp_path / machine))
            found.append(RunningServer(f"s3://{bucket}/work"))
        yield found
        for each in found:
            each.stop()


@pytest.mark.slow
def test_what_one_server_has_another_shows(servers):
    one, two = servers
    saved = one.call("save", path="workflows/mine.json", workflow=graph(NODES))
    uploaded = one.http.post("/upload?name=numbers.txt", content=b"7")
    assert uploaded.status_code == 200, uploaded.text
    run = one.submit(NODES)
    assert one.over(run)["status"] == "done"
    assert "workflows/mine.json" in [each["path"] for each in two.call("workflows")]
    assert two.call("open", path="workflows/mine.json")["text"] == saved["text"]
    assert two.http.get(f"/{uploaded.json()['url']}").content == b"7"
    assert [each["path"] for each in two.call("files", folder="uploads")] == [uploaded.json()["path"]]
    assert {"runs", "uploads", "workflows"} <= {each["name"] for each in two.call("files")}
    while not (adopted := two.call("history")):  # a record that was written just now may not be whole
        time.sleep(0.2)
    run = adopted[0]["run"]
    [output] = two.call("outputs", run=run)
    assert two.http.get(f"/{output['url']}").content == b"3.0"
    again = two.submit(NODES)
    two.over(again)
    assert "cached" in [event["event"] for event in two.call("events", run=again)]  # k, by its key


@pytest.mark.slow
def test_pictures_that_one_server_takes_in_or_throws_away_do_so_for_the_other(servers):
    one, two = servers
    out = io.BytesIO()
    Image.new("RGB", (12, 8), "teal").save(out, "PNG")
    folder = one.call("new_folder", name="holiday")["path"]
    for name, content in (("a.png", out.getvalue()), ("a.txt", b"a cat")):
        sent = one.http.post("/pictures", params={"name": name, "folder": folder}, content=content)
        assert sent.status_code == 200, sent.text
    assert {each["name"] for each in two.call("files", folder=folder)} == {"a.png", "a.txt"}
    assert two.http.get(f"/files/{folder}/a.txt").content == b"a cat"
    one.call("throw_away", path=f"{folder}/a.png")
    for each in servers:
        assert each.http.get(f"/files/{folder}/a.png").status_code == 404
    one.call("bring_back", path=f"{folder}/a.png")
    assert two.http.get(f"/files/{folder}/a.png").content == out.getvalue()
