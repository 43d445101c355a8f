"""What a single file says of itself besides its weights, what it leaves open, and what of it is not read.

Each open question is a sentence for the person, who alone can answer it; nothing is guessed silently.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from core.diffusion.schedule import Parametrisation

State = Mapping[str, Tensor]

PREDICTIONS: dict[str, Parametrisation] = {"epsilon": "eps", "v": "v", "v_prediction": "v", "sample": "x0"}
"""modelspec.prediction_type, as Stability's model specification and kohya's scripts write it."""

OTHER_HALVES = {
    "depth_model.": "the depth estimator of Stable Diffusion 2 depth: give the depth as a picture, by depth_condition",
    "embedder.": "the image encoder of Stable Diffusion unCLIP: load_image_embedder reads it from the same file",
    "control_model.": "a ControlNet: load_controlnet reads it",
}
"""Parts of CompVis files that are not read, by the beginnings of their names."""

KIN: dict[str, Parametrisation] = {"depth_model.": "eps", "noise_augmentor.": "v", "low_scale_model.": "v"}
"""What the UNet of a published file with such parts predicts (Stability-AI/stablediffusion, configs/stable-diffusion: v2-midas,
v2-1-stable-unclip, x4-upscaling)."""

OTHER_PROCESSES = {
    "ztsnr": "zero terminal SNR, which is not taken over: wire a noise_schedule with zero_terminal_snr",
    "edm_mean": "the noise process of Playground 2.5 (EDM), which is not taken over: use its diffusers folder",
    "edm_vpred.sigma_max": "the noise process of CosXL (EDM with v), which is not taken over: its pictures will be wrong",
}
"""What ComfyUI's marks in single files say of the noise process, by their names."""

SD2_CONTEXT = 1024


def told_parametrisation(state: State, metadata: Mapping[str, str]) -> Parametrisation | None:
    """What the UNet predicts, where the header, an entry made for this, or a part that goes with one of the published files says it."""
    told = PREDICTIONS.get(metadata.get("modelspec.prediction_type", "").lower())
    beside = next((kind for prefix, kind in KIN.items() if any(key.startswith(prefix) for key in state)), None)
    return told or ("v" if "v_pred" in state else beside)


def untold(
    state: State, context_dim: int | None, alone: bool, told: Parametrisation | None, described: bool
) -> tuple[str, ...]:
    """The sentences for a file.

    context_dim: of its UNet. alone: it is an autoencoder without a UNet. told: see `told_parametrisation`. described: a yaml
    says what the weights do not.
    """
    sentences = []
    if alone and not described:
        sentences.append(
            "an autoencoder alone does not say the scale of its latents, and 1 is taken: give scale_factor, 0.18215 for Stable"
            " Diffusion 1 and 2"
        )
    if context_dim == SD2_CONTEXT and told is None and not described:
        sentences.append(
            "a Stable Diffusion 2 file does not say whether it predicts eps or v, and eps is taken: if it is one for 768 pixels,"
            " set parametrisation to v or put its yaml beside it"
        )
    sentences += [f"{mark} in this file asks for {what}" for mark, what in OTHER_PROCESSES.items() if mark in state]
    for prefix, what in OTHER_HALVES.items():
        if any(key.startswith(prefix) for key in state):
            sentences.append(f"{prefix}* in this file is not read: it is {what}")
    return tuple(sentences)
