"""How a classifier judges: the likelihood of labels under its class scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.precision import in_float32

NO_LABEL = -(2**63)
"""Instead of PyTorch's −100, which would be a label that costs nothing."""


@in_float32
def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log p(y|x) of each sample in nats, (b,): logits (b, classes), labels (b,) or one for all.

    Raises ValueError for shapes that do not go together, and on the CPU for labels that are no classes.
    """
    if logits.ndim != 2 or labels.ndim != 1 or len(labels) not in (1, len(logits)):
        raise ValueError(
            f"class scores are (b, classes) and labels (b,), not {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    labels = labels.to(logits.device).expand(len(logits))
    try:
        return -F.cross_entropy(logits.float(), labels.long(), reduction="none", ignore_index=NO_LABEL)
    except IndexError as error:  # so that labels are looked at only where they are wrong
        raise ValueError(
            f"the labels run from {int(labels.min())} to {int(labels.max())}, and the classifier knows the classes"
            f" 0 to {logits.shape[1] - 1}"
        ) from error


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(y|x) in nats, the mean over samples: the cross entropy that trains a classifier.

    logits: (b, classes); labels: (b,) or (1,), as `log_likelihood` has them.
    """
    return -log_likelihood(logits, labels).mean()


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of samples whose most likely class is their label, a scalar. logits: (b, classes); labels: (b,) or (1,)."""
    log_likelihood(logits, labels)  # the same shapes, and as loud about others
    return (logits.argmax(1) == labels.to(logits.device)).float().mean()
