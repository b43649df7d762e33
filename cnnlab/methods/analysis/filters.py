"""What can be read off the weights of a first layer, without any image: is there structure, is there use?

Type: weight (F, C, K, K) -> one number per filter, or one per pair. In a trained filter neighbouring weights
are alike, and no two filters do the same. In an untrained one, or one that training spoilt, there is noise.
Papers: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, 2014 (dead filters seen in
AlexNet's first layer); J. Bigun, G. Granlund, Optimal orientation detection of linear symmetry, 1987.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def smoothness(weight: Tensor) -> Tensor:
    """How alike neighbouring weights are: 1 for slow waves and blobs, 0 for noise, -1 for a checkerboard.

    Args:
        weight: (F, C, K, K) with K >= 2.

    Returns:
        (F,) from -1 to 1: sum of 2ab over sum of a^2 + b^2, for all neighbours a, b of a kernel, about its
        mean. NaN for a filter whose kernels are constant: there is no structure to judge.

    Raises:
        ValueError: the weights have other axes, or kernels of a single number.
    """
    w = _kernels(weight, least=2)
    w = w - w.mean(dim=(2, 3), keepdim=True)
    pairs = [(w[..., :, 1:], w[..., :, :-1]), (w[..., 1:, :], w[..., :-1, :])]  # to the right, and below
    alike = sum((2 * a * b).sum(dim=(1, 2, 3)) for a, b in pairs)
    size = sum((a**2 + b**2).sum(dim=(1, 2, 3)) for a, b in pairs)
    return (alike / size.where(size > 1e-12 * weight.abs().max().double() ** 2, torch.nan)).to(weight.dtype)


def correlation(weight: Tensor) -> Tensor:
    """How alike each two filters are, whatever their strength.

    Args:
        weight: (F, C, K, K).

    Returns:
        (F, F), symmetric, from -1 (the negative) over 0 to 1 (the same up to strength and mean); NaN for a
        filter that is constant.
    """
    flat = _kernels(weight).flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    flat = flat / length.where(length > 1e-6 * weight.abs().max(), torch.nan)
    return (flat @ flat.T).clamp(-1, 1).to(weight.dtype)


def duplicates(weight: Tensor, above: float = 0.9) -> list[tuple[int, int]]:
    """Pairs of filters that do nearly the same.

    Args:
        weight: (F, C, K, K).
        above: the correlation from which a pair counts.

    Returns:
        (i, j) with i < j, the most alike first.
    """
    alike = correlation(weight).triu(diagonal=1).nan_to_num(0)
    found = [(i, j) for i, j in (alike > above).nonzero().tolist()]
    return sorted(found, key=lambda pair: -alike[pair].item())


def dead(weight: Tensor, below: float = 0.05) -> list[int]:
    """Filters that are so weak that they do next to nothing.

    Args:
        weight: (F, C, K, K).
        below: share of the strongest filter's length.

    Returns:
        Their numbers.
    """
    length = _kernels(weight).flatten(1).norm(dim=1)
    return ((length < below * length.max()) | (length == 0)).nonzero()[:, 0].tolist()


def orientation(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Along which direction the lines of a filter run, and how sure that is: by its gradient energy.

    The structure tensor adds up the outer products of the gradient. Its strongest direction points across
    the lines, so the lines run at a right angle to it.

    Args:
        weight: (F, C, K, K) with K >= 2. A filter's kernels are added up in energy, not in value.

    Returns:
        angle: (F,) in degrees, 0 to below 180, counter-clockwise from the horizontal: 45 is the line /.
        coherence: (F,) 1 for one direction only, 0 for none (a blob, or a constant filter).

    Raises:
        ValueError: the weights have other axes, or kernels of a single number.
    """
    w = _kernels(weight, least=2)
    x, y = w[..., :-1, 1:] - w[..., :-1, :-1], w[..., 1:, :-1] - w[..., :-1, :-1]  # to the right, downwards
    x, y = x + (w[..., 1:, 1:] - w[..., 1:, :-1]), y + (w[..., 1:, 1:] - w[..., :-1, 1:])
    y = -y  # upwards, as angles are counted
    xx, yy, xy = ((a * b).sum(dim=(1, 2, 3)) for a, b in ((x, x), (y, y), (x, y)))
    across = 0.5 * torch.atan2(2 * xy, xx - yy)
    angle = torch.rad2deg(across + math.pi / 2) % 180
    energy = xx + yy
    coherence = ((xx - yy) ** 2 + 4 * xy**2).sqrt() / energy.where(energy > 0, torch.inf)
    return angle.to(weight.dtype), coherence.to(weight.dtype)


def gabor(
    size: int, angle: float, wavelength: float, *, width: float | None = None, phase: float = 0
) -> Tensor:
    """A wave under a bell: what many first-layer filters look like, and cells of the visual cortex, too.

    Args:
        size: side of the kernel in pixels, odd or even.
        angle: along which its lines run, in degrees, counter-clockwise from the horizontal.
        wavelength: from one bright line to the next, in pixels.
        width: of the bell (standard deviation) in pixels; a fifth of the size if left out.
        phase: degrees; 0 has a bright line in the middle, 90 an edge.

    Returns:
        (size, size), at most 1, at least -1.

    Raises:
        ValueError: a size, wavelength or width that is not above zero.
    """
    width = size / 5 if width is None else width
    for name, value in (("size", size), ("wavelength", wavelength), ("width", width)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, but it is {value}")
    positions = torch.arange(size) - (size - 1) / 2
    up, right = -positions[:, None], positions[None, :]
    turn = math.radians(angle)
    across = up * math.cos(turn) - right * math.sin(turn)  # distance from the line through the middle
    bell = torch.exp(-(up**2 + right**2) / (2 * width**2))
    return bell * torch.cos(2 * math.pi * across / wavelength + math.radians(phase))


def nearest_gabor(kernel: Tensor) -> tuple[Tensor, float]:
    """The Gabor filter that is most like a kernel, found by trying many.

    Args:
        kernel: (K, K).

    Returns:
        the Gabor (K, K), with the strength and mean that bring it nearest to the kernel (weaker than the
        kernel, unless that is a Gabor itself), and its cosine similarity with the kernel, 0 to 1.

    Raises:
        ValueError: not a square kernel of at least 2x2.
    """
    if kernel.dim() != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) < 2:
        raise ValueError(f"a Gabor is fitted to one square kernel (K, K), K >= 2, not {tuple(kernel.shape)}")
    size = len(kernel)
    tried = torch.stack(
        [
            gabor(size, angle, wavelength, width=width, phase=phase)
            for angle in range(0, 180, 15)
            for wavelength in (size / 3, size / 2, size / 1.4, size, 1.5 * size)
            for width in (size / 6, size / 4, size / 2.5)
            for phase in range(0, 360, 45)
        ]
    ).to(kernel)
    tried = tried - tried.mean(dim=(1, 2), keepdim=True)
    plain = kernel - kernel.mean()
    alike = F.cosine_similarity(tried.flatten(1), plain.flatten()[None], dim=1)
    best = int(alike.argmax())
    strength = plain.norm() / tried[best].norm() * alike[best]
    return tried[best] * strength + kernel.mean(), alike[best].item()


def _kernels(weight: Tensor, least: int = 1) -> Tensor:
    """In float64 and without a graph, or a ValueError."""
    if weight.dim() != 4:
        raise ValueError(f"the weights of a convolution are (F, C, K, K), not {tuple(weight.shape)}")
    if min(weight.shape[2:]) < least:
        raise ValueError(
            f"kernels of {weight.shape[2]}x{weight.shape[3]} have no neighbours; {least}x{least} is needed"
        )
    if not weight.isfinite().all():
        raise ValueError("a weight is not finite (nan or inf): this network was spoilt in training")
    return weight.detach().double()
