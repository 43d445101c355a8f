"""A wrong graph says what is wrong with it, each problem on its node, as the command line does."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from graph_runner.bind.validate import validate
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import read
from tests.ui.browser.sheet import Sheet
from tests.ui.conftest import NODES, RunningServer, graph

WRONG = {
    "noise": {"type": "gaussian_noise", "params": {"shape": [1, 4, 8, 8]}},
    "mismatch": {"type": "image_grid", "wires": {"images": "noise"}},
    "missing": {"type": "decode", "wires": {"z": "noise"}},
    "value": {"type": "image_grid", "params": {"columns": "many"}, "wires": {"images": "missing"}},
    "a": {"type": "upscale", "wires": {"images": "b"}},
    "b": {"type": "upscale", "wires": {"images": "a"}},
    "typo": {"type": "image_gird", "wires": {"images": "missing"}},
    "nowhere": {"type": "save_image", "wires": {"images": "mising"}},
}


def test_every_problem_is_shown_on_its_node(sheet: Sheet, real_server: RunningServer) -> None:
    text = json.dumps(graph(WRONG, title="Wrong"))
    file = real_server.workspace / "workflows/wrong.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    problems = [
        problem.to_json() for problem in validate(read(text), Registry.installed(["graph_runner.zones", *NODES]))[1]
    ]
    assert {problem["node"] for problem in problems} >= {"mismatch", "missing", "value", "typo", "nowhere"}

    sheet.open("workflows/wrong.json")
    for problem in problems:
        node = sheet.node(problem["node"])
        written = node.locator(".node-problems").get_by_text(problem["message"])
        expect(node.get_by_label(problem["message"]).or_(written).first).to_be_attached()

    sheet.press("Alt+1")
    listed = sheet.page.get_by_role("complementary", name="Problems").get_by_role("listitem")
    expect(listed).to_have_count(len(problems))
    for problem in problems:
        expect(listed.filter(has_text=problem["message"]).first).to_be_visible()
    listed.filter(has_text="columns").get_by_role("button").click()
    expect(sheet.page.locator('.react-flow__node.selected[data-id="value"]')).to_be_visible()

    sheet.run()
    expect(sheet.page.get_by_text("This cannot run yet")).to_be_visible()


def test_a_bad_value_is_marked_once_it_is_typed(sheet: Sheet) -> None:
    """How soon, `python -m benchmarks.canvas` tells."""
    sheet.open("shipped/sample.json")
    field = sheet.field("grid", "zoom")
    expect(field).to_be_visible()
    field.press("Enter")
    typed = sheet.field("grid", "zoom")
    typed.fill("-3")
    typed.press("Enter")
    expect(sheet.node("grid").locator('[data-handle="zoom"] .mark')).to_be_visible()
    sheet.undo()
    expect(sheet.node("grid").locator(".mark")).to_have_count(0)


def test_what_fails_in_a_run_is_told_on_its_node(sheet: Sheet, real_server: RunningServer) -> None:
    nodes = {
        "load": {"type": "load_image", "params": {"path": "uploads/none.png"}},
        "grid": {"type": "image_grid", "wires": {"images": "load"}},
        "save": {"type": "save_image", "wires": {"images": "grid"}},
    }
    real_server.call("save", path="workflows/failing.json", workflow=graph(nodes, title="Failing"), overwrite=True)
    (real_server.workspace / "uploads").mkdir(exist_ok=True)
    (real_server.workspace / "uploads/none.png").write_bytes(b"no picture")
    sheet.open("workflows/failing.json")
    sheet.run()
    failure = sheet.node("load").get_by_role("alert")
    expect(failure).to_be_visible(timeout=30_000)
    expect(failure.locator("p")).to_contain_text("none.png")
    expect(failure.get_by_text("Traceback (most recent call last)")).to_be_hidden()
    failure.get_by_text("Traceback", exact=True).click()
    expect(failure.get_by_text("Traceback (most recent call last)")).to_be_visible()
