"""The four widgets of lecture 01: a scan in slow motion, a kernel to edit, a blur, and the size of a map.

Each is a plain view function, values -> pictures, and a range for every value.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing.raster import pixels
from cnnlab.nets import kernels, layers
from cnnlab.widgets import ImageInput, Matrix, explore

_SIDE = 8  # pixels of the picture that is scanned in slow motion: numbers must stay readable


def scan():
    """A window moves over 8x8 pixels; the products and their sum are shown for every position."""
    last = (_SIDE - 2) ** 2 - 1
    return explore(
        scan_view,
        title="One position after the other",
        position=(0, last),
        kernel=kernels.names(),
        image=list(_small_images()),
        start={"kernel": "sobel x", "position": 14},
        alt="the scan",
    )


def scan_view(position: int, kernel: str, image: str) -> dict:
    """The window at one position: picture with frame, products, and the map so far.

    Args:
        position: 0 to 35, counted row by row.
        kernel: the name of a classic 3x3 kernel.
        image: the name of one of the small pictures.

    Returns:
        Captioned tables of numbers; cells of the map that are not reached yet are empty.
    """
    weight = kernels.load(kernel)
    x = _small_images()[image]()  # (8, 8)
    y = layers.conv2d(x[None, None], weight[None, None])[0, 0]  # (6, 6)
    row, column = divmod(position, y.shape[1])
    window = x[row : row + 3, column : column + 3]
    strongest = weight.abs().max().item()  # pixels lie in [0, 1]: no product is larger
    most = max(y.abs().max().item(), 1e-6)  # of the whole map: colours must not change while it fills
    so_far = y.clone()
    so_far.flatten()[position + 1 :] = float("nan")
    total = (window * weight).sum().item()
    return {
        "picture x": pixels.numbers(x, highlight=(row, column, 3, 3), limits=(0, 1)),
        "window": pixels.numbers(window, limits=(0, 1)),
        "times kernel w": pixels.numbers(weight, is_signed=True, limits=(-strongest, strongest)),
        "products": pixels.numbers(window * weight, is_signed=True, limits=(-strongest, strongest)),
        "map y": pixels.numbers(so_far, highlight=(row, column, 1, 1), is_signed=True, limits=(-most, most)),
        "": f"y[{row}, {column}] = sum of the nine products = {total:.2f}",
    }


def kernel_editor():
    """Edit a kernel of 3x3 to 7x7 numbers, number by number, and see what it does to a photo."""
    presets = {name: {"kernel": kernels.load(name)} for name in kernels.names()}
    presets["gaussian 5x5"] = {"kernel": kernels.gaussian(1.0, 5)}
    presets["gaussian 7x7"] = {"kernel": kernels.gaussian(1.5, 7)}
    return explore(
        kernel_view,
        title="Edit the kernel",
        kernel=Matrix(min_size=3, max_size=7, value=kernels.load("outline")),
        bias=(-1.0, 1.0, 0.05),
        relu=False,
        photo=ImageInput(tuple(photos.names()), size=256),
        presets=presets,
        start={"bias": 0.0},
        alt="the photo and its feature map",
    )


def kernel_view(kernel: Tensor, bias: float, relu: bool, photo: Tensor) -> dict:
    """A photo and its feature map.

    Args:
        kernel: (k, k), any k that fits into the photo.
        bias: added to every number of the map.
        relu: whether negative numbers are set to zero.
        photo: (1, 3, H, W) in [0, 1]; it is averaged to grey.

    Returns:
        The grey photo and the map. A kernel that keeps the brightness (sum 1) gives a photo again; any other
        gives signed numbers, zero drawn white, red above and blue below.
    """
    kernel = torch.as_tensor(kernel, dtype=torch.float32)
    grey = photo.mean(dim=1, keepdim=True)  # (1, 1, H, W)
    same = F.pad(grey, (kernel.shape[1] // 2,) * 2 + (kernel.shape[0] // 2,) * 2, mode="replicate")
    y = F.conv2d(same, kernel[None, None]) + bias  # torch's own: the same numbers, and fast enough to drag
    if relu:
        y = layers.relu(y)
    total = kernel.sum().item()
    keeps_brightness = abs(total - 1) < 0.01
    # A few strong edges would leave the others pale: the scale ends where half a percent lies beyond.
    limit = max(y.abs().flatten().quantile(0.995).item(), 1e-6)
    drawn = pixels.grey(y[0, 0].clamp(0, 1)) if keeps_brightness else pixels.signed(y[0, 0], limit=limit)
    scale = "drawn as a photo: black is 0 and below, white is 1 and above"
    if not keeps_brightness:
        scale = f"full red from +{limit:.2g} on, full blue from -{limit:.2g}"
    return {
        "photo": pixels.grey(grey[0, 0]),
        "feature map": drawn,
        "": f"the kernel sums to {total:.2f}; the map goes from {y.min():.2f} to {y.max():.2f} ({scale})",
    }


def blur():
    """A Gaussian blur by its width, and what it takes away."""
    return explore(
        blur_view,
        title="Blur",
        sigma=(0.3, 6.0, 0.1),
        photo=ImageInput(tuple(photos.names()), size=256),
        start={"sigma": 1.5},
        alt="the photo, its blur and the difference",
    )


def blur_view(sigma: float, photo: Tensor) -> dict:
    """A photo, its blur, and their difference.

    Args:
        sigma: width of the bell in pixels, above 0.
        photo: (1, 3, H, W) in [0, 1].

    Returns:
        Photo, blurred photo, their difference on the scale -0.2 to 0.2, and the kernel.
    """
    kernel = kernels.gaussian(sigma)
    reach = kernel.shape[0] // 2
    # A Gaussian is a column times a row: two thin convolutions give the same as one square one, for less.
    bell = kernel.sum(dim=0)  # (k,)
    wide = F.pad(photo, (reach,) * 4, mode="replicate").transpose(
        0, 1
    )  # (3, 1, H+2r, W+2r): colours one by one
    blurred = F.conv2d(F.conv2d(wide, bell[None, None, None, :]), bell[None, None, :, None]).transpose(0, 1)
    return {
        "photo": pixels.grey(photo[0]),
        "blurred": pixels.grey(blurred[0].clamp(0, 1)),
        "photo - blurred (-0.2 to 0.2)": pixels.signed((photo - blurred)[0].mean(dim=0), limit=0.2),
        "kernel": pixels.magnitude(kernel),
        "": f"kernel {kernel.shape[0]}x{kernel.shape[0]}, its largest weight is {kernel.max():.3f}",
    }


def geometry():
    """Padding, stride, dilation: which pixels a number of the map sees, and how many numbers there are."""
    return explore(
        geometry_view,
        title="Padding, stride, dilation",
        pixels_per_side=(4, 10),
        kernel_size=(1, 5),
        padding=(0, 3),
        stride=(1, 4),
        dilation=(1, 3),
        position=(0, 99),
        tops=_last_position,
        start={"pixels_per_side": 7, "kernel_size": 3},
        presets={
            "plain": {"padding": 0, "stride": 1, "dilation": 1},
            "same size": {"kernel_size": 3, "padding": 1, "stride": 1, "dilation": 1},
            "half size": {"kernel_size": 3, "padding": 1, "stride": 2, "dilation": 1},
            "dilated": {"kernel_size": 3, "padding": 2, "stride": 1, "dilation": 2},
        },
        alt="the picture with its border, and the map",
    )


def geometry_view(
    pixels_per_side: int, kernel_size: int, padding: int, stride: int, dilation: int, position: int
) -> dict:
    """The padded picture with the pixels that one position of the kernel touches, and the map.

    Args:
        pixels_per_side, kernel_size, padding, stride, dilation: as in the formula for the output size.
        position: which number of the map is computed, counted row by row from 0.

    Returns:
        Two grids and the formula with its numbers. A kernel that does not fit gives a sentence that says so.
    """
    n, p = pixels_per_side, padding
    reach = dilation * (kernel_size - 1) + 1
    image = torch.zeros(n + 2 * p, n + 2 * p)
    image[p : p + n, p : p + n] = 0.35  # pixels; the border of padding stays 0
    if reach > n + 2 * p:
        return {
            "picture (the border is padding)": pixels.cells(image),
            "map": pixels.cells(torch.zeros(1, 1)),
            "": f"The kernel reaches over {dilation}*({kernel_size}-1)+1 = {reach} pixels, of {n + 2 * p} "
            "that are there: it does not fit. Add padding, or take a smaller kernel or dilation.",
        }
    side = layers.output_size(n, kernel_size, stride=stride, padding=p, dilation=dilation)
    row, column = divmod(position, side)
    if not 0 <= position < side**2:
        raise ValueError(f"the positions of this map are 0 to {side**2 - 1}, not {position}")
    down = torch.arange(kernel_size) * dilation + row * stride
    across = torch.arange(kernel_size) * dilation + column * stride
    image[down[:, None], across] = 1.0
    feature_map = torch.full((side, side), 0.35)
    feature_map[row, column] = 1.0
    drawn = pixels.cells(image, highlight=(p, p, n, n))
    # On a page as large as the picture's, so that the page enlarges both alike: cells are of one size.
    small = np.full_like(drawn, 255)
    cells = pixels.cells(feature_map)
    small[: len(cells), : len(cells)] = cells
    formula = f"floor(({n} + 2*{p} - {dilation}*({kernel_size}-1) - 1) / {stride}) + 1 = {side}"
    reached = f"{reach} pixel" if reach == 1 else f"{reach} pixels"
    return {
        "picture (the border is padding)": drawn,
        "map": small,
        "": f"positions along a side: {formula}. The kernel reaches over {reached}.",
    }


def _last_position(held: dict) -> dict[str, int]:
    """How far the slider for the position goes: the map has only so many numbers."""
    n, padding, stride = held["pixels_per_side"], held["padding"], held["stride"]
    reach = held["dilation"] * (held["kernel_size"] - 1) + 1
    side = max(
        1, (n + 2 * padding - reach) // stride + 1
    )  # where the kernel does not fit: one, and a sentence
    return {"position": side**2 - 1}


def _small_images() -> dict:
    """Pictures of 8x8 grey pixels by name; each is made when it is asked for."""

    def photo():
        return F.interpolate(
            photos.load("cat", size=96).mean(1, keepdim=True), size=(_SIDE, _SIDE), mode="area"
        )[0, 0]

    def edge():
        return (torch.arange(_SIDE) >= 4).float().expand(_SIDE, _SIDE).clone()

    def cross():
        x = torch.zeros(_SIDE, _SIDE)
        x[3], x[:, 4] = 1.0, 1.0
        return x

    return {"a cross": cross, "an edge": edge, "a tiny photo": photo}
