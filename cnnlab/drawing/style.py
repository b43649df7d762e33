"""The sheet that a drawing is made on: light, whatever style is set, and with letters for the back row."""

TITLE, LABEL = 15, 12  # points


def axes(ax, size: tuple[float, float]):
    """The axes that were given, or those of a new light figure of (width, height) inches."""
    return figure(size)[1] if ax is None else ax


def figure(size: tuple[float, float], rows: int = 1, columns: int = 1, **options):
    """A light figure and its axes; a style that somebody set for this session stays set, and is not used."""
    from matplotlib import pyplot as plt, style

    with style.context("default"):
        return plt.subplots(rows, columns, figsize=size, layout="constrained", **options)
