"""Reference statistics: Fréchet distances to them, and the files that hold them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.metrics.distribution import frechet_distance
from core.metrics.statistics import Statistics


def features(n: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(seed)) * 1.5 + shift


def test_a_distance_to_statistics_is_the_distance_to_the_features(tmp_path: Path) -> None:
    real, generated = features(400, 0, 1), features(300, 0.5, 2)
    wanted = frechet_distance(real, generated)
    statistics = Statistics.of(real)
    assert frechet_distance(statistics, generated) == pytest.approx(wanted, rel=1e-6)
    statistics.save(tmp_path / "ours.npz")
    assert frechet_distance(Statistics.load(tmp_path / "ours.npz"), generated) == pytest.approx(wanted, rel=1e-6)
    with np.load(tmp_path / "ours.npz") as archive:
        assert np.allclose(archive["mu"], real.double().numpy().mean(0))
        assert np.allclose(archive["sigma"], np.cov(real.double().numpy(), rowvar=False))
    with pytest.raises(ValueError, match=r"\(2, 12\) and \(300, 5\)"):
        frechet_distance(statistics, torch.zeros(300, 5))


def test_published_files_hold_both_kinds(tmp_path: Path) -> None:
    # As guided-diffusion's evaluator writes its reference batches.
    content = {"mu": np.zeros(3), "sigma": np.eye(3), "mu_s": np.ones(2), "sigma_s": 2 * np.eye(2)}
    np.savez(tmp_path / "both.npz", arr_0=np.zeros((1, 2, 2, 3), np.uint8), **content)
    assert Statistics.load(tmp_path / "both.npz").mean.tolist() == [0, 0, 0]
    assert Statistics.load(tmp_path / "both.npz", "spatial").covariance.tolist() == [[2, 0], [0, 2]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"mean": np.zeros(3)}, "it has no mu, but mean"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"a mean \(3,\) and a covariance \(2, 2\)"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "could not convert"),
        (np.zeros(3), "one array"),
        (b"<!DOCTYPE html>", "holds no statistics"),
        (b"", "holds no statistics"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "other.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as file:
            np.savez(file, **content) if isinstance(content, dict) else np.save(file, content)
    with pytest.raises(ValueError, match=told) as refused:
        Statistics.load(path)
    assert str(path) in str(refused.value)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, mu=np.arange(500.0), sigma=np.eye(500))
    content = bytearray(path.read_bytes())
    content[100:120] = b"\xff" * 20  # within the compressed numbers
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds no statistics") as refused:
        Statistics.load(path)
    assert str(path) in str(refused.value)


def test_what_is_pickled_is_not_opened(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> Any:
            return (Path.touch, (touched,))

    (tmp_path / "code.npz").write_bytes(pickle.dumps(Touch()))
    array = np.empty(1, dtype=object)
    array[0] = Touch()
    np.savez(tmp_path / "inside.npz", mu=array, sigma=np.eye(1))
    for name in ("code", "inside"):
        with pytest.raises(ValueError, match="allow_pickle"):
            Statistics.load(tmp_path / f"{name}.npz")
    assert not touched.exists()


def test_spoilt_numbers_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "nan.npz", mu=np.array([np.nan]), sigma=np.eye(1))
    with pytest.raises(FloatingPointError, match="the mean in"):
        Statistics.load(tmp_path / "nan.npz")
    with pytest.raises(ValueError, match="at least 2 images"):
        Statistics.of(torch.zeros(1, 4))
