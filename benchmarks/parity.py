"""How far each part is from its oracle, measured: prints the table and writes docs/parity.md.

    python -m benchmarks.parity

The figures are those of the test suite: its parity tests are run, and what each of them compares is recorded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "parity.md"
sys.path.insert(0, str(ROOT / "tests/core/diffusion"))


class Comparison(NamedTuple):
    """A parity test and what its figures mean."""

    test: str
    part: str
    oracle: str
    settings: str = "random weights"


COMPARISONS = [
    Comparison(
        "models/test_unet_parity.py::test_same_weights_give_the_same_prediction",
        "UNet",
        "diffusers UNet2DModel, UNet2DConditionModel",
        "random weights, z 2×c×8×8; allowed: 2e-5 of the output's std",
    ),
    Comparison(
        "models/test_freeu.py::test_it_is_diffusers",
        "FreeU, first version, by level",
        "diffusers UNet2DConditionModel.enable_freeu",
        "random weights of Stable Diffusion 1's shape, z 2×4×8×8",
    ),
    Comparison(
        "models/test_autoencoder_parity.py::test_same_weights_encode_and_decode_alike",
        "autoencoder",
        "diffusers AutoencoderKL, VQModel",
        "random weights, images of 16 pixels; allowed: 2e-5 of the output's std",
    ),
    Comparison(
        "models/test_dit.py::test_it_computes_what_diffusers_does",
        "DiT",
        "diffusers DiTTransformer2DModel",
        "random weights of deviation .05, learned variance, by patch and side of the latent",
    ),
    Comparison(
        "checkpoints/test_diffusers_dit.py::test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back",
        "class to image by a DiT, pixels in [-1, 1]",
        "diffusers DiTPipeline",
        "random weights, DDIM 5 steps, guidance 3, same noise",
    ),
    Comparison(
        "conditioning/test_text.py::test_ldm_bert_equals_diffusers", "LDM-BERT text encoder", "diffusers LDMBertModel"
    ),
    Comparison(
        "conditioning/test_text.py::test_clip_equals_transformers_exactly",
        "CLIP text encoder",
        "transformers CLIPTextModel",
    ),
    Comparison(
        "checkpoints/test_diffusers_folder.py::test_unet_variants_predict_as_diffusers_loads_them",
        "UNet, through a diffusers folder",
        "diffusers UNet2DModel, UNet2DConditionModel",
        "random weights, saved by us and loaded by diffusers",
    ),
    Comparison(
        "checkpoints/test_diffusers_folder.py::test_pictures_are_the_pipelines",
        "text to image, pixels in [-1, 1]",
        "diffusers StableDiffusionPipeline, LDMTextToImagePipeline",
        "random weights, DDIM 10 steps, guidance 5, same noise",
    ),
    *(
        Comparison(
            f"checkpoints/test_sdxl_text.py::{test}",
            f"Stable Diffusion XL, {what}, pixels in [-1, 1]",
            f"diffusers {oracle}",
            "random weights, DDIM 10 steps, guidance 5, same noise",
        )
        for test, what, oracle in (
            ("test_pictures_of_the_base_are_the_pipelines", "base", "StableDiffusionXLPipeline"),
            ("test_the_refiner_ends_what_the_base_began", "base and refiner", "StableDiffusionXLImg2ImgPipeline"),
            (
                "test_pictures_of_the_inpainting_model_are_the_pipelines",
                "inpainting",
                "StableDiffusionXLInpaintPipeline",
            ),
        )
    ),
    Comparison(
        "models/test_mmdit.py::test_it_computes_what_diffusers_does",
        "MMDiT of Stable Diffusion 3 and 3.5",
        "diffusers SD3Transformer2DModel",
        "random weights of deviation .2, by size of the latent and kind",
    ),
    Comparison(
        "checkpoints/test_sd3_text.py::test_conditions_are_the_pipelines",
        "Stable Diffusion 3, context and vector",
        "diffusers StableDiffusion3Pipeline, encode_prompt",
        "random weights of both CLIPs and T5",
    ),
    Comparison(
        "checkpoints/test_sd3_text.py::test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back",
        "Stable Diffusion 3 and 3.5, pixels in [-1, 1]",
        "diffusers StableDiffusion3Pipeline",
        "random weights, Euler of rectified flow 4 steps, guidance 5, same noise, by kind and with T5 or without",
    ),
    Comparison(
        "models/test_pixart.py::test_it_computes_what_diffusers_does",
        "transformer of PixArt-α and PixArt-Σ",
        "diffusers PixArtTransformer2DModel",
        "random weights of deviation .2, by size of the latent and kind",
    ),
    Comparison(
        "checkpoints/test_pixart_text.py::test_conditions_are_the_pipelines",
        "PixArt, context",
        "diffusers PixArtSigmaPipeline, encode_prompt",
        "random weights of T5",
    ),
    Comparison(
        "checkpoints/test_pixart_text.py::test_pictures_are_the_pipelines_and_the_folder_goes_there_and_back",
        "PixArt-α and PixArt-Σ, pixels in [-1, 1]",
        "diffusers PixArtAlphaPipeline, PixArtSigmaPipeline",
        "random weights, DPM-Solver++ of the folder 6 steps, guidance 5, same noise, by kind",
    ),
    Comparison(
        "checkpoints/test_lora.py::test_a_unet_with_a_merged_lora_equals_diffusers_with_the_lora_applied",
        "LoRA merged into the UNet",
        "diffusers UNet2DConditionModel, LoRA layers run",
        "rank 3, alpha 2, strength 0.8; by naming of the file",
    ),
    Comparison(
        "checkpoints/test_lora.py::test_a_text_encoder_with_a_merged_lora_equals_transformers_with_the_lora_applied",
        "LoRA merged into CLIP text",
        "transformers CLIPTextModel, LoRA layers run",
        "rank 3, alpha 2; by naming of the file",
    ),
    Comparison(
        "diffusion/test_tiles.py::test_blending_is_latent_diffusions",
        "tiles, blended",
        "latent-diffusion's unfolding and folding, written out",
        "tiles of 8 at a stride of 4, z 2×3×16×24",
    ),
]
SOLVER_TOLERANCE = 1e-4


class Row(NamedTuple):
    """One line of the table; error and allowed are the largest differences of one element."""

    part: str
    case: str
    oracle: str
    settings: str
    error: float
    allowed: float


class Recorder:
    """A pytest plugin that keeps what `torch.testing.assert_close` finds in each test: the error nearest its limit."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[float, float]] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        original = torch.testing.assert_close
        name = item.nodeid.removeprefix("tests/core/")

        def recording(actual: Any, expected: Any, **options: Any) -> None:
            original(actual, expected, **options)
            error = (actual.double() - expected.double()).abs().max().item()
            allowed = options.get("atol", 0.0) + options.get("rtol", 0.0) * expected.abs().max().item()
            seen = self.found.get(name)
            if seen is None or error * seen[1] > seen[0] * allowed:
                self.found[name] = (error, allowed)

        torch.testing.assert_close = recording
        try:
            yield
        finally:
            torch.testing.assert_close = original

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def tested_rows() -> list[Row]:
    """The rows of COMPARISONS, one for each case of a test."""
    recorder = Recorder()
    tests = [f"{ROOT}/tests/core/{comparison.test}" for comparison in COMPARISONS]
    code = pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *tests], plugins=[recorder])
    if code or recorder.failed:
        raise SystemExit(f"Parity is broken; the table was not written. Failed: {', '.join(recorder.failed) or code}")
    rows = []
    for comparison in COMPARISONS:
        for name, (error, allowed) in recorder.found.items():
            test, _, case = name.partition("[")
            if test == comparison.test:
                rows.append(Row(comparison.part, case[:-1], comparison.oracle, comparison.settings, error, allowed))
    return rows


def solver_comparisons() -> Iterator[tuple[str, str, str, Callable[[], tuple[torch.Tensor, torch.Tensor]]]]:
    """Every solver and its oracles, by betas, rectified flow and EDM: case, oracle, settings, and how to run both.

    All run on a toy denoiser with a known posterior.
    """
    from process_parity import CASES as OTHERS
    from solver_parity import CASES
    from toy_denoisers import two_modes

    from core.diffusion.schedule import NoiseSchedule

    for case in CASES:
        for parametrisation in case.parametrisations:
            schedule = NoiseSchedule.linear().with_parametrisation(parametrisation)
            name = f"{case.solver}{'' if case.eta is None else f', eta {case.eta:g}'}, {parametrisation}"
            settings = f"{case.steps} steps, {case.spacing}, two Gaussians"
            yield name, case.oracle, settings, partial(case.run, schedule, two_modes(schedule))
    for other in OTHERS:
        name = f"{other.solver}, {type(other.process).__name__}, {other.process.predicts.name}"
        settings = f"{other.settings}, {other.steps} steps, {other.spacing or 'default spacing'}, two Gaussians"
        yield name, f"diffusers {other.oracle}", settings, other.run


def solver_rows() -> list[Row]:
    """The rows of the solvers."""
    rows = []
    for name, oracle, settings, run in solver_comparisons():
        ours, theirs = run()
        rows.append(Row("solver", name, oracle, settings, (ours - theirs).abs().max().item(), SOLVER_TOLERANCE))
    return rows


def document(rows: list[Row]) -> str:
    """The page, in markdown."""
    import diffusers
    import transformers

    lines = [
        "# Parity",
        "",
        "Generated by `python -m benchmarks.parity`; do not edit.",
        "",
        "The largest difference of one element between a part of `core` and its oracle, given the same weights, inputs",
        f"and noise, in float32 on a CPU (torch {torch.__version__.split('+')[0]}, diffusers {diffusers.__version__}, "
        f"transformers {transformers.__version__}). *Allowed*",
        "is what the test suite demands. Weights are random throughout, none of them zero or one; where the text says",
        "nothing else, outputs are of order 1. Presets' parameter counts and bit-equal round trips between the formats",
        "are tests of their own (`tests/core/models/test_presets.py`, `tests/core/checkpoints/`).",
        "",
        "| part | case | oracle | settings | error | allowed |",
        "|-|-|-|-|-|-|",
    ]
    for row in rows:
        allowed = "exact" if row.allowed == 0 else f"{row.allowed:.0e}"
        error = "0" if row.error == 0 else f"{row.error:.0e}"
        lines.append(f"| {row.part} | {row.case} | {row.oracle} | {row.settings} | {error} | {allowed} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    measured = tested_rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured += solver_rows()
    page = document(measured)
    print(page)
    TABLE.write_text(page, encoding="utf-8")
    print(f"Wrote {TABLE}.")
