"""A picture as a piece of a page, with alt text: for widgets, which change their pictures all the time."""

import base64
import html

import numpy as np
import torch

from cnnlab.drawing import packing, pixels
from cnnlab.drawing.display import png

_LEAST = 256  # pixels on the page: smaller pictures are enlarged by the browser


def picture(part, words: str, described_by: str = "") -> str:
    """A picture as an HTML element with alt text.

    Args:
        part: a tensor (H, W) or (C, H, W) in [0, 1], an array uint8 (H, W, 3), or a matplotlib Figure.
        words: the alt text.
        described_by: the id of an element of the page that says more.

    Raises:
        TypeError: it is none of these.

    `ipywidgets.Image` would be the usual choice, but it has no alt text, and in ipywidgets 8.1.9 one with a
    tooltip does not appear at all (its view stops with a JavaScript error). So the bytes go into the address.
    """
    sharp = ""
    if isinstance(part, np.ndarray) and (part.dtype != np.uint8 or part.ndim != 3 or part.shape[2] != 3):
        raise TypeError(f"an array should be uint8 (H, W, 3), not {part.dtype} {part.shape}")
    if isinstance(part, torch.Tensor):
        part = pixels.grey(part)
    if isinstance(part, np.ndarray):
        # Tiny pictures grow by a whole factor to a size that can be seen from a chair. Pixels stay pixels.
        factor = 1 if part.shape[1] >= 100 else max(1, _LEAST // part.shape[1])
        sharp = "image-rendering: pixelated; " if factor > 1 else ""
        kind, data = packing.pack(part)
        width, height = part.shape[1] * factor, part.shape[0] * factor
    elif hasattr(part, "savefig"):
        width, height = (round(inches * 80) for inches in part.get_size_inches())
        kind, data = "image/png", png(part)
    else:
        raise TypeError(
            f"a view returns tensors, arrays, figures, texts or a dict of them, not {type(part).__name__}"
        )
    address = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    # Both sides are said before the bytes are unpacked, so that nothing on the page jumps.
    style = (
        f"{sharp}width: {width}px; height: auto; aspect-ratio: {width} / {height}; max-width: 100%; margin: 0"
    )
    more = f' aria-describedby="{html.escape(described_by, quote=True)}"' if described_by else ""
    alt = html.escape(words, quote=True)
    return f'<img src="{address}" alt="{alt}"{more} decoding="sync" style="{style}">'
