"""A plain Python script against the server: what `gradio_client` can do, and the app view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.ui.conftest import ROOT, RunningServer, graph, looping

PICTURE = {"a": {"type": "number", "params": {"value": 7}}, "s": {"type": "save_picture", "wires": {"x": "a"}}}


@pytest.fixture(scope="module")
def client(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    made = Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
    yield made
    made.close()


def test_a_script_submits_follows_and_fetches_the_picture(client: Client) -> None:
    run = client.predict(graph(PICTURE, title="From a script"), api_name="/submit")
    batches = list(client.submit(run["run"], api_name="/subscribe"))
    numbers = [event["n"] for batch in batches for event in batch]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    assert batches[-1][-1]["status"] == "done"
    [output] = client.predict(run["run"], api_name="/outputs")
    fetched = client.predict(output["file"], api_name="/download")
    with Image.open(fetched) as image:
        assert image.getpixel((0, 0)) == (7, 0, 0)
    assert client.predict(handle_file(fetched), api_name="/extract")["text"].startswith('{\n "loom": 1')
    kept = client.predict(handle_file(fetched), api_name="/upload")
    assert kept["file"].startswith("uploads/")
    assert client.predict(limit=1, api_name="/history")[0]["title"] == "From a script"
    assert not client.predict(api_name="/queue")["queued"]


def test_a_script_is_told_what_is_wrong(client: Client) -> None:
    with pytest.raises(AppError, match="numbr"):
        client.predict(graph({"a": {"type": "numbr"}}), api_name="/submit")
    with pytest.raises(AppError, match="there is no run"):
        client.submit(10**6, api_name="/subscribe").result()
    with pytest.raises(AppError, match="no path below the workspace"):
        client.predict("../x", api_name="/download")
    with pytest.raises(AppError, match="upload a file first"):
        client.predict({"path": "/etc/passwd", "meta": {"_type": "x"}}, api_name="/upload")


def test_a_workflow_with_a_path_goes_through_unchanged(client: Client, server: RunningServer) -> None:
    """To Gradio an object with a "path" is a file; in a workflow it is a parameter."""
    (server.workspace / "seven.txt").write_text("7")
    nodes = {
        "n": {"type": "read_number", "params": {"path": "seven.txt"}},
        "m": {"type": "measure", "wires": {"x": "n"}},
    }
    run = client.predict(graph(nodes), api_name="/submit")["run"]
    assert server.over(run)["status"] == "done"
    saved = client.predict("workflows/seven.json", graph(nodes), api_name="/save")
    assert saved["text"] == server.call("open", path="workflows/seven.json")["text"]
    assert client.predict(api_name="/nodes")["nodes"]["read_number"]["inputs"][0]["file"] == "file"


def test_the_documented_script_works(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The code of docs/api.md as it stands, with this server and a toy in the place of the quickstart."""
    text = (ROOT / "docs" / "api.md").read_text()
    script = text.partition("```python\n")[2].partition("```")[0]
    server.call("save", path="workflows/documented.json", workflow=graph(PICTURE))
    script = script.replace("http://127.0.0.1:7860", server.url).replace("shipped/quickstart", "workflows/documented")
    exec(compile(script, "api.md", "exec"), {})
    said = capsys.readouterr().out
    assert "[]" in said
    assert said.strip().endswith("picture.png")


def test_every_call_is_a_gradio_endpoint(client: Client) -> None:
    from ui.calls import CALLS

    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {f"/{name}" for name in [*CALLS, "subscribe", "download", "upload", "extract"]}


def test_the_app_view_is_a_form_of_what_is_exposed(server: RunningServer, tmp_path: Path) -> None:
    nodes = {
        "a": {"type": "number", "params": {"value": 7}},
        "z": {
            "type": "iterate",
            "params": {"n": 2},
            "wires": {"x": "a"},
            "body": {
                "nodes": {"twice": {"type": "scale", "params": {"by": 2}, "wires": {"x": "z.x"}}},
                "results": {"number": "twice"},
            },
        },
        "s": {"type": "save_picture", "wires": {"x": "z"}},
    }
    exposed = {"params": {"start": "a.value", "factor": "twice.by"}, "outputs": {"result": "z"}}
    workflow = graph(nodes, title="A form", exposed=exposed)
    server.call("save", path="workflows/folder/form.json", workflow=workflow)
    [entry] = [entry for entry in server.call("workflows") if entry["title"] == "A form"]
    assert entry["app"] == "app/folder/form/"
    form = Client(f"{server.url}/{entry['app']}", verbose=False, download_files=tmp_path)
    labels = [component["props"].get("label") for component in form.config["components"]]
    assert {"start", "factor", "Pictures"} <= set(labels)
    kinds = {component["props"].get("label"): component["type"] for component in form.config["components"]}
    assert kinds["start"] == "slider"
    run = form.predict(3, 5, api_name="/submit")
    status, pictures, _, values, _ = list(form.submit(run, api_name="/watch"))[-1]
    form.close()
    assert status.startswith("done")
    assert values == "- **result**: 75"
    with Image.open(pictures[0]["image"]) as image:
        assert image.getpixel((0, 0)) == (75, 0, 0)
    assert server.call("run", run=run)["workflow"]["nodes"]["z"]["body"]["nodes"]["twice"]["params"]["by"] == 5


def test_the_app_view_takes_a_seed_to_the_last_digit(server: RunningServer) -> None:
    nodes = {
        "d": {"type": "random_number", "params": {"seed": 2**64 - 1}},
        "m": {"type": "measure", "wires": {"x": "d"}},
    }
    exposed = {"params": {"seed": "d.seed"}, "outputs": {}}
    server.call("save", path="workflows/seeded.json", workflow=graph(nodes, title="Seeded", exposed=exposed))
    form = Client(f"{server.url}/app/seeded/", verbose=False)
    [field] = [each["props"] for each in form.config["components"] if each["props"].get("label") == "seed"]
    assert field["value"] == "18446744073709551615"
    for seed in ("18446744073709551614", " 9007199254740993 "):
        run = form.predict(seed, api_name="/submit")
        assert server.call("run", run=run)["workflow"]["nodes"]["d"]["params"]["seed"] == int(seed)
    for wrong, said in (
        ("1.5", "is no whole number"),
        ("-1", "greater than"),
        (str(2**64), "the whole number 18446744073709551616"),
    ):
        with pytest.raises(AppError, match=said):
            form.predict(wrong, api_name="/submit")
    form.close()


def test_the_app_view_shows_progress_and_curves(server: RunningServer) -> None:
    workflow = graph(looping(60, 0.02), title="Curves", exposed={"params": {"turns": "loop.n"}, "outputs": {}})
    server.call("save", path="workflows/curves.json", workflow=workflow)
    form = Client(f"{server.url}/app/curves/", verbose=False)
    run = form.predict(60, api_name="/submit")
    views = list(form.submit(run, api_name="/watch"))
    form.close()
    assert any("<progress" in status for status, *_ in views), "it is told while it goes on"
    assert views[-1][0].startswith("done")
    plot = views[-1][2]
    assert plot["visible"]
    assert [row[0] for row in plot["value"]["data"]] == list(range(1, 61))


def test_an_app_of_what_cannot_run_says_so(server: RunningServer) -> None:
    server.call("save", path="workflows/wrong.json", workflow=graph({"a": {"type": "numbr"}}))
    assert "cannot run yet" in server.http.get("/app/wrong/config").json()["error"]
    assert "Did you mean 'wrong'" in server.http.get("/app/wrongg/").json()["error"]


@pytest.mark.parametrize(
    ("name", "hash"),
    [("plain", "plain"), ("of mine/a & b", "of%20mine/a%20&%20b"), ("größe #2", "gr%C3%B6%C3%9Fe%20#2")],
)
def test_an_app_view_is_on_the_page_and_nothing_of_gradios_pages_is_served(
    name: str, hash: str, server: RunningServer
) -> None:
    server.call("save", path=f"workflows/{name}.json", workflow=graph({"a": {"type": "number"}}))
    below = f"/app/{quote(name)}"
    for address in (below, f"{below}/"):
        answer = server.http.get(address)
        assert (answer.status_code, answer.headers["location"]) == (307, f"/#app/workflows/{hash}.json")
    for address in (
        "theme.css",
        "static/img/logo.svg",
        "assets/index.js",
        "manifest.json",
        "gradio_api/component_server",
    ):
        assert server.http.get(f"{below}/{address}").status_code == 404, address
