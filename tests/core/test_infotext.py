"""What A1111 and ComfyUI write into pictures is read; anything else is refused with its reason, whatever it is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.infotext import LONGEST, Infotext, read_comfyui, read_infotext

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Loaded machines are slow; nothing here is about time."""

LAST = 'Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 45dee52b, Lora hashes: "a: 1, b: \\"2\\"", Version: v1.6.0'


def test_prompts_of_several_lines_and_quoted_settings() -> None:
    told = read_infotext(f"a cat,\n(red:1.2)\nNegative prompt: blurry,\nbad: hands\n{LAST}")
    assert told.prompt == "a cat,\n(red:1.2)"
    assert told.negative == "blurry,\nbad: hands"
    assert list(told.settings) == [
        "Steps",
        "Sampler",
        "CFG scale",
        "Seed",
        "Size",
        "Model hash",
        "Lora hashes",
        "Version",
    ]
    assert told.settings["Lora hashes"] == 'a: 1, b: "2"'
    assert read_infotext(LAST)[:2] == ("", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends in no line of settings"),
        ("a cat\nNegative prompt: b", "ends in no line of settings"),
        ("a" * (LONGEST + 1), "no infotext has more"),
        ("a: b, " * 2, "ends in no line of settings"),
    ],
)
def test_a_text_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_infotext(text)


def test_long_lines_are_read_at_once() -> None:
    for line in ("a " * 200_000, '"' * 400_001, "a:" * 200_000, '"\\' * 200_000):
        with pytest.raises(ValueError, match="ends in no line"):
            read_infotext(line)


GRAPH: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["9", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["9", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            **{"model": ["9", 0], "positive": ["6", 0], "negative": ["3", 0], "latent_image": ["4", 0]},
            **{
                "steps": 20,
                "cfg": 7.5,
                "sampler_name": "euler",
                "scheduler": "karras",
                "seed": ["7", 0],
                "denoise": 1.0,
            },
        },
    },
    "6": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["2", 0], "strength": 1.0}},
    "7": {"class_type": "PrimitiveInt", "inputs": {"value": 42}},
    "9": {"class_type": "LoraLoader", "inputs": {"model": ["1", 0], "clip": ["1", 1], "lora_name": "x"}},
}


def test_a_comfyui_graph_tells_what_its_sampler_was_given() -> None:
    assert read_comfyui(json.dumps(GRAPH)) == Infotext(
        "a cat",
        "blurry",
        {
            **{"Steps": "20", "Sampler": "euler", "Schedule type": "karras", "CFG scale": "7.5", "Seed": "42"},
            **{"Size": "512x768", "Denoising strength": "1.0", "Model": "sd.safetensors"},
        },
    )


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"1": 3}', '{"1": {"inputs": []}}', "[" * 100_000, "NaN"])
def test_a_graph_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its graph"):
        read_comfyui(text)


@QUIET
@given(
    st.lists(
        st.sampled_from(["a", ":", ",", '"', "\\", "\n", "Negative prompt:", "Steps: 20, Seed: 1, Size: 1x1"]),
        max_size=12,
    ).map("".join)
)
def test_every_text_is_read_or_refused(text: str) -> None:
    for read in (read_infotext, read_comfyui):
        with suppress(ValueError):
            read(text)


LEAVES = st.one_of(st.sampled_from(["1", "5", "text", 3, None]), st.lists(st.sampled_from(["1", "5", 0]), max_size=2))


@QUIET
@given(
    st.dictionaries(
        st.sampled_from("159"),
        st.fixed_dictionaries(
            {
                "inputs": st.dictionaries(
                    st.sampled_from(["steps", "cfg", "sampler_name", "positive", "model", "latent_image", "text"]),
                    LEAVES,
                )
            }
        ),
    )
)
def test_links_that_go_round_or_nowhere_do_no_harm(graph: dict[str, Any]) -> None:
    sampler = {"inputs": {"steps": 1, "cfg": 1, "sampler_name": "euler", "positive": ["1", 0], "model": ["5", 0]}}
    read_comfyui(json.dumps({"0": sampler, **graph}))
