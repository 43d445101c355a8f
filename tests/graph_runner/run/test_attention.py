"""The kernel of attention by name: PyTorch's, and a package's for what it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graph_runner.run.attention import NAMES, PACKAGES, TORCHS, Attend, Package, Replaced, chosen


def qkv(width: int = 8, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(3, 2, 2, 5, width).to(dtype)
    return q, k, v


class Watched:
    """A package whose kernel is PyTorch's own, so that results say whether it was called as it wants."""

    def __init__(self, wanted: str, **limits: Any) -> None:
        self.calls = 0
        known = PACKAGES[wanted]
        self.package = Package(known.module, known.attend, known.widest, known.trains, "cpu")

    def attend(self) -> Attend:
        return self.package.attend(self)

    def memory_efficient_attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        self.calls += 1
        turned = (each.transpose(1, 2) for each in (q, k, v))
        return F.scaled_dot_product_attention(*turned, scale=scale).transpose(1, 2)

    def flash_attn_func(self, q: Tensor, k: Tensor, v: Tensor, softmax_scale: float) -> Tensor:
        return self.memory_efficient_attention(q, k, v, softmax_scale)

    def sageattn(self, q: Tensor, k: Tensor, v: Tensor, tensor_layout: str, sm_scale: float) -> Tensor:
        assert tensor_layout == "HND"
        self.calls += 1
        return F.scaled_dot_product_attention(q, k, v, scale=sm_scale)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_packages_kernel_is_given_what_it_takes_and_no_more(name: str) -> None:
    watched, (q, k, v) = Watched(name), qkv()
    expected = F.scaled_dot_product_attention(q, k, v)
    with Replaced(watched.package, watched.attend()):
        torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v), expected)
        assert watched.calls == 1
        single = tuple(each.float() for each in (q, k, v))
        torch.testing.assert_close(F.scaled_dot_product_attention(*single), expected.float(), atol=0.02, rtol=0.02)
        F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(5, 5, dtype=torch.bool))
        F.scaled_dot_product_attention(q, k, v, is_causal=True)
        F.scaled_dot_product_attention(*qkv(width=264))
        assert watched.calls == 1, "float32, masks and wide heads are PyTorch's"
        with torch.autocast("cpu", torch.bfloat16):
            F.scaled_dot_product_attention(*single)
        assert watched.calls == 2
        q.requires_grad_()
        F.scaled_dot_product_attention(q, k, v).sum().backward()
        assert watched.calls == (3 if PACKAGES[name].trains else 2)
    F.scaled_dot_product_attention(q, k, v)
    assert q.grad is not None


@pytest.mark.parametrize("name", TORCHS)
def test_pytorchs_kernels_agree_and_what_one_cannot_compute_another_does(name: str) -> None:
    context = chosen(name)
    assert context is not None
    for width in (8, 512):
        q, k, v = qkv(width, torch.float32)
        with context():
            made = F.scaled_dot_product_attention(q, k, v)
        torch.testing.assert_close(made, F.scaled_dot_product_attention(q, k, v))


def test_what_is_unknown_or_absent_is_told_with_what_there_is() -> None:
    assert chosen("auto") is None
    with pytest.raises(ValueError, match=f"it can be {', '.join(NAMES)}"):
        chosen("flash3")
    with pytest.raises(ValueError, match=r"needs the package xformers.*pip install xformers.*What is here: auto, math"):
        chosen("xformers")
