"""Behind a proxy that puts the server below a path, whether it takes the path off or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from tests.ui.conftest import RunningServer, graph

PICTURE = {"a": {"type": "number", "params": {"value": 7}}, "s": {"type": "save_picture", "wires": {"x": "a"}}}
TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    workspace = tmp_path_factory.mktemp("below")
    (workspace / "workflows").mkdir()
    workflow = graph(PICTURE, exposed={"params": {"value": "a.value"}})
    (workspace / "workflows" / "form.json").write_text(json.dumps(workflow))
    running = RunningServer(workspace, "--root-path", "/a/loom", "--token", TOKEN)
    yield running
    running.stop()


@pytest.mark.parametrize("kept", ["/a/loom", ""], ids=["the proxy keeps the prefix", "the proxy takes it off"])
def test_page_form_calls_and_login_know_the_prefix(below: RunningServer, kept: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=below.url, headers=headers, timeout=300) as client:
        assert client.get(f"{kept}/api/about").json()["version"]
        assert client.get(f"{kept}/files/workflows/form.json").status_code == 200
        assert client.get(f"{kept}/app/form/config").json()["root"] == f"{below.url}/a/loom/app/form"
        for address in ("app/form", "app/form/"):
            assert client.get(f"{kept}/{address}").headers["location"] == "/a/loom/#app/workflows/form.json"
        assert client.get(f"{kept}/config").json()["root"] == f"{below.url}/a/loom"
    asked = httpx.get(f"{below.url}{kept}/", headers={"accept": "text/html"})
    assert (asked.status_code, 'action="/a/loom/login"' in asked.text) == (401, True)
    answer = httpx.post(f"{below.url}{kept}/login", data={"password": TOKEN, "next": "/a/loom/app/form/"})
    assert answer.headers["location"] == "/a/loom/app/form/"
    assert "Path=/a/loom/;" in answer.headers["set-cookie"]
    elsewhere = httpx.post(f"{below.url}{kept}/login", data={"password": TOKEN, "next": "/elsewhere"})
    assert elsewhere.headers["location"] == "/a/loom/"


def test_the_prefix_without_its_slash_leads_to_the_page(below: RunningServer) -> None:
    answer = httpx.get(f"{below.url}/a/loom", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/a/loom/")


def test_a_script_works_below_the_prefix(below: RunningServer, tmp_path: Path) -> None:
    client = Client(
        f"{below.url}/a/loom/", headers={"authorization": f"Bearer {TOKEN}"}, verbose=False, download_files=tmp_path
    )
    assert client.predict(api_name="/about")["version"]
    run = client.predict(graph(PICTURE), api_name="/submit")["run"]
    batches = list(client.submit(run, api_name="/subscribe"))
    assert batches[-1][-1]["status"] == "done"
    [output] = client.predict(run, api_name="/outputs")
    assert Path(client.predict(output["file"], api_name="/download")).stat().st_size == output["size"]
    client.close()
    client = Client(f"{below.url}/a/loom/", auth=("anybody", TOKEN), verbose=False, download_files=tmp_path)
    assert client.predict(api_name="/about")["login"] is True
    client.close()


def test_a_proxy_may_tell_the_prefix_itself(server: RunningServer) -> None:
    told = server.http.get("/config", headers={"x-forwarded-prefix": "/loom"}).json()["root"]
    assert told == f"{server.url}/loom"
    for odd in ("//evil.example", "/a/../..", "javascript:", "/" + "x/" * 100, "/a b"):
        assert server.http.get("/config", headers={"x-forwarded-prefix": odd}).json()["root"] == server.url
