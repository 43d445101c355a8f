"""The shipped graphs on a device that is not the CPU: they train, sample and go on there, and mix no devices (`tests.pretend`).

Left out, as the pretend device has none of it: several processes, and CUDA's own (graphs, streams, pinned memory, its allocator's
figures).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import skimage
import torch
from PIL import Image
from torch import Tensor

from core.checkpoints.controlnet import save_controlnet
from core.checkpoints.diffusers_folder import load_diffusers
from core.checkpoints.weights import write_weights
from core.models.controlnet import ControlNet
from core.models.unet import UNet
from graph_runner.base import events
from graph_runner.contract.registry import Registry
from graph_runner.format.workflow import Workflow
from graph_runner.run.engine import Engine, Result
from graph_runner.store.folders import load_tree
from tests.nodes.test_processes import leaves
from tests.pretend import engine_there
from tests.workflows import test_analyses as analyses
from tests.workflows.changing import Changes, with_values
from tests.workflows.conftest import figures
from tests.workflows.test_compression_sweep import small as swept
from tests.workflows.test_personalising import small as personal
from tests.workflows.test_shipped import NAMES, small
from tests.workflows.test_tasks import SMALL, TASKS, changed

TINY = SMALL | {"free": {"steps": 2}, "settings": {"preset": "bsr_sr"}, "distil": {"steps": 2, "batch_size": 2}}
TINY |= {id: {"steps": 2} for id in ("small", "large", "plain", "many_steps")}
SAMPLERS = (
    "sample",
    "langevin",
    "ddim_by_hand",
    "heun_by_hand",
    "slerp",
    "image_guidance",
    "guidance_interval",
    "sdedit",
    "classifier_guidance",
    "repaint",
    "flow_by_hand",
    "inversion_edit",
    "autoguidance",
    "progressive_distillation",
    "consistency_distillation",
    "posterior_sampling",
    "cascade",
    "controlnet",
    "rate_distortion",
)
LONG = (
    "autoguidance",
    "progressive_distillation",
    "consistency_distillation",
    "posterior_sampling",
    "cascade",
    "controlnet",
)
"""Those beside a model that is loaded which are made quick by more than fewer steps of a sampling."""
PERSONAL = ("dreambooth", "textual_inversion")
NEEDS = dict.fromkeys((*SAMPLERS, "attention_places"), "quickstart") | dict.fromkeys(PERSONAL, "text_to_image")
"""Whose saved models a graph loads."""
CHANGES: dict[str, Changes] = {
    "captioned_pictures": {"buckets": {"resolution": 32}, "noise": {"shape": [4, 4, 6, 10]}},
    "controlnet": {"some": {"count": 2}, "noise": {"shape": [2, 4, 8, 8]}},
    "guidance_sweep": {
        "shapes": {"size": 16},
        "real": {"count": 16},
        "classes": {"values": [0, 1, 2, 3, 4, 5, 6, 7]},
        "scales": {"values": [1, 3]},
        "seeds": {"values": [0, 1]},
        "noise": {"shape": [8, 4, 8, 8]},
        "sample": {"steps": 2},
    },
    "images_folder": {id: {"shape": [2, 4, 8, 8]} for id in ("noise", "preview_noise")},
    "pixart_alpha": {"noise": {"shape": [2, 4, 8, 8]}},
    "pixart_sigma": {"noise": {"shape": [2, 4, 8, 8]}},
    "posterior_sampling": {"steps": {"formula": "2"}},
    "published_model": {"settings": {"size": 8}},
    "rate_distortion": {"shapes": {"size": 8}, "some": {"count": 8}, "timesteps": {"values": [999, 300, 0]}},
    "stable_diffusion_3": {"noise": {"shape": [2, 16, 8, 8]}},
    "stable_diffusion_upscaler": {"noise": {"shape": [1, 4, 8, 8]}, "small": {"width": 8, "height": 8}},
    "stable_diffusion_xl": {
        "sizes": {"original": [64, 64], "target": [64, 64], "dim": 8},
        "beautiful": {"dim": 8},
        "plain": {"dim": 8},
        "noise": {"shape": [2, 4, 8, 8]},
        "base": {"steps": 4, "end_at_step": 2},
        "refined": {"steps": 4, "start_at_step": 2},
    },
    "unclip": {"noise": {"shape": [1, 4, 8, 8]}},
}
"""What makes single workflows quick beside what many have in common."""
QUICK = ("quickstart", "sample")
"""In the fast suite; the others are marked slow."""


def tiny(name: str) -> Workflow:
    if name in PERSONAL:
        return personal(name)
    if name in analyses.ANALYSES:
        return analyses.tiny(name)
    if name == "compression_sweep":
        workflow = swept()
        workflow.nodes["save_plot"].wires["plots"] = ["progress_plot"]  # the other one shows how long it took
        return workflow
    workflow = changed(name, TINY) if name in (*TASKS, *LONG) else small(name)
    return with_values(workflow, CHANGES.get(name, {}))


def pictures(engine: Engine) -> None:
    (engine.workspace / "pictures").mkdir(exist_ok=True)
    for picture in sorted((Path(skimage.__file__).parent / "data").glob("*.png")):
        shutil.copy(picture, engine.workspace / "pictures")


def captioned(engine: Engine) -> None:
    folder = engine.workspace / "captioned"
    folder.mkdir(exist_ok=True)
    for picture in sorted((Path(skimage.__file__).parent / "data").glob("*.png")):
        shutil.copy(picture, folder)
        (folder / picture.name).with_suffix(".txt").write_text(f"a photograph of {picture.stem}")


def stable_diffusion(engine: Engine) -> None:
    from tiny_pipelines import PIPELINES

    folder = engine.workspace / "models" / "stable-diffusion"
    if not folder.exists():
        PIPELINES["Stable Diffusion 1"](engine.workspace).save_pretrained(folder)


def stable_diffusion_xl(engine: Engine) -> None:
    from tiny_xl import xl_pipeline

    for kind, name in (("base", "stable-diffusion-xl"), ("refiner", "stable-diffusion-xl-refiner")):
        xl_pipeline(engine.workspace / f"{kind}-made", kind).save_pretrained(engine.workspace / "models" / name)


def stable_diffusion_3(engine: Engine) -> None:
    from tiny_sd3 import sd3_pipeline

    folder = engine.workspace / "models" / "stable-diffusion-3"
    sd3_pipeline(engine.workspace / "made", "3.5").save_pretrained(folder)


def pixart(name: str, kind: str) -> Callable[[Engine], None]:
    def made(engine: Engine) -> None:
        from tiny_pixart import pixart_pipeline

        pixart_pipeline(kind).save_pretrained(engine.workspace / "models" / name)

    return made


def beside_stable_diffusion(engine: Engine) -> None:
    stable_diffusion(engine)
    unet = load_diffusers(engine.workspace / "models" / "stable-diffusion").unet
    assert isinstance(unet, UNet)
    save_controlnet(ControlNet.beside(unet), engine.workspace / "models" / "controlnet")
    Image.linear_gradient("L").convert("RGB").save(engine.workspace / "picture.png")


def shown_to_stable_diffusion(engine: Engine) -> None:
    from diffusers import UNet2DConditionModel
    from tiny_ip_adapter import adapter_state, flat, image_encoder

    stable_diffusion(engine)
    models = engine.workspace / "models"
    unet = UNet2DConditionModel.from_pretrained(models / "stable-diffusion" / "unet")
    write_weights(flat(adapter_state("plain", unet)), models / "ip-adapter.safetensors")
    image_encoder().save_pretrained(models / "image_encoder")
    Image.linear_gradient("L").convert("RGB").save(engine.workspace / "picture.png")


def kin_of_stable_diffusion(kind: str, name: str) -> Callable[[Engine], None]:
    def bring(engine: Engine) -> None:
        from tiny_kin import kin

        kin(kind, engine.workspace / f"{kind}-made").save_pretrained(engine.workspace / "models" / name)
        for picture in ("picture.png", "depth.png"):
            Image.linear_gradient("L").convert("RGB").save(engine.workspace / picture)

    return bring


BEFORE: dict[str, Callable[[Engine], None]] = {
    "captioned_pictures": captioned,
    "images_folder": pictures,
    "stable_diffusion": stable_diffusion,
    "stable_diffusion_xl": stable_diffusion_xl,
    "stable_diffusion_3": stable_diffusion_3,
    "pixart_sigma": pixart("pixart-sigma", "sigma"),
    "pixart_alpha": pixart("pixart-alpha", "alpha 1024"),
    "stable_diffusion_controlnet": beside_stable_diffusion,
    "stable_diffusion_ip_adapter": shown_to_stable_diffusion,
    "instruct_pix2pix": kin_of_stable_diffusion("pix2pix", "instruct-pix2pix"),
    "depth_to_image": kin_of_stable_diffusion("depth", "stable-diffusion-depth"),
    "stable_diffusion_upscaler": kin_of_stable_diffusion("upscaler", "stable-diffusion-x4-upscaler"),
    "unclip": kin_of_stable_diffusion("unclip", "stable-diffusion-unclip"),
}
"""What a person brings along."""


@pytest.fixture(scope="module")
def both(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine]:
    """An engine here and one there, whose workspaces last for the module: what one graph saved another loads."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    return Engine(registry, here), engine_there(registry, there)


def close(found: Tensor, wanted: Tensor) -> bool:
    """Equal but for rounding: attention has another kernel there."""
    return found.shape == wanted.shape and torch.allclose(found.double(), wanted.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_a_shipped_graph_gives_there_what_it_gives_on_the_cpu(name: str, both: tuple[Engine, Engine]) -> None:
    results: list[Result] = []
    for engine in both:
        if name in NEEDS:
            engine.run(tiny(NEEDS[name]))
        BEFORE.get(name, lambda _: None)(engine)
        workflow = tiny(name)
        results.append(engine.run(workflow, targets=workflow.exposed.outputs))
    here, there = results
    assert figures(here) == {
        what: pytest.approx(numbers, rel=1e-4, abs=1e-4) for what, numbers in figures(there).items()
    }
    for target, value in here.values.items():
        if isinstance(value, Tensor):
            assert close(there.values[target].cpu(), value), target


def again(engine: Engine) -> set[str]:
    """The nodes that are computed when the quickstart is run once more with another guidance scale."""
    workflow = tiny("quickstart")
    workflow.nodes["sample"].body.nodes["guide"].params["scale"] = 2.0  # type: ignore[union-attr]
    found = engine.run(workflow).events
    return {event.node for event in found if isinstance(event, events.Started)}


def test_what_was_cached_there_is_used_there(both: tuple[Engine, Engine]) -> None:
    """From memory, and by another process from the disk."""
    for engine in both:
        engine.run(tiny("quickstart"))
    here, there = both
    assert again(there) == again(here)
    other = engine_there(there.registry, there.workspace)
    assert not again(other) & {"autoencoder", "diffusion", "latents"}


def test_a_training_goes_on_there_from_a_checkpoint_of_the_cpu(registry: Registry, tmp_path: Path) -> None:
    """And to what an uninterrupted one on the CPU comes to."""

    def trained(engine: Engine, steps: int) -> Result:
        workflow = tiny("quickstart")
        workflow.nodes["autoencoder"].params["steps"] = steps
        return engine.run(workflow, targets=["autoencoder"], only=True)

    trained(Engine(registry, tmp_path / "parts"), 2)
    result = trained(engine_there(registry, tmp_path / "parts"), 4)
    assert any("goes on from step 2" in str(event) for event in result.events)
    trained(Engine(registry, tmp_path / "whole"), 4)
    left, right = (
        leaves(load_tree(next((tmp_path / each / "checkpoints").glob("*/step-4")))) for each in ("parts", "whole")
    )
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert close(value, right[key]) if isinstance(value, Tensor) else value == right[key], key


@pytest.mark.slow
def test_half_gradients_are_scaled_and_narrow_weights_cast_there(both: tuple[Engine, Engine], tmp_path: Path) -> None:
    """To within half's rounding of the CPU's, which rounds in other places."""
    options = {"dtype": "float16", "weights": "float8"}
    here = Engine(both[0].registry, tmp_path / "here", **options).run(tiny("quickstart"))  # type: ignore[arg-type]
    there = engine_there(both[0].registry, tmp_path / "there", **options).run(tiny("quickstart"))
    assert any(what.startswith("autoencoder/scale/") for what in figures(there))
    assert figures(there) == {what: pytest.approx(known, rel=0.05, abs=0.05) for what, known in figures(here).items()}
