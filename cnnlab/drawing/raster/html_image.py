"""A picture as a piece of a page, with alt text: for widgets, which change their pictures all the time."""

import base64
import html
import io

import numpy as np
import torch

from cnnlab.drawing.display import png
from cnnlab.drawing.raster import pixels

_QUALITY = 92  # of 100, all colours at full size: no difference can be seen, and a fifth of the bytes
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
        kind, data = pack(part)
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


def pack(picture: np.ndarray) -> tuple[str, bytes]:
    """A picture for a page: its kind, "image/png" or "image/jpeg", and the bytes.

    Maps, tables and grey pictures have few colours: they are PNG, exact. A colour photo is JPEG: it is sent
    again at every step of a slider, and that is what takes longest.
    """
    from PIL import Image

    many = _many_colours(picture)
    if many and not _in_blocks(picture):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, format="JPEG", quality=_QUALITY, subsampling=0)
        return "image/jpeg", stream.getvalue()
    return "image/png", _png(picture, many)


def encode(picture: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG file, exact, packed loosely: speed counts more than size here."""
    return _png(picture, _many_colours(picture))


def _png(picture: np.ndarray, many: bool) -> bytes:
    from PIL import Image

    few = None if many else _few_colours(picture)
    if few is None:
        image = Image.fromarray(picture)
    else:
        image = Image.fromarray(few[1])
        image.putpalette(few[0].tobytes())
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _packed(picture: np.ndarray) -> np.ndarray:
    wide = picture.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _hashed(packed: np.ndarray) -> np.ndarray:
    return packed * np.uint32(2654435761) >> np.uint32(16)  # Knuth's multiplier, modulo 2 to the 32


def _many_colours(picture: np.ndarray) -> bool:
    """Has every 31st of its pixels more than 256 colours? A photo has; a table with letters has not."""
    return len(np.unique(_packed(picture.reshape(-1, 3)[::31]))) > 256


def _in_blocks(picture: np.ndarray) -> bool:
    """Is it an enlarged sheet of squares, as of filters? Many neighbours are equal there, few in a photo."""
    some = picture[::8]
    return bool((some[:, 1:] == some[:, :-1]).all(axis=2).mean() > 0.4)


def _few_colours(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(colours (K, 3), which of them each pixel has (H, W)), both uint8; None if there are more than 256.

    A map or a grey photo has few: its file is a third as large then, and made faster.
    """
    packed = _packed(picture)
    colours = np.unique(packed)
    if len(colours) > 256:
        return None
    # A table of 16-bit hashes finds a colour's number three times as fast as a search among the sorted ones.
    places, numbers = _hashed(colours), np.arange(len(colours), dtype=np.uint8)
    if len(np.unique(places)) == len(colours):
        table = np.zeros(1 << 16, np.uint8)
        table[places] = numbers
        index = table[_hashed(packed)]
    else:
        index = np.searchsorted(colours, packed).astype(np.uint8)
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
    return palette, index
