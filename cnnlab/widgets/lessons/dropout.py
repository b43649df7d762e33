"""The widgets of lecture 08: units that fall silent, curves by the rate of dropout, a digit turned round."""

import functools
from statistics import fmean

import torch
from torch import Tensor

from cnnlab.data import digits
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods.uncertainty import mc_dropout
from cnnlab.nets import models
from cnnlab.nets.training import sweep_results, sweeps
from cnnlab.probing import Recorder
from cnnlab.widgets import explore
from cnnlab.widgets.lessons.start import rotate

_ANSWERS = 2000  # of one head: a product of two small matrices
_TURNED = 25  # answers for each picture that is turned
_STEP, _HALF = 10, 180  # degrees
_LOW, _HIGH = -20, 50  # logits that are drawn, in bins one wide
_TOP = 0.25  # where the chart of their shares ends: the hill of rate 0.3
_DROPPED = (222, 222, 222)  # no colour of viridis
_SHOWN = {"accuracy": (0.0, 1.0, "share right"), "loss": (0.0, 2.5, "cross-entropy")}


def units():
    """Move the rate: units of the encoder's code fall silent, and its answers spread."""
    return explore(
        units_view,
        title="Drop units of the code",
        rate=(0.0, 0.9, 0.05),
        digit=(0, 9),
        draw=(1, 20),
        start={"rate": 0.5, "digit": 9},
        presets={"nothing dropped": {"rate": 0.0}, "as in training": {"rate": 0.5}, "most": {"rate": 0.9}},
        alt="a digit, the units of its code with the dropped ones in grey, and what is answered",
    )


def units_view(rate: float, digit: int, draw: int) -> dict:
    """One draw of dropout behind the code, and the answers of many draws.

    Args:
        rate: share of the units that is dropped, below 1.
        digit: 0 to 9, the first of its class in the test split.
        draw: which of the draws is shown, from 1.

    Returns:
        The digit, its 256 units, the probabilities of the thinned network, how often each logit comes in all
        draws, and the mean and deviation of the logit beside what the formula says.
    """
    code, head = _code(digit), _encoder().dense
    random = torch.Generator().manual_seed(0)
    kept = torch.rand(_ANSWERS, len(code), generator=random) >= rate
    with torch.no_grad():
        logits = head(code * kept / (1 - rate))  # (answers, 10)
        plain, weight = head(code), head.weight[digit]
    chances, here = logits.softmax(dim=1), kept[draw - 1]
    side = round(len(code) ** 0.5)
    sheet = pixels.magnitude((code * here).view(side, side), limit=code.max().item() / 0.6)
    sheet[~here.view(side, side).numpy()] = _DROPPED
    spread = (weight * code).square().sum().mul(rate / (1 - rate)).sqrt().item()
    shown = {
        "the digit": pixels.enlarge(pixels.grey(_digit(digit)[0]), 5),
        f"{int((~here).sum())} of {len(code)} units dropped": pixels.enlarge(sheet, 10),
        f"draw {draw}: probability of 0 to 9": plots.bar_chart(
            chances[draw - 1].tolist(), 1.0, width=200, height=140, marked=(digit, digit)
        ),
        f"the logit of {digit} in {_ANSWERS} draws": _hill(logits[:, digit], plain[digit].item(), spread),
    }
    right = (logits.argmax(dim=1) == digit).float().mean()
    return shown | {
        "": f"named rightly in {right:.0%} of {_ANSWERS} draws\n"
        f"the logit of {digit} with nothing dropped: {plain[digit]:.2f}\n"
        f"over all draws: mean {logits[:, digit].mean():.2f}, "
        f"deviation {logits[:, digit].std(unbiased=False):.2f}\n"
        f"by the formula: mean {plain[digit]:.2f}, deviation {spread:.2f}"
    }


def _hill(found: Tensor, mean: float, std: float):
    """How often each logit comes, beside the normal curve of the mean and the deviation."""
    share = torch.histc(found.clamp(_LOW, _HIGH), _HIGH - _LOW, _LOW, _HIGH) / len(found)
    edges = torch.arange(_LOW, _HIGH + 1).repeat_interleave(2)[1:-1]  # stairs: both ends of each bin
    lines = {"draws": (edges.tolist(), share.repeat_interleave(2).tolist())}
    if std:
        positions = torch.linspace(_LOW, _HIGH, 281)
        curve = torch.distributions.Normal(mean, std).log_prob(positions).exp()
        lines["formula"] = (positions.tolist(), curve.tolist())
    across, up = plots.Axis(_LOW, _HIGH, "logit"), plots.Axis(0, _TOP, "share of the draws")
    return plots.curves(lines, across, up, dashed=["formula"], width=340, height=200, beside=80)


def rates():
    """Curves by the rate of dropout, from trainings that are shipped: 300 digits, a fifth mislabelled."""
    return explore(
        rates_view,
        title="How much dropout?",
        rate=(0.0, 0.8, 0.1),
        curve=list(_SHOWN),
        start={"rate": 0.0},
        alt="curves of training and validation, and the end of each by the rate",
    )


def rates_view(rate: float, curve: str) -> dict:
    """The curves of one rate, the mean of three seeds, and where every rate ends.

    Args:
        rate: 0 to 0.8, one of those that were tried.
        curve: "accuracy" or "loss".

    Returns:
        Two charts and the numbers.
    """
    found, position = _by_rate(), round(rate, 1)
    low, high, name = _SHOWN[curve]
    train, judged = ("accuracy", "val_accuracy") if curve == "accuracy" else ("loss", "val_loss")
    curves = {said: found[position].curve(key) for said, key in (("training", train), ("validation", judged))}
    epochs = list(range(1, len(curves["training"]) + 1))
    over_time = plots.curves(
        {said: (epochs, curve) for said, curve in curves.items()},
        plots.Axis(0, len(epochs), "epoch"),
        plots.Axis(low, high, name),
        width=460,
        height=250,
    )
    ends = {
        said: (list(found), [each.end(key) for each in found.values()])
        for said, key in (("training", train), ("validation", judged))
    }
    by_rate = plots.curves(
        ends,
        plots.Axis(0, max(found), "rate of dropout"),
        plots.Axis(low, high, f"{name}, at the end"),
        dots={
            said: (position, values[positions.index(position)]) for said, (positions, values) in ends.items()
        },
        width=460,
        height=250,
    )
    right = found[position].ends("test_accuracy")
    return {
        f"rate {position:.1f}, epoch by epoch": over_time,
        "all rates, after the last epoch": by_rate,
        "": f"rate {position:.1f}: {fmean(right):.0%} of the test digits right (three seeds: "
        f"{min(right):.0%} to {max(right):.0%})",
    }


def turning():
    """Turn a digit: when does the network begin to doubt, and where do its answers part?"""
    return explore(
        turning_view,
        title="Turn a digit, and ask 25 thinned networks",
        angle=(0, _HALF, _STEP),
        digit=(0, 9),
        start={"digit": 7},
        presets={"upright": {"angle": 0}, "a quarter": {"angle": 90}, "upside down": {"angle": 180}},
        alt="a turned digit, 25 answers to it, and the doubt at every angle",
    )


def turning_view(angle: int, digit: int) -> dict:
    """A digit at one angle, and the doubt at all angles.

    Args:
        angle: degrees, 0 to 180 in steps of 10.
        digit: 0 to 9, the first of its class in the test split.

    Returns:
        The picture, 25 answers as rows, entropy and mutual information over the angle, and words.
    """
    images, answers, result = _turned(digit)
    k = angle // _STEP
    mean, angles = result.mean[k], list(range(0, _HALF + 1, _STEP))
    best = int(mean.argmax())
    sheet = pixels.magnitude(answers[:, k], limit=1.0)  # (answers, 10)
    spread = result.variance[k, best].sqrt().item()
    curves = {
        "entropy": (angles, result.entropy.tolist()),
        "information": (angles, result.mutual_information.tolist()),
    }
    drawn = plots.curves(
        curves,
        plots.Axis(0, _HALF, "degrees"),
        plots.Axis(0, 2.0, "doubt, in nats"),
        dots={name: (angle, values[k]) for name, (_, values) in curves.items()},
        width=440,
        height=230,
    )
    return {
        f"turned by {angle} degrees": pixels.enlarge(pixels.grey(images[k]), 6),
        f"{_TURNED} answers (rows), 0 to 9 (columns)": sheet.repeat(7, axis=0).repeat(16, axis=1),
        "at every angle": drawn,
        "": f"the mean says {best}, with {mean[best]:.0%} (deviation {spread:.0%})\n"
        f"entropy {result.entropy[k]:.2f}, mutual information {result.mutual_information[k]:.2f} nats",
    }


@functools.cache
def _encoder():
    return models.load("encoder")


@functools.cache
def _digit(digit: int) -> Tensor:
    """(1, 1, 28, 28), the first of its class that no network has learned from."""
    test = digits.load("test")
    return test.images[(test.labels == digit).nonzero()[0]]


@functools.cache
def _code(digit: int) -> Tensor:
    """(256,), as it comes to the last dropout."""
    with torch.no_grad(), Recorder(_encoder(), "relu5", stop=True) as acts:
        acts.model(_digit(digit))
    return acts["relu5"][0]


@functools.cache
def _by_rate() -> dict[float, sweep_results.Runs]:
    """Rate -> its trainings."""
    rates = sweeps.SWEEPS["dropout"].grid["dropout"]
    return {rate: sweep_results.runs("dropout", dropout=rate) for rate in rates}


@functools.lru_cache(maxsize=10)
def _turned(digit: int) -> tuple[Tensor, Tensor, mc_dropout.Uncertainty]:
    """A digit at all angles at once, (A, 1, 28, 28); its answers (S, A, 10); and what they say."""
    images = torch.cat([rotate(_digit(digit), angle) for angle in range(0, _HALF + 1, _STEP)])
    answers = torch.stack(list(mc_dropout.samples(_encoder(), images, n_samples=_TURNED)))
    return images, answers, mc_dropout.summary(answers)
