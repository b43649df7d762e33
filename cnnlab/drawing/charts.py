"""Bars, lines and matrices on matplotlib axes, in colours that colour-blind readers can tell apart."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cnnlab.drawing.images import LABEL, TITLE

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
    ax = _axes(ax, (7, 0.6 * len(values) + 1.2))
    ax.barh(list(values), numbers.tolist(), color=COLOURS[0], log=log)
    ax.invert_yaxis()
    for place, value in enumerate(numbers.tolist()):
        text = f"{value:,.0f}" if value == round(value) else f"{value:.3g}"
        ax.annotate(text, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=LABEL)
    ax.margins(x=0.25)
    return _labelled(ax, title, xlabel, None)


def lines(
    curves: Mapping[str, Sequence[float]],
    ax=None,
    *,
    x: Sequence[float] | None = None,
    title=None,
    xlabel=None,
    ylabel=None,
):
    """Curves, each named at its right end in its own colour and dash: no legend to look up.

    Args:
        curves: name -> values, at most six.
        ax: where to draw.
        x: where the values stand; 0, 1, 2 ... if left out.
        title, xlabel, ylabel: what stands above, below and beside.

    Raises:
        ValueError: more curves than can be told apart.
    """
    if len(curves) > len(COLOURS):
        raise ValueError(f"{len(curves)} curves cannot be told apart; draw at most {len(COLOURS)}")
    ax = _axes(ax, (7, 4))
    dashes = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
    for (name, values), colour, dash in zip(curves.items(), COLOURS, dashes, strict=False):
        places = list(range(len(values))) if x is None else list(x)
        ax.plot(places, list(values), color=colour, linestyle=dash, linewidth=2.5)
        ax.annotate(
            name,
            (places[-1], values[-1]),
            (6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=LABEL,
        )
    ax.margins(x=0.15)
    return _labelled(ax, title, xlabel, ylabel)


def matrix(values: Tensor, ax=None, *, title: str | None = None, xlabel: str | None = None, ylabel=None):
    """A matrix as cells: viridis for its numbers, white where it is exactly zero.

    Args:
        values: (rows, columns), zero or more.
        ax: where to draw.
        title, xlabel, ylabel: what stands above, below and beside.

    Raises:
        ValueError: not a matrix.
    """
    if values.dim() != 2:
        raise ValueError(f"expected a matrix (rows, columns), got {tuple(values.shape)}")
    rows, columns = values.shape
    ax = _axes(ax, (min(10, 0.28 * columns + 1), min(6, 0.28 * rows + 1)))
    shown = values.detach().double().numpy()
    drawn = ax.imshow(shown, cmap=_with_white_zero(), vmin=0)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.03, pad=0.02)
    bar.ax.tick_params(labelsize=LABEL)
    ax.set_xticks([k - 0.5 for k in range(columns + 1)], minor=True)
    ax.set_yticks([k - 0.5 for k in range(rows + 1)], minor=True)
    ax.grid(which="minor", color="0.85", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    return _labelled(ax, title, xlabel, ylabel)


def _with_white_zero():
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colours = colormaps["viridis"](range(256))
    colours[0] = (1, 1, 1, 1)
    return ListedColormap(colours)


def _axes(ax, size):
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


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
