"""A picture from a reader's disk becomes a tensor, or a sentence that says why not.

`bytes -> (1, 3, size, size)`. Bytes from outside are not trusted: their number is bounded before they are
read, the number of pixels before they are unpacked, and only plain picture formats are opened.
"""

import io
import warnings

import torch
from torch import Tensor

from cnnlab.data.photos import resize

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_TRY = "Try a PNG or JPEG picture of less than 10 MB."


def read(data: bytes, size: int = 224, *, max_bytes: int = 10_000_000, max_pixels: int = 25_000_000) -> Tensor:
    """The middle square of an uploaded picture.

    Args:
        data: the file, as it came.
        size: side of the result in pixels.
        max_bytes: a larger file is refused unread.
        max_pixels: a picture with more pixels is refused before it is unpacked: a file of some kilobytes can
            claim to be a picture of many gigabytes.

    Returns:
        (1, 3, size, size) float32 in [0, 1]. A photo taken sideways is turned upright; what is transparent
        becomes white; of a moving picture the first frame is taken.

    Raises:
        ValueError: too many bytes or pixels, no picture, an unknown format, or a broken file. The message says which
            and what to do.
    """
    from PIL import Image, ImageOps

    if not data:
        raise ValueError(f"the file is empty. {_TRY}")
    if len(data) > max_bytes:
        raise ValueError(f"the file has {len(data) / 1e6:.1f} MB; at most {max_bytes / 1e6:.0f} MB are read. {_TRY}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; we refuse them ourselves below
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _refuse_large(image.size, max_pixels)
                upright = ImageOps.exif_transpose(image)  # unpacks the first frame
                array = _rgb(upright)
    except Image.DecompressionBombError as error:
        raise ValueError(f"the picture has too many pixels; at most {max_pixels / 1e6:.0f} million are read. {_TRY}") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"this is no picture of a known format ({', '.join(FORMATS)}). {_TRY}") from error
    except (OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        # Pillow's decoders raise all of these on damaged files.
        raise ValueError(f"the picture is damaged or incomplete ({error}). Save it again, or take another. {_TRY}") from error
    side = min(array.shape[-2:])
    top, left = (array.shape[-2] - side) // 2, (array.shape[-1] - side) // 2
    return resize(array[..., top : top + side, left : left + side], size)


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ValueError(
            f"the picture has {width} x {height} = {width * height / 1e6:.0f} million pixels; at most "
            f"{max_pixels / 1e6:.0f} million are read. Make it smaller, 1000 pixels wide for example."
        )


def _rgb(image) -> Tensor:
    """Any kind of Pillow picture as (1, 3, H, W) in [0, 1], on white paper."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey: convert() would cut it at 255 instead of scaling
        grey = torch.from_numpy(np.array(image, dtype=np.float32)) / 65535
        return grey.clamp(0, 1)[None, None].expand(1, 3, -1, -1)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(paper, layers)
    array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255  # (H, W, 3) -> (1, 3, H, W)
