"""A real Chromium on the real page, the real server and the real nodes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.conftest import ROOT, RunningServer

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.ui.browser.sheet import Sheet

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")  # no longer: while playwright lives, its event loop runs in the thread of the tests
def browser() -> Iterator[Browser]:
    if not (ROOT / "ui/web/dist/index.html").exists():
        pytest.skip("the page is not built: npm ci && npm run build in ui/web")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("there is no Chromium here")
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose workspace holds what a short training of the quickstart saves."""
    running = RunningServer(tmp_path_factory.mktemp("canvas"), "--grace", "2")
    run = running.call("submit", workflow=shortened("quickstart", autoencoder=2, diffusion=2))["run"]
    summary = running.until(run, lambda summary: summary["ended"] is not None, seconds=120)
    assert summary["status"] == "done", summary
    yield running
    running.stop()


def shortened(name: str, every: int = 1, **steps: int) -> dict[str, object]:
    """A shipped workflow on little data, with so many steps of each training zone."""
    import json

    workflow = json.loads((ROOT / f"workflows/{name}.json").read_text())

    def walk(nodes: dict[str, dict[str, object]]) -> None:
        for id, node in nodes.items():
            params = node.setdefault("params", {})
            assert isinstance(params, dict)
            if node["type"] == "train":
                params |= {"steps": steps[id], "batch_size": 4, "log_every": 1}
            elif node["type"] == "shapes_dataset":
                params["size"] = 64
            elif node["type"] == "every":
                params["steps"] = every
            elif node["type"] == "sample":
                params["steps"] = 2
            body = node.get("body")
            if isinstance(body, dict):
                walk(body.get("nodes", {}))

    walk(workflow["nodes"])
    return workflow


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(
        viewport={"width": 1600, "height": 950},
        permissions=["clipboard-read", "clipboard-write"],
        color_scheme="dark",
        reduced_motion="reduce",  # nothing glides away from under the mouse
    )
    made.set_default_timeout(60_000)
    yield made
    made.close()


@pytest.fixture
def sheet(context: BrowserContext, real_server: RunningServer) -> Iterator[Sheet]:
    made = Sheet(context.new_page(), real_server.url)
    yield made
    assert made.errors == []


@pytest.fixture
def plain_sheet(context: BrowserContext, server: RunningServer) -> Iterator[Sheet]:
    """A page of the server that all tests of the user interface share: nothing is trained for it."""
    made = Sheet(context.new_page(), server.url)
    yield made
    assert made.errors == []


@pytest.fixture
def phone(browser: Browser, real_server: RunningServer) -> Iterator[Sheet]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    context.set_default_timeout(20_000)
    made = Sheet(context.new_page(), real_server.url)
    yield made
    context.close()
    assert made.errors == []
