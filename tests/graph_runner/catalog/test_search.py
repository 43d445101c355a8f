"""Nodes are found by the words that people have for them."""

from __future__ import annotations

from typing import Literal

import pytest

from graph_runner.catalog.describe import describe
from graph_runner.catalog.search import search
from graph_runner.contract import node
from graph_runner.contract.registry import Registry


@node(category="pictures", words=("image mixer", "overlay", "double exposure", "alpha-composite"), formerly=("mix",))
def blend(way: Literal["over", "screen"] = "over", opacity: float = 1.0) -> float:
    """Lay one picture over another.

    opacity: of the upper one.
    """
    return opacity


@node(category="sizes")
def stretch(factor: float = 2.0, alpha: float = 1.0) -> float:
    """Make one larger."""
    return factor * alpha


SPECS = [blend.__node__, stretch.__node__]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "names", "by"),
    [
        ("alpha", ["blend", "stretch"], "alpha-composite"),  # a word, though a later one, before a parameter
        ("blend", ["blend"], ""),
        ("Image Mixer", ["blend"], "image mixer"),
        ("alpha_composite", ["blend"], "alpha-composite"),
        ("mix", ["blend"], "image mixer"),
        ("screen", ["blend"], "way: screen"),
        ("opacity", ["blend"], "opacity"),
        ("larger", ["stretch"], ""),
        ("pictures", ["blend"], ""),
        ("nothing of the kind", [], ""),
    ],
)
def test_a_node_is_found_by_its_name_words_choices_parameters_and_documentation(
    query: str, names: list[str], by: str
) -> None:
    found = search(SPECS, query)
    assert [spec.type for spec, _ in found] == names
    assert not found or found[0][1] == by


def test_words_are_described() -> None:
    assert describe(SPECS[0])["words"] == ["image mixer", "overlay", "double exposure", "alpha-composite"]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("vae", {"encode", "decode", "load_autoencoder", "kl_autoencoder"}),
        ("ksampler", {"sample"}),
        ("euler", {"sample"}),
        ("dpmpp", {"sample"}),
        ("img2img", {"sample", "encode", "load_image"}),
        ("txt2img", {"sample", "text_context"}),
        ("upscale", {"upscale", "low_resolution_condition"}),
        ("lora", {"lora_unet", "lora_text_encoder"}),
        ("controlnet", {"controlnet", "load_controlnet", "apply_controlnet"}),
        ("checkpoint", {"load_checkpoint", "save_checkpoint"}),
        ("prompt", {"text_context"}),
        ("clip", {"text_context", "load_checkpoint", "clip_skip"}),
        ("empty latent", {"gaussian_noise"}),
        ("cfg", {"cfg_combine"}),
        ("unet denoise", {"denoise"}),
        ("flow matching", {"rectified_flow"}),
        ("fid", {"frechet_distance"}),
    ],
)
def test_our_nodes_are_found_by_the_words_of_the_field(words: str, first: set[str]) -> None:
    found = [spec.type for spec, _ in search(Registry.installed().values(), words)]
    assert first <= set(found[:14]), found
