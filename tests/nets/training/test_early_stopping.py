"""The rule of early stopping on made-up curves, and that `fit` follows it."""

import math

import pytest
import torch

from cnnlab.data.labelled import Labelled
from cnnlab.nets import deep
from cnnlab.nets.training.early_stopping import Stop, early
from cnnlab.nets.training.train import fit


@pytest.mark.parametrize(
    ("losses", "patience", "wanted"),
    [
        ([3, 2, 1], 1, Stop(3, 3, False)),  # it only falls
        ([1, 2, 3, 4], 2, Stop(3, 1, True)),  # it only rises
        ([3, 2, 2.5, 1, 2, 2, 2], 2, Stop(6, 4, True)),  # a bump that is shorter than the patience
        ([3, 2, 2.5, 2.4, 1], 2, Stop(4, 2, True)),  # too impatient for what comes
        ([2, 2, 2], 2, Stop(3, 1, False)),  # no lower is no better; and it ends with the curve
        ([1, 2, 3], 2, Stop(3, 1, False)),
        ([math.nan, 1, math.nan, math.nan, 0], 2, Stop(4, 2, True)),
        ([5], 3, Stop(1, 1, False)),
        ([math.nan] * 3, 2, Stop(2, 0, True)),  # no epoch to go back to
    ],
)
def test_made_up_curves(losses, patience, wanted):
    assert early(losses, patience) == wanted


@pytest.mark.parametrize(("losses", "patience"), [([], 1), ([1.0], 0), ([1.0], 1.5), ([1.0], True)])
def test_what_is_no_curve_or_no_patience(losses, patience):
    with pytest.raises(ValueError, match="patience"):
        early(losses, patience)


def test_fit_stops_where_the_rule_says():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(60, 1, 28, 28, generator=random)
    data = Labelled(images, torch.randint(10, (60,), generator=random), tuple("0123456789"))
    learn, judge = (
        Labelled(data.images[s], data.labels[s], data.classes) for s in (slice(40), slice(40, 60))
    )
    full = fit(_net(), learn, judge, epochs=12, batch=8, learning_rate=3e-3, keep="last")
    stopped = fit(_net(), learn, judge, epochs=12, batch=8, learning_rate=3e-3, patience=2)
    rule = early(full.val_loss, 2)
    assert rule.early and len(stopped.loss) == rule.epoch and stopped.best == rule.best


def _net():
    torch.manual_seed(1)
    return deep.dense((64,))
