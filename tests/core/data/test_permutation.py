"""The keyed permutation: every index once, any part of it alone, another one for each key, and no memory to speak of."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import loader
from core.data.loader import Batches
from core.data.permutation import Permutation
from tests.effort import cases


class Numbers:
    """As many samples as one likes, each its own number."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"label": i}


@settings(max_examples=cases(60, 2000), deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_every_index_comes_once(n: int, seed: int) -> None:
    assert np.array_equal(np.sort(Permutation(n, "a", seed)(np.arange(n))), np.arange(n))


@settings(max_examples=cases(60, 2000), deadline=None)
@given(st.integers(2, 2**62), st.integers(0, 99), st.data())
def test_any_part_can_be_asked_for_alone_and_stays_within(n: int, seed: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20, unique=True)))
    found = Permutation(n, seed)(places)
    assert len(set(found.tolist())) == len(places)
    assert 0 <= found.min() <= found.max() < n
    assert [Permutation(n, seed)(places[i : i + 1]).item() for i in range(len(places))] == found.tolist()


def test_places_are_uniform_and_keys_matter() -> None:
    n, seeds = 100, 4000
    counts = np.zeros((n, n))
    for seed in range(seeds):
        counts[np.arange(n), Permutation(n, "uniform", seed)(np.arange(n))] += 1
    chi = ((counts - seeds / n) ** 2 / (seeds / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(chi - freedom) < 6 * (2 * freedom) ** 0.5
    large = 10**9
    first, second = (Permutation(large, "order", seed)(np.arange(10_000)) for seed in (0, 1))
    assert len(set(first.tolist()) & set(second.tolist())) < 10
    assert abs(np.corrcoef(np.arange(10_000), first)[0, 1]) < 0.06
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.06


def test_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be from 1"):
        Permutation(0)


def test_a_billion_samples_are_shuffled_without_a_table() -> None:
    batches = Batches(Numbers(10**9 + 7), 64, seed=3)
    drawn = np.concatenate([batches.batch(n)["index"].numpy() for n in range(100)])
    assert len(set(drawn.tolist())) == 6400
    assert drawn.min() < 10**7
    assert drawn.max() > 9.9 * 10**8
    assert batches.batch(len(batches))["index"].tolist() != batches.batch(0)["index"].tolist()  # the next epoch
    far = Batches(Numbers(10**9 + 7), 64, seed=3).batch(99)["index"]  # a resumed one asks for it alone
    assert far.tolist() == drawn[-64:].tolist()


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_batches_of_a_large_set_hold_every_sample_once_an_epoch(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(loader, "LARGEST_SORTED", 10)
    monkeypatch.setattr(loader, "BLOCK", block)
    whole = Batches(Numbers(103), 10, seed=1, drop_last=False)
    drawn = [index for n in range(11) for index in whole.batch(n)["index"].tolist()]
    assert sorted(drawn) == list(range(103))
    assert whole.order(0).tolist() == drawn
    halves = [Batches(Numbers(103), 10, seed=1, rank=rank, world=2) for rank in (0, 1)]
    assert [i for half in halves for i in half.batch(4)["index"].tolist()] == drawn[40:50]
