"""Orders of batches: of one group, none lost, as often as their weights say, and a function of n alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.loader import Batches
from core.data.order import Order


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**64 - 1),
    data=st.data(),
)
def test_every_group_is_shown_pass_by_pass_and_nothing_is_dropped(
    sizes: list[int], batch_size: int, seed: int, data: st.DataObject
) -> None:
    groups = np.repeat(np.arange(len(sizes)) * 7, sizes)
    order = Order(len(groups), batch_size, seed, groups)
    epochs = 2 * batch_size  # after so many, every group has shown a whole number of passes
    batches = [order.batch(n).samples for n in range(epochs * len(groups) // batch_size)]
    assert all(len(set(groups[index])) == 1 and len(index) == batch_size for index in batches)
    assert set(Counter(np.concatenate(batches).tolist()).values()) == {epochs}
    n = data.draw(st.integers(0, len(batches) - 1))
    fresh = Order(len(groups), batch_size, seed, groups).batch(n)
    assert (fresh.samples == batches[n]).all(), "batch n does not depend on what was asked before"


@settings(deadline=None)
@given(
    weights=st.lists(st.floats(0, 5), min_size=2, max_size=30).filter(lambda weights: sum(weights) > 0.1),
    batch_size=st.integers(1, 5),
    grouped=st.booleans(),
)
def test_samples_are_shown_as_often_as_their_weights_say(weights: list[float], batch_size: int, grouped: bool) -> None:
    given_, n = np.array(weights), len(weights)
    groups = np.arange(n) % 2 if grouped else None
    order = Order(n, batch_size, 3, groups, given_)
    shown = np.zeros(n)
    epochs = 4 * batch_size
    total = sum(group.length for group in order._groups)
    for number in range(epochs * total // batch_size):
        np.add.at(shown, order.batch(number).samples, 1)
    for group in order._groups:
        share = np.zeros(n)
        share[group.members] = given_[group.members] / given_[group.members].sum() * group.length
        here = np.zeros(n, dtype=bool)
        here[group.members] = True
        assert np.abs(shown - share * epochs)[here].max() <= epochs, "each pass is within one of it"
        assert shown[here].sum() == epochs * group.length
    assert (shown[given_ == 0] == 0).all()


def test_a_pass_of_weighted_samples_is_within_one_of_their_share() -> None:
    weights = np.array([1.0, 0.5, 3, 0, 0.25])
    order = Order(5, 1, 0, weights=weights)
    for number in range(20):
        shown = np.bincount([int(order.batch(5 * number + k).samples[0]) for k in range(5)], minlength=5)
        assert (np.abs(shown - weights / weights.sum() * 5) < 1).all()


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_mean_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        Order(2, 1, 0, weights=np.array(weights))


class Sized:
    """Samples of two sizes, which no batch may mix."""

    groups = np.array([0, 0, 0, 1, 1] * 4)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"image": torch.full((3, 4 + 4 * int(self.groups[i]), 4), float(i))}


@pytest.mark.parametrize("world", [1, 2])
def test_batches_are_of_one_size_and_processes_share_them(world: int) -> None:
    whole = Batches(Sized(), 4, seed=5)
    assert len(whole) == 5
    parts = [Batches(Sized(), 4, seed=5, rank=rank, world=world) for rank in range(world)]
    for n in (0, 3, 11, 400):
        expected = whole.batch(n)
        assert torch.equal(torch.cat([part.batch(n)["images"] for part in parts]), expected["images"])
    assert {whole.batch(n)["images"].shape[2] for n in range(10)} == {4, 8}


def test_showings_of_one_sample_are_augmented_differently() -> None:
    class One(Sized):
        groups = np.zeros(1, dtype=np.int64)

        def get_batch(self, indices: Any, random: Any = None) -> Any:
            return {"images": torch.from_numpy(random.uniform())}

    batch = Batches(One(), 1, seed=0)
    seen = [float(batch.batch(n)["images"][0]) for n in range(8)]
    assert len(set(seen)) == 8
