"""Bars, lines and matrices on matplotlib axes, in colours that colour-blind readers can tell apart."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cnnlab.drawing import style as paper
from cnnlab.drawing.label_layout import separate_labels
from cnnlab.drawing.style import LABEL, TITLE

# Okabe & Ito, Color Universal Design, 2008; black and yellow left out: one is the text's, one too faint on
# white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def bars(
    values: Mapping[str, float], ax=None, *, title: str | None = None, xlabel: str | None = None, log=False
):
    """Horizontal bars with their values written at the end.

    Args:
        values: name -> value; drawn from top to bottom. With `log`, all above zero.
        ax: where to draw.
        title, xlabel: what stands above and below.
        log: a logarithmic scale.

    Raises:
        ValueError: nothing to draw, a value that is not finite, or one not above zero on a logarithmic scale.
    """
    numbers = torch.tensor([float(value) for value in values.values()])
    if not len(numbers) or not numbers.isfinite().all() or (log and (numbers <= 0).any()):
        raise ValueError(f"bars need finite values{' above zero' if log else ''}, got {dict(values)}")
    ax = paper.axes(ax, (7, 0.6 * len(values) + 1.2))
    ax.barh(list(values), numbers.tolist(), color=COLOURS[0], log=log)
    ax.invert_yaxis()
    for place, value in enumerate(numbers.tolist()):
        text = f"{value:,.0f}" if value == round(value) else f"{value:.3g}"
        # Beside the end of the bar, which for a negative value is its left end.
        side = {"xytext": (4, 0), "ha": "left"} if value >= 0 else {"xytext": (-4, 0), "ha": "right"}
        ax.annotate(
            text,
            (value, place),
            **side,
            textcoords="offset points",
            va="center",
            fontsize=LABEL,
            color=ax.title.get_color(),
        )
    ax.margins(x=0.25)
    return _labelled(ax, title, xlabel, None)


def columns(
    values: Sequence[float], ax=None, *, title: str | None = None, xlabel: str | None = None, ylabel=None
):
    """One upright bar for each value, at 0, 1, 2 ...: for many values whose order says nothing.

    Args:
        values: any number of them; a curve through them would suggest that neighbours are related.
        ax: where to draw.
        title, xlabel, ylabel: what stands above, below and beside.

    Raises:
        ValueError: nothing to draw, or a value that is not finite.
    """
    numbers = [float(value) for value in values]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError(f"columns need finite values, got {numbers[:5]}")
    ax = paper.axes(ax, (7, 4))
    ax.bar(range(len(numbers)), numbers, color=COLOURS[0], width=0.9)
    return _labelled(ax, title, xlabel, ylabel)


def lines(
    curves: Mapping[str, Sequence[float]],
    ax=None,
    *,
    x: Sequence[float] | None = None,
    title=None,
    xlabel=None,
    ylabel=None,
    stairs: bool = False,
    log: bool = False,
):
    """Curves, each named at its right end in its own colour and dash: no legend to look up.

    Args:
        curves: name -> values, at most six. NaN is a gap. With `log`, all above zero.
        ax: where to draw.
        x: where the values stand; 0, 1, 2 ... if left out.
        title, xlabel, ylabel: what stands above, below and beside.
        stairs: each value holds until the next one; else straight lines between them.
        log: a logarithmic scale for the values.

    Raises:
        ValueError: no curve or more than can be told apart, one without any number, or not as long as `x`, or
            a number not above zero on a logarithmic scale.
    """
    if not 1 <= len(curves) <= len(COLOURS):
        raise ValueError(f"{len(curves)} curves cannot be told apart; draw at most {len(COLOURS)}")
    points = {name: _points(name, values, x) for name, values in curves.items()}
    if log and not all(
        value > 0 for _, values in points.values() for value in values if not math.isnan(value)
    ):
        raise ValueError("a logarithmic scale needs values above zero")
    ax = paper.axes(ax, (7, 4))
    if log:
        ax.set_yscale("log")
    dashes = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
    look = {"linewidth": 2.5, "drawstyle": "steps-post" if stairs else "default"}
    for (places, values), colour, dash in zip(points.values(), COLOURS, dashes, strict=False):
        ax.plot(places, values, color=colour, linestyle=dash, **look)
    ax.margins(x=0.15)
    for (name, end, height), colour in zip(_label_places(points, log), COLOURS, strict=False):
        style = {"textcoords": "offset points", "va": "center", "fontsize": LABEL}
        ax.annotate(name, (end, height), (6, 0), color=colour, **style)
    return _labelled(ax, title, xlabel, ylabel)


def matrix(values: Tensor, ax=None, *, title: str | None = None, xlabel: str | None = None, ylabel=None):
    """A matrix as cells, white exactly where it is zero; so the bands of a convolution stand out.

    Args:
        values: (rows, columns). With a negative number in it, red and blue about zero, else viridis.
        ax: where to draw.
        title, xlabel, ylabel: what stands above, below and beside.

    Raises:
        ValueError: not a matrix, or a number that is not finite.
    """
    if values.dim() != 2 or not values.numel():
        raise ValueError(f"expected a matrix (rows, columns), got {tuple(values.shape)}")
    if not values.isfinite().all():
        raise ValueError(f"{(~values.isfinite()).sum()} of {values.numel()} numbers are NaN or infinite")
    from matplotlib import colormaps
    from numpy.ma import masked_equal

    rows, columns = values.shape
    ax = paper.axes(ax, (min(10, 0.28 * columns + 1), min(6, 0.28 * rows + 1)))
    top = values.abs().max().item() or 1.0
    low, palette = (-top, "RdBu_r") if values.min() < 0 else (0, "viridis")
    # A zero is no small number but a weight that is not there: it is left out, and the paper shows.
    shown = masked_equal(values.detach().cpu().double().numpy(), 0)
    drawn = ax.imshow(shown, cmap=colormaps[palette].with_extremes(bad="white"), vmin=low, vmax=top)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.03, pad=0.02)
    bar.ax.tick_params(labelsize=LABEL, colors=ax.title.get_color())
    ax.set_xticks([k - 0.5 for k in range(columns + 1)], minor=True)
    ax.set_yticks([k - 0.5 for k in range(rows + 1)], minor=True)
    ax.grid(which="minor", color="0.85", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    return _labelled(ax, title, xlabel, ylabel)


def _points(name, values, x):
    values = [float(value) for value in values]
    places = list(range(len(values))) if x is None else [float(place) for place in x]
    if len(places) != len(values):
        raise ValueError(f"'{name}' has {len(values)} values, but x has {len(places)} places")
    if not any(math.isfinite(value) for value in values):
        raise ValueError(f"'{name}' has no finite number: nothing to draw")
    return places, values


def _label_places(points, log=False):
    """Name, x and height of each label: at the end of its curve, moved up or down where two would overlap."""
    ends, known = [], []
    scale = math.log10 if log else float
    for name, (places, values) in points.items():
        pairs = zip(places, values, strict=True)
        finite = [(place, scale(value)) for place, value in pairs if math.isfinite(value)]
        known += [value for _, value in finite]
        ends.append((name, *finite[-1]))
    line = 0.08 * (max(known) - min(known))  # of text, on a figure of usual height
    # Curves that all end at the top must not push the labels off the figure.
    heights = separate_labels([end[2] for end in ends], line, high=max(known))
    return [
        (name, place, 10**height if log else height)
        for (name, place, _), height in zip(ends, heights, strict=True)
    ]


def _labelled(ax, title, xlabel, ylabel):
    ax.tick_params(labelsize=LABEL)
    ax.spines[["top", "right"]].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=TITLE)
    if xlabel is not None:
        ax.set_xlabel(xlabel, fontsize=LABEL)
    if ylabel is not None:
        ax.set_ylabel(ylabel, fontsize=LABEL)
    return ax
