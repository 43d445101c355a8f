"""The likelihood of labels under a classifier's scores, against numpy."""

import numpy as np
import pytest
import torch

from core.metrics.classification import accuracy, log_likelihood, negative_log_likelihood

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.tensor([0, 3, 1, 2, 2, 0])


def test_the_likelihood_is_the_softmax_at_the_label() -> None:
    raw = SCORES.double().numpy()
    wanted = np.log(np.exp(raw) / np.exp(raw).sum(1, keepdims=True))[np.arange(6), LABELS.numpy()]
    assert np.allclose(log_likelihood(SCORES, LABELS).numpy(), wanted, atol=1e-6)
    assert float(negative_log_likelihood(SCORES, LABELS)) == pytest.approx(-wanted.mean(), abs=1e-6)
    assert float(accuracy(SCORES, LABELS)) == pytest.approx((raw.argmax(1) == LABELS.numpy()).mean())
    assert torch.allclose(log_likelihood(SCORES, torch.tensor([2])), SCORES.log_softmax(1)[:, 2])


def test_a_classifier_that_knows_nothing_pays_for_every_class() -> None:
    assert float(negative_log_likelihood(torch.zeros(5, 8), torch.arange(5))) == pytest.approx(np.log(8))


def test_labels_that_are_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="run from 0 to 7, and the classifier knows the classes 0 to 3"):
        log_likelihood(SCORES, torch.tensor([0, 1, 2, 3, 7, 0]))
    for label in (-1, -100):  # PyTorch passes over −100
        with pytest.raises(
            ValueError, match=f"run from {label} to {label}, and the classifier knows the classes 0 to 3"
        ):
            log_likelihood(SCORES, torch.tensor([label]))
    with pytest.raises(ValueError, match=r"not \(6, 4\) and \(5,\)"):
        accuracy(SCORES, torch.zeros(5, dtype=torch.long))
