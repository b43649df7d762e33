"""An image from a reader's disk becomes a tensor, or a sentence that says why not.

`bytes -> (1, 3, size, size)`. Bytes from outside are not trusted: their number is bounded before they are
read, the number of pixels before they are unpacked, and only plain image formats are opened.
"""

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_TRY = "Try a PNG or JPEG image, 1000 pixels wide for example."


def read(
    data: bytes, size: int = 224, *, max_bytes: int = 10_000_000, max_pixels: int = 25_000_000
) -> Tensor:
    """The middle square of an uploaded image.

    Args:
        data: the file, as it came.
        size: side of the result in pixels.
        max_bytes: a larger file is refused unread.
        max_pixels: an image with more pixels is refused before it is unpacked: a file of some kilobytes can
            claim to be an image of many gigabytes.

    Returns:
        (1, 3, size, size) float32 in [0, 1]. A photo taken sideways is turned upright; what is transparent
        becomes white; of a moving image the first frame is taken.

    Raises:
        TypeError: data is not bytes.
        ValueError: too many bytes or pixels, no image, an unknown format, a broken file, or a size below 1.
            The message says which, and what to do.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data is the content of a file, as bytes, but it is {type(data).__name__}")
    data = bytes(data) if len(data) <= max_bytes else data
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size is a number of pixels, 1 or more, but it is {size!r}")
    if not len(data):
        raise ValueError(f"the file is empty. {_TRY}")
    if len(data) > max_bytes:
        raise ValueError(
            f"the file has {len(data) / 1e6:.1f} MB; at most {max_bytes / 1e6:g} MB are read. {_TRY}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images; we refuse them ourselves
        _check(data, max_pixels)
        return _square(data, size)


def load(path: str | Path, size: int = 224, *, max_bytes: int = 10_000_000) -> Tensor:
    """The middle square of an image in a file of yours: for a lecture's parameter IMAGE.

    Args:
        path: of the file.
        size, max_bytes, what comes back: as in `read`.

    Raises:
        TypeError: path is no path.
        FileNotFoundError: there is no such file; says where it was looked for.
        IsADirectoryError: it is a folder.
        ValueError: as `read`, after the name of the file.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise TypeError(f"path is the path of an image file, as text, not {path!r}")
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path.absolute()} is a folder: give the path of an image file in it")
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path.absolute()}: give the path of a file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)  # never more: a path may lead to something without an end
    try:
        return read(data, size, max_bytes=max_bytes)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _check(data: bytes, max_pixels: int) -> None:
    """Refuse by the header alone, then by the check sums; no pixel is unpacked here."""
    from PIL import Image

    most = f"at most {max_pixels / 1e6:g} million are read. {_TRY}"
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height <= max_pixels:
                image.verify()
                return
    except Image.DecompressionBombError as error:  # Pillow's own limit, met before ours
        raise ValueError(f"the image has far too many pixels; {most}") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"this is no image of a known kind ({', '.join(FORMATS)}). {_TRY}") from error
    except Exception as error:
        raise _damaged(error) from error
    raise ValueError(f"the image has {width} x {height} = {width * height / 1e6:.0f} million pixels; {most}")


def _square(data: bytes, size: int) -> Tensor:
    """The middle square, upright, (1, 3, size, size) in [0, 1]; cut first, to save memory."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image)  # unpacks the first frame
            side = min(upright.size)
            left, top = (upright.width - side) // 2, (upright.height - side) // 2
            flat, white = _on_white(upright.crop((left, top, left + side, top + side)))
            # Pillow's resize widens its filter when it shrinks: no aliasing.
            array = np.array(flat.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    except Exception as error:  # the decoders raise a dozen kinds of error on damaged files
        raise _damaged(error) from error
    pixels = torch.from_numpy(array) / white
    pixels = pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels.expand(3, -1, -1)  # -> (3, size, size)
    return pixels[None].clamp(0, 1).contiguous()


def _on_white(image):
    """Any kind of Pillow image as RGB (white is 255) or float grey (white is 65535), on white paper."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, which convert("RGB") would cut off at 255
        return image.convert("I").convert("F"), 65535
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return image.convert("RGB"), 255


def _damaged(error: Exception) -> ValueError:
    return ValueError(f"the image is damaged or incomplete ({error}). Save it again, or take another. {_TRY}")
