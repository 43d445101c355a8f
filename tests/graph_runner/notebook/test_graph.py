"""A workflow as a function: arguments in, values out, a drawing of itself; and what a notebook shows of results."""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import graph_runner
from graph_runner import NodeError, WorkflowError
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow, save
from graph_runner.notebook.drawing import drawing
from graph_runner.notebook.graph import Graph
from graph_runner.run.engine import Engine
from tests.graph_runner.conftest import graph

NODES = {
    "one": {"type": "number", "params": {"value": 2}},
    "twice": {"type": "scale", "params": {"by": 2}, "wires": {"x": "one"}},
    "loop": {
        "type": "iterate",
        "wires": {"x": "twice"},
        "body": {
            "nodes": {"more": {"type": "add", "wires": {"a": "loop.x", "b": "one"}}},
            "results": {"number": "more"},
        },
    },
}
EXPOSED = {"params": {"by": "twice.by", "rounds": "loop.n"}, "outputs": {"sum": "loop"}}


@pytest.fixture
def workflow() -> Workflow:
    return graph(NODES, title="Sums & <sums>", about="Adds.", exposed=EXPOSED)


@pytest.fixture
def sums(workflow: Workflow, engine: Engine) -> Graph:
    return graph_runner.open(workflow, engine=engine)


def test_it_is_called_with_what_it_exposes(sums: Graph) -> None:
    assert sums()["sum"] == 10
    assert sums(by=3, rounds=1)["sum"] == 8


def test_values_go_in_at_nodes_and_ports(sums: Graph) -> None:
    assert sums(one=torch.tensor(1.0))["sum"] == 5
    assert sums({"twice.x": torch.tensor(5.0)}, rounds=0)["sum"] == 10


def test_an_exposed_parameter_goes_before_a_node_of_its_name(workflow: Workflow, engine: Engine) -> None:
    """As in the signature, and in the script that is exported: the node's value has its port for a name."""
    workflow.exposed.params.update({"twice": "twice.by", "loop": "loop.n"})
    sums = graph_runner.open(workflow, engine=engine)
    assert sums(twice=3, loop=1)["sum"] == 8
    assert sums({"twice.number": torch.tensor(1.0)}, loop=1)["sum"] == 3


def test_its_signature_is_what_the_workflow_exposes(sums: Graph) -> None:
    parameters = inspect.signature(sums).parameters
    assert parameters["by"].default == 2
    assert parameters["by"].annotation == "float"
    assert parameters["rounds"].default == 3, "the node's own, where the file has none"
    assert "Gives sum." in (sums.__doc__ or "")
    assert "by=2" in repr(sums).replace("'float' ", "").replace("by: = 2", "by=2")


def test_a_wrong_name_or_value_is_told_before_anything_runs(sums: Graph) -> None:
    with pytest.raises(WorkflowError, match=r"there is no node 'bye'. Did you mean 'by'\?"):
        sums(bye=1)
    with pytest.raises(WorkflowError, match=r"there is no output 'some'. Did you mean 'sum'"):
        graph_runner.open(sums.workflow, engine=sums.engine, outputs=["some"])
    with pytest.raises(TypeError, match=r"a run has no option 'sed'. Did you mean 'seed'"):
        sums.options(sed=1)
    with pytest.raises(KeyError, match="'total' was not asked for; there is sum"):
        sums()["total"]


def test_files_dicts_and_other_outputs_open(workflow: Workflow, engine: Engine, tmp_path: Path) -> None:
    save(workflow, tmp_path / "sums.json")
    assert graph_runner.open(tmp_path / "sums.json", engine=engine)()["sum"] == 10
    result = graph_runner.open({"nodes": NODES}, engine=engine, outputs=["twice", "loop"])()
    assert (result["twice"], result["loop"]) == (4, 10)


def test_options_are_those_of_a_run(engine: Engine) -> None:
    drawn = graph_runner.open({"nodes": {"x": {"type": "random_number"}}}, engine=engine, outputs=["x"])
    seeded = drawn.options(seed=5)
    assert seeded()["x"] == drawn.options(seed=3).options(seed=5)()["x"] != drawn()["x"]
    assert [event for event in seeded.options(fresh=True)().events if type(event).__name__ == "Cached"] == []


def test_a_failure_names_its_node(engine: Engine) -> None:
    nodes = {"one": {"type": "number"}, "broken": {"type": "fail", "wires": {"x": "one"}}}
    with pytest.raises(NodeError, match="broken"):
        graph_runner.open({"nodes": nodes}, engine=engine, outputs=["broken"])()


def test_it_draws_itself(sums: Graph) -> None:
    root = ElementTree.fromstring(sums.drawing())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one", "twice", "loop", "more", "iterate", "by 2"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 4
    html = sums._repr_html_()
    assert "Sums &amp; &lt;sums&gt;" in html
    assert "<sums>" not in html


def test_bodies_are_drawn_inside_of_their_zones_and_boxes_do_not_overlap(sums: Graph) -> None:
    root = ElementTree.fromstring(sums.drawing())
    name = "{http://www.w3.org/2000/svg}"
    boxes = {}
    for group in root.iter(f"{name}g"):
        rect, text = group.find(f"{name}rect"), group.find(f"{name}text")
        assert rect is not None
        assert text is not None
        x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        boxes[text.text] = (x, y, x + width, y + height)
    outer, inner = boxes["loop"], boxes["more"]
    assert outer[0] < inner[0] < inner[2] < outer[2]
    assert outer[1] < inner[1] < inner[3] < outer[3]
    assert boxes["one"][2] < boxes["twice"][0] < boxes["twice"][2] < boxes["loop"][0]


def test_a_graph_in_a_circle_is_drawn_too() -> None:
    nodes = {"a": {"type": "scale", "wires": {"x": "b"}}, "b": {"type": "scale", "wires": {"x": "a"}}}
    ElementTree.fromstring(drawing(graph(nodes)))
    ElementTree.fromstring(drawing(graph({})))


PICTURES = {
    "loom": 1,
    "nodes": {
        "pictures": {"type": "take_images", "params": {"count": 2}, "wires": {"data": "shapes"}},
        "shapes": {"type": "shapes_dataset", "params": {"size": 2}},
        "tiled": {"type": "image_grid", "wires": {"images": "pictures"}},
    },
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    engine = Engine(Registry.installed(), tmp_path_factory.mktemp("workspace"))
    return graph_runner.open(PICTURES, engine=engine, outputs=["pictures", "tiled"])


def test_pictures_of_pillow_and_arrays_go_in(pictures: Graph) -> None:
    red = Image.new("RGB", (6, 4), (255, 0, 0))
    wanted = torch.tensor([1.0, -1.0, -1.0])
    for given, count in ((red, 1), ([red, red], 2), (np.asarray(red), 1), (red.convert("P"), 1)):
        got = pictures(pictures=given)["pictures"]
        assert got.shape == (count, 3, 4, 6)
        assert torch.equal(got[0, :, 0, 0], wanted)
    with pytest.raises(WorkflowError, match="these pictures have different sizes"):
        pictures(pictures=[red, red.resize((8, 8))])
    with pytest.raises(WorkflowError, match="this is of the type str"):
        pictures(pictures="red.png")


def test_a_notebook_shows_the_pictures_of_a_result(pictures: Graph) -> None:
    result = pictures()
    assert result._repr_html_().count("data:image/png;base64,") == 2
    assert result._repr_png_() is None, "of two values none is the picture"
    one = graph_runner.open(PICTURES, engine=pictures.engine, outputs=["tiled"])()
    png = one._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_numbers_and_files_are_shown_too(engine: Engine) -> None:
    nodes = {
        "one": {"type": "number", "params": {"value": 90}},
        "show": {"type": "show_pixel", "wires": {"x": "one"}},
        "text": {"type": "text", "params": {"value": "<b>"}},
    }
    html = graph_runner.open({"nodes": nodes}, engine=engine, outputs=["one", "text"])()._repr_html_()
    assert "tensor of one number, float32" in html
    assert "&lt;b&gt;" in html
    assert "pixel.png" in html
    assert html.count("data:image/png;base64,") == 1
