"""Weights under two sets of names: what goes over comes back, and what has no name is told."""

from __future__ import annotations

import pytest
import torch

from core.checkpoints.fused import Names

QKV = ("to_q", "to_k", "to_v")


def names(sparse: bool = False) -> Names:
    made = Names(
        plain={"head": "proj_out"}, turned={"last": "norm_out"}, tensors={"table": "scale_shift_table"}, sparse=sparse
    )
    for block in range(2):
        made.add_block(f"blocks.{block}", f"layers.{block}", {"mlp": "ff"}, {"qkv": QKV})
    return made


def weights() -> dict[str, torch.Tensor]:
    modules = {"head": 3, "last": 4, **{f"blocks.{block}.{name}": 6 for block in range(2) for name in ("mlp", "qkv")}}
    leaves = {f"{name}.{leaf}" for name in modules for leaf in ("weight", "bias")}
    return {"table": torch.randn(2, 3), **{key: torch.randn(modules[key.rpartition(".")[0]], 2) for key in leaves}}


def test_ours_become_theirs_and_come_back() -> None:
    ours = weights()
    theirs = names().to_theirs(ours)
    assert {*theirs} == {
        "scale_shift_table",
        *(f"{name}.{leaf}" for name in ("proj_out", "norm_out") for leaf in ("weight", "bias")),
        *(f"layers.{b}.{name}.{leaf}" for b in range(2) for name in ("ff", *QKV) for leaf in ("weight", "bias")),
    }
    for row, part in enumerate(QKV):
        torch.testing.assert_close(
            theirs[f"layers.1.{part}.bias"], ours["blocks.1.qkv.bias"][2 * row : 2 * row + 2], rtol=0, atol=0
        )
    torch.testing.assert_close(
        theirs["norm_out.weight"], ours["last.weight"][[2, 3, 0, 1]], rtol=0, atol=0
    )  # scale before shift
    back = names().from_theirs(theirs)
    assert {*back} == {*ours}
    for key, tensor in ours.items():
        torch.testing.assert_close(back[key], tensor, rtol=0, atol=0)


def test_a_part_that_lacks_is_missed_unless_blocks_may_be_without_it() -> None:
    theirs = {key: tensor for key, tensor in names().to_theirs(weights()).items() if not key.startswith("layers.1.to_")}
    with pytest.raises(KeyError, match=r"layers\.1\.to_q"):
        names().from_theirs(theirs)
    assert "blocks.1.qkv.weight" not in names(sparse=True).from_theirs(theirs)
    del theirs["layers.0.to_k.weight"]
    with pytest.raises(KeyError, match=r"layers\.0\.to_k"):
        names(sparse=True).from_theirs(theirs)


def test_a_weight_without_a_name_here_is_told() -> None:
    theirs = names().to_theirs(weights()) | {"layers.2.ff.weight": torch.zeros(6, 2)}
    with pytest.raises(ValueError, match=r"layers\.2\.ff\.weight"):
        names().from_theirs(theirs)
