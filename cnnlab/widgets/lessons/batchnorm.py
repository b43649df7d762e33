"""The widgets of lecture 09: signals in a chain, running statistics, learning rates and batch norm.

The one that trains while you watch is in `flight`.
"""

import functools
import math

import torch
from torch import Tensor

from cnnlab.data import digits
from cnnlab.drawing.raster import plots
from cnnlab.methods.analysis import signal_propagation
from cnnlab.nets.training import sweep_results, sweeps
from cnnlab.widgets import explore

_WIDE, _INPUTS = 128, 32  # of the chain: the rules show, and a slider does not wait
_FAINT, _LOUD = 1e-15, 1e15  # where the axis of the chain ends
_MOST = 120  # batches
_LEARNED = {"training loss": "loss", "right on 400 other digits": "val_accuracy"}


def chain():
    """Send a signal through so many layers, and a slope back: size of the first weights against depth."""
    return explore(
        chain_view,
        title="How large is the signal, layer by layer?",
        depth=(1, 50),
        variance=(0.1, 4.0, 0.1),
        activation=["relu", "tanh", "linear"],
        batch_norm=False,
        shortcuts=False,
        start={"depth": 20, "variance": 1.0},
        presets={"1 / n": {"variance": 1.0}, "He, 2 / n": {"variance": 2.0}, "too large": {"variance": 4.0}},
        alt="mean squares of signal and slope in each layer, on a logarithmic axis",
    )


def chain_view(depth: int, variance: float, activation: str, batch_norm: bool, shortcuts: bool) -> dict:
    """Mean squares of the signal and of the slope, layer by layer, and what theory says.

    Args:
        depth: layers.
        variance: of the first weights, times the inputs of a unit.
        activation: "relu", "tanh" or "linear".
        batch_norm, shortcuts: in each layer?

    Returns:
        The curves, and both ends in words.
    """
    found = _chain(depth, round(variance, 1), activation, batch_norm, shortcuts)
    positions = list(range(depth + 1))
    lines = {
        "signal": (positions, found.forward.tolist()),
        "slope, back": (positions, found.backward.tolist()),
    }
    said = "no short formula"
    if found.theory is not None:
        lines["theory"] = (positions, found.theory.tolist())
        said = f"theory {found.theory[-1].item():.2g}"
    drawn = plots.curves(
        lines,
        plots.Axis(0, max(depth, 2), "layer"),
        plots.Axis(_FAINT, _LOUD, "mean square", log=True),
        dashed=["theory"],
        height=300,
    )
    return {
        "mean square, layer by layer": drawn,
        "": f"signal after {depth} layer{'s' * (depth > 1)}: {found.forward[-1].item():.2g} ({said})\n"
        f"slope at the input: {found.backward[0].item():.2g}\n"
        f"units that are 0 for every input, last layer: {found.dead[-1].item():.0%}",
    }


def statistics(*, seed: int = 0):
    """Batch after batch goes by: what batch norm sees, and what it remembers.

    Args:
        seed: of the order of the digits, and of the filters.
    """
    return explore(
        functools.partial(statistics_view, seed=seed),
        title="What batch norm remembers",
        batches=(1, _MOST),
        batch_size=[1, 2, 8, 32, 128],
        momentum=(0.01, 1.0, 0.01),
        channel=(0, 11),
        start={"batches": 30, "batch_size": 8, "momentum": 0.1},
        presets={
            "one picture": {"batch_size": 1},
            "large batches": {"batch_size": 128},
            "forgets": {"momentum": 1.0},
        },
        alt="mean and deviation of one channel, of each batch and as they are remembered",
    )


def statistics_view(batches: int, batch_size: int, momentum: float, channel: int, *, seed: int = 0) -> dict:
    """The mean and the deviation of one channel, of each batch and as they are remembered.

    Args:
        batches: how many have gone by.
        batch_size: pictures in each.
        momentum: how far what is remembered moves with each batch.
        channel: 0 to 11, of an untrained first convolution.
        seed: as in `statistics`.

    Returns:
        Two charts, and the last numbers in words.
    """
    means, variances, mean, variance = _batches(batch_size, channel, seed)
    kept = {"mean": _remembered(means, 0.0, momentum), "deviation": _remembered(variances, 1.0, momentum)}
    kept["deviation"] = [value**0.5 for value in kept["deviation"]]
    seen = {"mean": means, "deviation": [value**0.5 for value in variances]}
    truth = {"mean": mean, "deviation": variance**0.5}
    result, lines = {}, []
    for name, every in seen.items():
        positions = list(range(1, batches + 1))
        low, high = min(*every, *kept[name], truth[name]), max(*every, *kept[name], truth[name])
        result[name] = plots.curves(
            {
                "this batch": (positions, every[:batches]),
                "remembered": (positions, kept[name][1 : batches + 1]),
                "all digits": ([1, _MOST], [truth[name]] * 2),
            },
            plots.Axis(1, _MOST, "batches"),
            plots.Axis(low - 0.05 * (high - low), high + 0.05 * (high - low), ""),
            dashed=["all digits"],
            dots={"remembered": (batches, kept[name][batches])},
            width=420,
            height=230,
            beside=108,
        )
        lines.append(f"{name:<9}  remembered {kept[name][batches]:6.2f}   all digits {truth[name]:6.2f}")
    return {**result, "": "\n".join(lines)}


def rates():
    """Which learning rates work, with and without batch norm? From the shipped trainings."""
    return explore(
        rates_view,
        title="Learning rates, with and without batch norm",
        exponent=(-3.0, 0.0, 0.5),
        show=_LEARNED,
        start={"exponent": -2.0},
        alt="curves of trainings with and without batch norm",
    )


def rates_view(exponent: float, show: str) -> dict:
    """The trainings at one learning rate, and where all of them ended.

    Args:
        exponent: the rate is 10 to this; -3 to 0.
        show: "loss" or "val_accuracy".

    Returns:
        The curves over the epochs, the ends over all rates, and in words how many trainings diverged.
    """
    known = sweeps.SWEEPS["rates"].grid["learning_rate"]
    learning_rate = min(known, key=lambda each: abs(math.log10(each) - exponent))
    y = plots.Axis(0, 2.5, "loss") if show == "loss" else plots.Axis(0, 1, "share right")
    size = {"width": 420, "height": 240, "beside": 108}
    now, ends, said, dots = {}, {}, [], {}
    for name, norm in (("with", True), ("without", False)):
        found = sweep_results.runs("rates", norm=norm, learning_rate=learning_rate)
        curve = found.curve(show)
        now[name] = (list(range(1, len(curve) + 1)), curve)
        all_ends = [sweep_results.runs("rates", norm=norm, learning_rate=each).end(show) for each in known]
        ends[name] = (list(known), all_ends)
        if found.finished:
            dots[name] = (learning_rate, found.end(show))
        last = (
            f"right at the end {found.end('val_accuracy'):.0%}" if found.finished else "no number at the end"
        )
        lost = f"; {found.diverged} of {found.diverged + len(found.finished)} diverged"
        said.append(f"{name:<7} batch norm: {last}{lost if found.diverged else ''}")
    return {
        f"learning rate {learning_rate:g}": plots.curves(now, plots.Axis(1, 8, "epoch"), y, **size),
        "after 8 epochs": plots.curves(
            ends, plots.Axis(known[0], known[-1], "learning rate", log=True), y, dots=dots, **size
        ),
        "": "\n".join(said),
    }


@functools.lru_cache(maxsize=256)
def _chain(
    depth: int, variance: float, activation: str, norm: bool, residual: bool
) -> signal_propagation.Chain:
    sizes = {"width": _WIDE, "inputs": _INPUTS}
    return signal_propagation.propagate(
        depth, variance=variance, activation=activation, norm=norm, residual=residual, **sizes
    )


@functools.lru_cache(maxsize=64)
def _batches(size: int, channel: int, seed: int) -> tuple[list[float], list[float], float, float]:
    """Mean and variance of each batch, and of all digits."""
    mean, square = (each[:, channel] for each in _moments(seed))  # (N,) each, of single pictures
    random = torch.Generator().manual_seed(seed)
    order = torch.cat(
        [torch.randperm(len(mean), generator=random) for _ in range(1 + _MOST * size // len(mean))]
    )
    chosen = order[: _MOST * size].view(_MOST, size)
    means = mean[chosen].mean(dim=1)
    variances = square[chosen].mean(dim=1) - means**2
    return means.tolist(), variances.tolist(), mean.mean().item(), (square.mean() - mean.mean() ** 2).item()


@functools.lru_cache(maxsize=4)
def _moments(seed: int) -> tuple[Tensor, Tensor]:
    """Mean and mean square of each channel in each picture, (N, C) both: a batch is a mean of these."""
    net = sweeps.network(sweeps.Settings(net="deep", seed=seed))
    found = []
    with torch.no_grad():
        for images in digits.load("train").images.split(200):
            maps = net.conv(net.norm(images)).double()  # (n, C, 14, 14)
            found.append((maps.mean(dim=(2, 3)), maps.square().mean(dim=(2, 3))))
    means, squares = (torch.cat(each) for each in zip(*found, strict=True))
    return means, squares


def _remembered(values: list[float], start: float, momentum: float) -> list[float]:
    """What is remembered before the first value, and after each."""
    kept = [start]
    for value in values:
        kept.append((1 - momentum) * kept[-1] + momentum * value)
    return kept
