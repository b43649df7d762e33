"""Is a network right as often as it says? Its confidence beside its accuracy; and which images it doubts.

Type: (probabilities, labels) -> Calibration; (scores, scores) -> one number.

Papers: Guo et al., On calibration of modern neural networks, ICML 2017 (the error and its bins);
Hanley & McNeil, The meaning and use of the area under a ROC curve, 1982.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.validation import check_integer, check_probabilities


class Calibration(NamedTuple):
    """Answers sorted by how sure they are.

    Attributes:
        confidence: (bins,) the mean probability of the class that was named; nan in an empty bin.
        accuracy: (bins,) the share of them that were right; nan in an empty bin.
        count: (bins,) how many answers.
        error: the mean of |accuracy - confidence|, each bin by its count.
    """

    confidence: Tensor
    accuracy: Tensor
    count: Tensor
    error: float


def calibration(probabilities: Tensor, labels: Tensor, bins: int = 10) -> Calibration:
    """Sort answers into bins of equal width by their confidence, and count how many are right.

    Args:
        probabilities: (N, K), each row sums to 1.
        labels: (N,) the right classes.
        bins: how many, from 0 to 1; a bin holds its upper edge.

    Raises:
        ValueError: shapes that do not belong together, rows that are no probabilities, or a label that no
            column belongs to: it would count as a wrong answer.

    >>> confidences = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    >>> round(calibration(confidences, torch.tensor([0, 1])).error, 3)
    0.4
    """
    check_integer(bins, "bins is a whole number, 1 or more")
    rows = check_probabilities(probabilities)
    if labels.shape != rows.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"a label, a whole number, belongs to each of the {len(rows)} rows, "
            f"not {tuple(labels.shape)} of {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= rows.shape[1]:
        raise ValueError(f"labels go from 0 to {rows.shape[1] - 1}: one column of probabilities for each")
    confidences, predicted = rows.max(dim=1)
    correct = (predicted == labels).double()
    bin_index = (confidences * bins).ceil().long().sub(1).clamp(0, bins - 1)
    count = torch.bincount(bin_index, minlength=bins)
    confidence = torch.bincount(bin_index, weights=confidences, minlength=bins) / count
    accuracy = torch.bincount(bin_index, weights=correct, minlength=bins) / count
    gaps = (accuracy - confidence).abs().nan_to_num(0)
    return Calibration(confidence.float(), accuracy.float(), count, float((gaps * count).sum() / len(labels)))


def auroc(inside: Tensor, outside: Tensor) -> float:
    """How well a score tells two groups apart: the chance that a member of `outside` has the higher one.

    It is the area under the ROC curve: 0.5 for a coin, 1 if every one outside is above all inside. Ties
    count half.

    Args:
        inside, outside: (N,) and (M,), such as the entropies of test digits and of other images.

    Raises:
        ValueError: an empty group, or a score that is not a number.

    >>> auroc(torch.tensor([0.1, 0.2]), torch.tensor([0.2, 0.3]))
    0.875
    """
    if inside.dim() != 1 or outside.dim() != 1 or not len(inside) or not len(outside):
        raise ValueError(
            f"two groups of scores, (N,) and (M,), not {tuple(inside.shape)} and {tuple(outside.shape)}"
        )
    inside, outside = inside.detach().double(), outside.detach().double()
    if inside.isnan().any() or outside.isnan().any():
        raise ValueError("a score is nan")
    ordered = inside.sort().values.contiguous()
    below = torch.searchsorted(ordered, outside.contiguous())
    not_above = torch.searchsorted(ordered, outside.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(inside)))
