"""When to stop: the rule of early stopping, on a curve that is there already.

Type: losses, patience -> epochs. `train.fit(patience=…)` follows the same rule while it trains.

Paper: Prechelt, Early stopping: but when? 1998.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Stop(NamedTuple):
    """Where a rule ends a training.

    Attributes:
        epoch: the last one that is trained, counted from 1.
        best: the one whose weights are kept; 0 if no loss was a number.
        early: were there epochs left?
    """

    epoch: int
    best: int
    early: bool


def early(losses: Sequence[float], patience: int) -> Stop:
    """Stop after so many epochs in a row without a new lowest validation loss, and go back to the lowest.

    Args:
        losses: on the validation set, after each epoch. One that is no number (nan) is never the lowest.
        patience: 1 or more.

    Raises:
        ValueError: no losses, or a patience below 1.

    >>> early([3.0, 2.0, 2.5, 2.4, 1.0], patience=2)
    Stop(epoch=4, best=2, early=True)
    """
    if not len(losses) or isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        raise ValueError(f"one loss or more, and a patience of 1 or more; not {len(losses)} and {patience!r}")
    lowest, best = float("inf"), 0
    for epoch, loss in enumerate(losses, 1):
        if loss < lowest:
            lowest, best = loss, epoch
        if epoch - best >= patience:
            return Stop(epoch, best, early=epoch < len(losses))
    return Stop(len(losses), best, early=False)
