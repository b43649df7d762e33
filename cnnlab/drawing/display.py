"""A figure becomes a picture on the page, with words for those who cannot see it."""

import base64
import html
import io


class Shown:
    """A picture with alt text. Jupyter shows the picture; a terminal prints the text."""

    def __init__(self, png: bytes, alt: str, width: int):
        self.png, self.alt, self.width = png, alt, width

    def _repr_html_(self) -> str:
        source = base64.b64encode(self.png).decode()
        alt = html.escape(self.alt, quote=True)
        # A transparent figure would vanish in the dark theme; our figures bring their own light paper, with a
        # margin: on a dark page a title must not touch its edge.
        paper = "background: white; padding: 6px; box-sizing: border-box; border-radius: 4px"
        return (
            f'<img src="data:image/png;base64,{source}" alt="{alt}" '
            f'style="width: {self.width}px; max-width: 100%; {paper}">'
        )

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"


def show(fig, alt: str) -> None:
    """Display a matplotlib figure with alt text, and close it.

    Args:
        fig: a matplotlib Figure.
        alt: what a reader who cannot see the figure must know: what is in it, and what it shows. At least
            three words.

    Raises:
        TypeError: `fig` is no Figure.
        ValueError: the alt text is missing or says nothing. The figure is closed, but can be shown again.
    """
    from IPython.display import display

    if not isinstance(alt, str) or len(alt.split()) < 3:
        if hasattr(fig, "savefig"):
            _close(fig)  # or Jupyter would show it below the message, without any words
        raise ValueError(f"alt should say in a sentence what the figure shows, but it is {alt!r}.")
    width = round(fig.get_size_inches()[0] * 80) if hasattr(fig, "get_size_inches") else 0
    display(Shown(png(fig), alt, width))


def png(fig) -> bytes:
    """A matplotlib figure as the bytes of a PNG file; the figure is closed.

    Raises:
        TypeError: `fig` is no Figure. An Axes has one: `ax.figure`.
    """
    from matplotlib.figure import Figure

    if not isinstance(fig, Figure):
        raise TypeError(f"expected a matplotlib Figure, got {type(fig).__name__}. An Axes has one: ax.figure")
    stream = io.BytesIO()
    try:
        paper = fig.get_facecolor()
        fig.savefig(stream, format="png", dpi=130, facecolor=paper if paper[3] else "white")
    finally:
        _close(fig)  # an open figure keeps its memory until the kernel ends
    return stream.getvalue()


def _close(fig) -> None:
    from matplotlib import pyplot as plt

    plt.close(fig)
