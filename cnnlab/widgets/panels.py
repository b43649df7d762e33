"""The small parts of an explorer's page: captions, texts, and the words for what a control holds."""

import html
from collections.abc import Callable

import ipywidgets
import numpy as np
from torch import Tensor


def called(view: Callable) -> str:
    """A view's name in words; a partial or an object that can be called has none of its own."""
    return getattr(view, "__name__", "the view").replace("_", " ")


def captioned(caption: str, panel: ipywidgets.Widget) -> ipywidgets.Widget:
    """A panel under its caption."""
    if not caption:
        return panel
    heading = ipywidgets.HTML(f'<div style="text-align: center">{html.escape(caption)}</div>')
    return ipywidgets.VBox([heading, panel], layout={"margin": "0 12px 8px 0", "align_items": "center"})


def copy(part):
    """A copy of what a view returned, if it is one that can be compared; else None."""
    if isinstance(part, Tensor):
        return part.detach().clone()
    return part.copy() if isinstance(part, np.ndarray) else None


def text(text: str) -> str:
    """A text as it stands, line by line; several lines in letters of one width, so that columns line up."""
    family = "font-family: var(--jp-code-font-family, monospace);" if "\n" in text else ""
    style = f"white-space: pre-wrap; line-height: 1.5; {family} font-size: 15px"
    return f'<div role="status" style="{style}">{html.escape(text)}</div>'


def short(value) -> str:
    """The value of a control, for somebody who hears it."""
    if isinstance(value, tuple):  # a table of numbers: too long to be read aloud
        return f"{len(value)} x {len(value)}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
