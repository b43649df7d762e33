"""Trainings again and again with one thing changed: what lectures 08 and 09 draw.

Type: (settings) -> rows, one for each epoch; (name) -> the rows of a sweep as they are shipped. A sweep is a
grid of settings; `python -m cnnlab sweep NAME` runs all of them through papermill and writes the csv file.
"""

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import torch

from cnnlab.data import augment, digits
from cnnlab.data.labelled import Labelled
from cnnlab.errors import unknown
from cnnlab.nets import deep
from cnnlab.nets.training.train import evaluate, fit

_VALIDATE = 400  # digits of the training split that judge, and never train
REGULARISERS = ("nothing", "dropout", "augmentation", "weight decay", "early stopping")


class Settings(NamedTuple):
    """One training. Names and defaults are those of the notebook's parameters, in small letters.

    Attributes:
        net: "dense", wide, or "deep": see `cnnlab.nets.deep`.
        digits: images to learn from, at most 1042.
        label_noise: the fraction of these whose label is another, drawn at random: nothing but memory can
            learn it.
        regulariser: against over-fitting, of REGULARISERS; "dropout" has the rate 0.5, and is for net
            "dense".
        dropout: its rate, for net "dense" without that regulariser.
        depth, residual, norm, init_gain: of net "deep".
        optimiser, learning_rate, epochs: as for `train.fit`; the rate of net "deep" rises and falls
            ("one-cycle").
        seed: of the weights, the order, and which digits there are to learn from.
    """

    net: str = "dense"
    digits: int = 300
    label_noise: float = 0.0
    regulariser: str = "nothing"
    dropout: float = 0.0
    depth: int = 9
    residual: bool = False
    norm: bool = True
    init_gain: float = 1.0
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    epochs: int = 40
    seed: int = 0


class Row(NamedTuple):
    """One epoch of one training.

    Attributes:
        epoch: from 1.
        loss, accuracy: on the training set, as it was seen.
        val_loss, val_accuracy: on 400 other digits.
        test_accuracy: on the test split, of the weights that were kept; in all rows of a training.
        stopped: why it ended, see `History.stopped`.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    test_accuracy: float
    stopped: str


@dataclass(frozen=True)
class Sweep:
    """A grid: every combination of the values, with what stays the same.

    Attributes:
        question: that it answers.
        grid: setting -> values.
        fixed: settings that are not the defaults.
    """

    question: str
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]

    def settings(self) -> Iterator[Settings]:
        """All combinations, the last name of the grid changing fastest."""
        for values in itertools.product(*self.grid.values()):
            yield Settings(**{**self.fixed, **dict(zip(self.grid, values, strict=True))})


_THREE = (0, 1, 2)
# A fifth of the labels is wrong: a net that has learned these, too, has learned by heart.
_FEW = {"digits": 300, "label_noise": 0.2, "epochs": 60}
_DEEP = {"net": "deep", "digits": 1000, "epochs": 8, "optimiser": "sgd"}
SWEEPS = {
    "dropout": Sweep(
        "how much dropout is right for a few digits?",
        {"dropout": tuple(k / 10 for k in range(9)), "seed": _THREE},
        _FEW,
    ),
    "remedies": Sweep(
        "what helps against over-fitting?", {"regulariser": REGULARISERS, "seed": _THREE}, _FEW
    ),
    "depth": Sweep(
        "do deeper nets get better?",
        {"residual": (False, True), "depth": (5, 11, 21, 41), "seed": _THREE},
        {**_DEEP, "learning_rate": 0.03},
    ),
    "rates": Sweep(
        "which learning rates work, with and without batch norm?",
        {"norm": (False, True), "learning_rate": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "seed": _THREE},
        _DEEP,
    ),
    "gains": Sweep(
        "how large may the first weights be?",
        {"depth": (5, 13, 21), "init_gain": (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0), "seed": _THREE[:2]},
        {**_DEEP, "learning_rate": 0.03, "norm": False},
    ),
}


def split(n: int, seed: int) -> tuple[Labelled, Labelled]:
    """n digits to learn from, and 400 others to judge by; never one of the test split.

    Args:
        n: at most 1042.
        seed: which n. The 400 are always the same.

    Raises:
        ValueError: more than there are, or none.
    """
    every = digits.load("train")
    order = torch.randperm(len(every.labels), generator=torch.Generator().manual_seed(0))
    judge, rest = order[:_VALIDATE], order[_VALIDATE:]
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(rest):
        raise ValueError(f"there are 1 to {len(rest)} digits to learn from, not {n!r}")
    chosen = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))[:n]]
    train, validate = (
        Labelled(every.images[some], every.labels[some], every.classes) for some in (chosen, judge)
    )
    return train, validate


def mislabelled(data: Labelled, fraction: float, seed: int) -> Labelled:
    """The same images, of which this fraction has the label of another class.

    Raises:
        ValueError: no fraction from 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"label_noise is a fraction from 0 to 1, not {fraction}")
    random = torch.Generator().manual_seed(seed)
    n, classes = len(data.labels), len(data.classes)
    rows = torch.randperm(n, generator=random)[: round(fraction * n)]
    labels = data.labels.clone()
    labels[rows] = (labels[rows] + torch.randint(1, classes, (len(rows),), generator=random)) % classes
    return data._replace(labels=labels)


def run_one(settings: Settings, *, callback=None) -> list[Row]:
    """Train once.

    Args:
        settings: what, on what, and how.
        callback: as for `train.fit`.

    Returns:
        A row for each epoch; none, if the first one diverged.

    Raises:
        LookupError: no such net or regulariser.
        ValueError: see `network` and `train.fit`.
    """
    if settings.regulariser not in REGULARISERS:
        raise unknown("regulariser", settings.regulariser, REGULARISERS)
    train, validate = split(settings.digits, settings.seed)
    train = mislabelled(train, settings.label_noise, settings.seed)
    model = network(settings)
    stopping, turned = settings.regulariser == "early stopping", settings.regulariser == "augmentation"
    history = fit(
        model,
        train,
        validate,
        epochs=settings.epochs,
        batch=min(32, settings.digits),
        optimiser=settings.optimiser,
        learning_rate=settings.learning_rate,
        schedule="one-cycle" if settings.net == "deep" else "constant",
        weight_decay=1.0 if settings.regulariser == "weight decay" else 0.0,
        augment=augment.geometric(shift=2, rotate=10, scale=(0.9, 1.1)) if turned else None,
        patience=5 if stopping else None,
        keep="best" if stopping else "last",
        seed=settings.seed,
        callback=callback,
    )
    right = evaluate(model, digits.load("test"))[1]
    curves = (history.loss, history.accuracy, history.val_loss, history.val_accuracy)
    return [
        Row(epoch, *(float(value) for value in values), right, history.stopped)
        for epoch, values in enumerate(zip(*curves, strict=True), 1)
    ]


def network(settings: Settings) -> torch.nn.Module:
    """The untrained network of a setting.

    Raises:
        LookupError: no such net.
        ValueError: a dropout that would not be there, or would be another; or see `cnnlab.nets.deep`.
    """
    if settings.net not in ("dense", "deep"):
        raise unknown("net", settings.net, ("dense", "deep"))
    if settings.net == "deep" and (settings.dropout or settings.regulariser == "dropout"):
        raise ValueError('net "deep" has no dropout: set dropout to 0, and another regulariser')
    if settings.regulariser == "dropout" and settings.dropout:
        raise ValueError(f'regulariser "dropout" has the rate 0.5; for {settings.dropout} choose "nothing"')
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        if settings.net == "dense":
            p = 0.5 if settings.regulariser == "dropout" else settings.dropout
            return deep.dense(dropout=p)
        return deep.deep(
            settings.depth, residual=settings.residual, norm=settings.norm, init_gain=settings.init_gain
        )


def load(name: str) -> list[dict[str, Any]]:
    """The shipped rows of a sweep: the settings of its grid, and those of `Row`.

    Raises:
        LookupError: no such sweep.
        OSError: its file is missing.

    >>> load("depth")[0]["depth"]
    5
    """
    if name not in SWEEPS:
        raise unknown("sweep", name, SWEEPS)
    text = files("cnnlab.nets").joinpath("runs", f"{name}.csv").read_text(encoding="utf-8")
    return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(text.splitlines())]


def _value(text: str) -> bool | int | float | str:
    """As it was before it was written; never by evaluating it."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
