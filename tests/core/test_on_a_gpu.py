"""What only a GPU shows: compiled models, CUDA graphs, batches sent ahead, one kernel for an optimizer, and nobody waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from core.conditioning.conditioning import Conditioning
from core.data.loader import Batches
from core.data.shapes import Shapes
from core.data.transfer import on_device, to_device
from core.diffusion.schedule import NoiseSchedule
from core.diffusion.solvers import SOLVERS, sample
from core.losses.diffusion import diffusion_loss
from core.models.autoencoder import KLAutoencoder
from core.models.denoiser import denoise
from core.models.unet import UNet
from core.training.objective import Objective
from core.training.optimizers import AdamW
from core.training.recipe import Clip, Recipe
from core.training.trainer import Trainer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
GPU = torch.device("cuda")
SCHEDULE = NoiseSchedule.linear()


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def small() -> UNet:
    torch.manual_seed(0)
    net = UNet(4, 4, 32, [1, 2], 1, [1, 2], num_heads=4, context_dim=16)
    torch.nn.init.normal_(net.out[2].weight, std=0.02)
    return net.to(GPU)


def sampled(net: UNet, z: Tensor, told: Conditioning, solver: str = "ddim", steps: int = 5) -> Tensor:
    with torch.no_grad():
        return sample(lambda z, t: denoise(net, z, t, told), z, SCHEDULE, solver, steps=steps)


@pytest.mark.parametrize("mode", [None, "reduce-overhead"])
def test_a_compiled_denoiser_samples_as_the_plain_one_again_and_again_and_in_other_batches(mode: str | None) -> None:
    plain, fast = small().eval(), small().eval()
    fast.compile(mode=mode)
    for rows in (2, 2, 3, 5, 2):
        z, told = torch.randn(rows, 4, 16, 16, device=GPU), Conditioning(torch.randn(rows, 7, 16, device=GPU))
        torch.testing.assert_close(sampled(fast, z, told), sampled(plain, z, told), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", [None, "reduce-overhead"])
def test_a_compiled_denoiser_trains_as_the_plain_one(mode: str | None) -> None:
    losses = []
    for compiled in (False, True):
        net = small()
        if compiled:
            net.compile(mode=mode)
        step, trainer = training(net)
        torch.manual_seed(1)
        for _ in range(5):
            step()
        losses.append(trainer.report()["loss/unet"])
        trainer.finish()
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_compiled_first_stage_decodes_as_the_plain_one() -> None:
    torch.manual_seed(0)
    net = KLAutoencoder(model_channels=32, channel_mult=[1, 2], num_res_blocks=1).to(GPU).eval()
    z = torch.randn(2, 4, 16, 16, device=GPU)
    with torch.no_grad():
        plain = net.decode(z)
        net.compile()
        torch.testing.assert_close(net.decode(z), plain, atol=1e-3, rtol=1e-3)


def training(net: UNet) -> tuple[Any, Trainer]:
    trainer, recipe = Trainer({"unet": net}, ema=0.9), Recipe(AdamW(1e-3), clip=Clip(norm=1.0))
    z0, told = torch.randn(4, 4, 16, 16, device=GPU), Conditioning(torch.randn(4, 7, 16, device=GPU))

    def step() -> None:
        t, noise = SCHEDULE.timesteps(torch.rand(4, device=GPU)), torch.randn_like(z0)
        prediction = denoise(net, SCHEDULE.add_noise(z0, noise, t), t, told)
        trainer.accumulate([Objective(diffusion_loss(prediction, z0, noise, t, SCHEDULE), (net,), recipe, "unet")])
        trainer.step()

    return step, trainer


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ddim_inversion"])
def test_nobody_waits_in_a_sampling(name: str) -> None:
    net, z = small().eval(), torch.randn(2, 4, 16, 16, device=GPU)
    told = Conditioning(torch.randn(1, 7, 16, device=GPU))
    sampled(net, z, told, name)
    with waiting_is_an_error():
        sampled(net, z, told, name)


def test_nobody_waits_in_a_training_step_whose_optimizer_is_one_kernel() -> None:
    step, trainer = training(small())
    step()
    step()
    with waiting_is_an_error():
        step()
    (optimizer,) = trainer._optimizers
    assert all(group["fused"] for group in optimizer.param_groups)


def test_a_state_from_a_cpu_goes_on_here_by_this_devices_kernels() -> None:
    step, trainer = training(small())
    step()
    state = torch.utils._pytree.tree_map(
        lambda each: each.cpu() if isinstance(each, Tensor) else each, trainer.state_dict()
    )
    for group in state["optimizers"][0]["param_groups"]:
        group["fused"] = None
    step, trainer = training(small())
    trainer.load_state_dict(state)
    step()
    (optimizer,) = trainer._optimizers
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_whole_and_nobody_waits_for_them(workers: int) -> None:
    def batches() -> Batches:
        return Batches(Shapes(32, 64), 8, workers=workers, pinned=bool(workers))

    there, expected = on_device(batches().iterate(0, 6), GPU), Batches(Shapes(32, 64), 8).iterate(0, 6)
    next(there), next(expected)
    with waiting_is_an_error():
        sent = list(there)
    for here, far in zip(expected, sent, strict=True):
        assert far["images"].device.type == "cuda"
        assert torch.equal(far["images"].cpu(), here["images"])
        assert far["captions"] == here["captions"]


def test_a_tensor_is_sent_without_waiting() -> None:
    with waiting_is_an_error():
        there = to_device(torch.arange(1000), GPU)
    assert torch.equal(there.cpu(), torch.arange(1000))
