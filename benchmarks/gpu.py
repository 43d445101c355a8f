"""How fast sampling and training are beside diffusers', on whatever device is here: one command, ratios in one run.

    python -m benchmarks.gpu             a UNet of Stable Diffusion 1's size, bfloat16, 512 pixels: for a GPU
    python -m benchmarks.gpu --small     half a million weights in float32, nothing compiled: for a CPU, in a minute or two
    python -m benchmarks.gpu --only training --batches 8 16

Both libraries' UNets have the same random weights. They are timed in turn, round after round, and a ratio is the median of the rounds' ratios, so
that a busy machine disturbs both alike. Peak memory is of each alone (not told on a CPU). Writes gpu.json and gpu.md into --out.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.checkpoints.diffusers_config import unet_to_diffusers_config
from core.checkpoints.diffusers_keys import unet_to_diffusers
from core.conditioning.conditioning import Conditioning
from core.diffusion.guidance import classifier_free
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import sample
from core.losses.diffusion import diffusion_loss
from core.models.denoiser import denoise
from core.models.presets import build_unet
from core.models.unet import UNet
from core.training.objective import Objective
from core.training.optimizers import AdamW
from core.training.recipe import Clip, Recipe
from core.training.trainer import Trainer

TOKENS, SCALE, LR = 77, 7.5, 1e-5
GOALS = {"sampling": 1.0, "training": 1 / 1.5, "memory": 0.8}
"""What ours may take of theirs, at most, both compiled, on an H100 or H200."""


class Setting(NamedTuple):
    """What is measured on what."""

    device: torch.device
    dtype: torch.dtype
    small: bool
    steps: int
    rounds: int

    def unet(self) -> UNet:
        """Ours, the output no longer zero."""
        torch.manual_seed(0)
        if self.small:
            net = UNet(4, 4, 32, [1, 2], 1, [1, 2], num_heads=4, context_dim=32)
        else:
            net = build_unet("stable-diffusion-v1")
        nn.init.normal_(net.out[2].weight, std=0.02)
        return net.to(self.device)

    def theirs(self) -> Any:
        """diffusers' UNet with the same weights."""
        from diffusers import UNet2DConditionModel

        ours = self.unet()
        net: Any = UNet2DConditionModel.from_config(unet_to_diffusers_config(ours.config, self.side))
        net.load_state_dict(unet_to_diffusers(ours.state_dict(), ours.config))
        return net.to(self.device)

    @property
    def side(self) -> int:
        """Of the latent: 512 pixels at f = 8."""
        return 16 if self.small else 64

    def randn(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """The same numbers for all."""
        return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(self.device, dtype)

    def wait(self) -> None:
        """Until the device has done what it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """What half precision is in training: weights stay float32."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)


Run = Callable[[], Any]
"""One guided sampling, or one training step."""


def sampling_ours(setting: Setting, batch: int, compiled: bool) -> Run:
    """DDIM with guidance, condition and null condition in one call."""
    net, schedule = (
        setting.unet().to(setting.dtype).eval().requires_grad_(False),
        NoiseSchedule.linear(1000, 0.00085, 0.012),
    )
    noise = setting.randn(batch, 4, setting.side, setting.side, dtype=setting.dtype)
    told = Conditioning(setting.randn(2 * batch, TOKENS, net.config["context_dim"], dtype=setting.dtype))
    if compiled:
        net.compile(mode="reduce-overhead")

    def predict(z: Tensor, t: Tensor) -> Tensor:
        uncond, cond = denoise(net, torch.cat([z, z]), torch.cat([t, t]), told).chunk(2)
        return classifier_free(cond, uncond, SCALE)

    def run() -> Tensor:
        with torch.no_grad():
            return sample(predict, noise, schedule, "ddim", steps=setting.steps)

    return run


def sampling_theirs(setting: Setting, batch: int, compiled: bool) -> Run:
    """The loop of StableDiffusionPipeline, without its encoder and decoder."""
    from diffusers import DDIMScheduler

    net = setting.theirs().to(setting.dtype).eval().requires_grad_(False)
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    noise = setting.randn(batch, 4, setting.side, setting.side, dtype=setting.dtype)
    told = setting.randn(2 * batch, TOKENS, net.config.cross_attention_dim, dtype=setting.dtype)
    call = torch.compile(net, mode="reduce-overhead", fullgraph=True) if compiled else net

    def run() -> Tensor:
        with torch.no_grad():
            scheduler.set_timesteps(setting.steps, device=setting.device)
            z = noise * scheduler.init_noise_sigma
            for t in scheduler.timesteps:
                given = scheduler.scale_model_input(torch.cat([z, z]), t)
                uncond, cond = call(given, t, encoder_hidden_states=told, return_dict=False)[0].chunk(2)
                z = scheduler.step(uncond + SCALE * (cond - uncond), t, z, return_dict=False)[0]
            return z

    return run


def training_ours(setting: Setting, batch: int, compiled: bool) -> Run:
    """One step of the training zone: noise, prediction, loss, gradients, clipping, AdamW."""
    net, schedule = setting.unet(), NoiseSchedule.linear(1000, 0.00085, 0.012)
    if compiled:
        net.compile()
    trainer, recipe = Trainer({"unet": net}), Recipe(AdamW(LR), clip=Clip(norm=1.0))
    z0, told = _data(setting, batch, net.config["context_dim"])

    def run() -> None:
        noise = torch.randn_like(z0)
        t = schedule.timesteps(torch.rand(batch, device=setting.device))
        with setting.autocast():
            prediction = denoise(net, schedule.add_noise(z0, noise, t), t, Conditioning(told))
        loss = diffusion_loss(prediction.float(), z0, noise, t, schedule)
        trainer.accumulate([Objective(loss, (net,), recipe, "unet")])
        trainer.step()

    return run


def training_theirs(setting: Setting, batch: int, compiled: bool) -> Run:
    """The step of diffusers' examples/text_to_image/train_text_to_image.py on latents and embeddings made before."""
    from diffusers import DDPMScheduler

    net = setting.theirs().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    z0, told = _data(setting, batch, net.config.cross_attention_dim)
    call = torch.compile(net) if compiled else net

    def run() -> None:
        noise = torch.randn_like(z0)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (batch,), device=setting.device).long()
        noisy = scheduler.add_noise(z0, noise, t)
        with setting.autocast():
            prediction = call(noisy, t, told, return_dict=False)[0]
        loss = F.mse_loss(prediction.float(), noise.float(), reduction="mean")
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return run


def _data(setting: Setting, batch: int, width: int) -> tuple[Tensor, Tensor]:
    return setting.randn(batch, 4, setting.side, setting.side), setting.randn(batch, TOKENS, width)


PARTS: dict[str, dict[str, Callable[[Setting, int, bool], Run]]] = {
    "sampling": {"ours": sampling_ours, "diffusers": sampling_theirs},
    "training": {"ours": training_ours, "diffusers": training_theirs},
}


class Figure(NamedTuple):
    """One comparison: seconds of each, ours over theirs, and peak bytes of each alone (None on a CPU, or out of memory)."""

    part: str
    batch: int
    compiled: bool
    ours: float | None
    diffusers: float | None
    ratio: float | None
    ours_peak: int | None
    diffusers_peak: int | None


def measure(setting: Setting, part: str, batch: int, compiled: bool) -> Figure:
    """Peak memory of each alone, then both in turn."""
    makers = {name: partial(make, setting, batch, compiled) for name, make in PARTS[part].items()}
    peaks = {name: _peak(setting, make) for name, make in makers.items()}
    try:
        seconds = _seconds(setting, [make() for make in makers.values()])
    except torch.OutOfMemoryError:
        seconds = []
    _forget()
    if not seconds:
        return Figure(part, batch, compiled, None, None, None, peaks["ours"], peaks["diffusers"])
    ours, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(a / b for a, b in seconds)
    return Figure(part, batch, compiled, ours, theirs, ratio, peaks["ours"], peaks["diffusers"])


def _peak(setting: Setting, make: Callable[[], Run]) -> int | None:
    if setting.device.type != "cuda":
        return None
    _forget()
    torch.cuda.reset_peak_memory_stats(setting.device)
    try:
        run = make()
        run()
        run()
        setting.wait()
        return torch.cuda.max_memory_allocated(setting.device)
    except torch.OutOfMemoryError:
        return None


def _seconds(setting: Setting, runs: list[Run]) -> list[list[float]]:
    """Seconds of each run, round by round; the first two rounds warm up. The order turns round from one to the next."""
    rounds = []
    for i in range(setting.rounds + 2):
        taken = [0.0] * len(runs)
        for j in sorted(range(len(runs)), reverse=bool(i % 2)):
            setting.wait()
            began = time.perf_counter()
            runs[j]()
            setting.wait()
            taken[j] = time.perf_counter() - began
        rounds.append(taken)
    return rounds[2:]


def _forget() -> None:
    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def table(figures: list[Figure], about: dict[str, Any]) -> str:
    """The figures as a Markdown page."""
    lines = [
        f"Measured by `{about['command']}` on {about['device']}, torch {about['torch']}, {about['dtype']}: {about['what']}.",
        "",
        "| | batch | compiled | ours, s | diffusers, s | ours ÷ diffusers | ours, peak GB | diffusers, peak GB | peak ÷ peak |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    for each in figures:
        peaks = (each.ours_peak, each.diffusers_peak)
        memory = each.ours_peak / each.diffusers_peak if each.ours_peak and each.diffusers_peak else None
        cells = [_text(each.ours, 4), _text(each.diffusers, 4), _text(each.ratio, 3)]
        cells += [_text(None if peak is None else peak / 1e9, 3) for peak in peaks] + [_text(memory, 3)]
        lines.append(f"| {each.part} | {each.batch} | {'yes' if each.compiled else 'no'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _text(number: float | None, digits: int) -> str:
    return "–" if number is None else f"{number:.{digits}g}"


def figures(setting: Setting, parts: list[str], batches: list[int], compiled: list[bool]) -> Iterator[Figure]:
    """All comparisons that were asked for, one after the other."""
    for part in parts:
        usual = (
            ([1, 4] if setting.small else [1, 4, 16])
            if part == "sampling"
            else ([8] if setting.small else [8, 16, 32, 64])
        )
        for batch in batches or usual:
            for each in compiled:
                yield measure(setting, part, batch, each)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a small model in float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=list(PARTS), help="one part alone")
    parser.add_argument("--batches", type=int, nargs="+", default=[])
    parser.add_argument("--compiled", choices=["no", "yes", "both"], help="default: both, and no with --small")
    parser.add_argument("--steps", type=int, default=0, help="of a sampling (default 30, and 10 with --small)")
    parser.add_argument("--rounds", type=int, default=0, help="that are timed (default 10)")
    parser.add_argument("--out", type=Path, default=Path("workspace"))
    options = parser.parse_args()
    small = options.small
    dtype = torch.float32 if small else torch.bfloat16
    setting = Setting(
        torch.device(options.device), dtype, small, options.steps or (10 if small else 30), options.rounds or 10
    )
    chosen = options.compiled or ("no" if small else "both")
    compiled = {"no": [False], "yes": [True], "both": [False, True]}[chosen]
    cuda = setting.device.type == "cuda"
    about = {
        "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:]),
        "device": torch.cuda.get_device_name(setting.device)
        if cuda
        else f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "what": f"a guided sampling of {setting.steps} steps, a training step; medians of {setting.rounds} rounds",
        "goals": GOALS,
    }
    found = []
    for figure in figures(setting, [options.only] if options.only else list(PARTS), options.batches, compiled):
        found.append(figure)
        print(figure, flush=True)
    page = table(found, about)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.md").write_text(page, encoding="utf-8")
    (options.out / "gpu.json").write_text(
        json.dumps({"about": about, "figures": [each._asdict() for each in found]}, indent=1)
    )
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
