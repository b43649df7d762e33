"""Other views of the same image: moved, turned, enlarged, mirrored, in another light.

Type: (images (N, C, H, W), generator) -> images of the same shape. The label stays, so a network learns
that these changes do not matter. Every function draws from the generator alone, never from the global state.
Paper: P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks, ICDAR 2003.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

Augmentation = Callable[[Tensor, Generator], Tensor]


def geometric(
    *, shift: float = 0, rotate: float = 0, scale: tuple[float, float] = (1, 1), flip: bool = False
) -> Augmentation:
    """Each image is moved, turned and enlarged by amounts of its own; the border is mirrored.

    Args:
        shift: pixels at most, in each direction.
        rotate: degrees at most, to either side.
        scale: (low, high); 1.2 enlarges by a fifth. Drawn so that halving is as likely as doubling.
        flip: mirror every other image, left and right.

    Raises:
        ValueError: a negative amount, or scales that are not 0 < low <= high.

    >>> still = geometric()
    >>> image = torch.rand(1, 3, 8, 8)
    >>> torch.allclose(still(image, Generator()), image, atol=1e-5)
    True
    """
    low, high = scale
    if not (shift >= 0 and rotate >= 0 and 0 < low <= high):
        raise ValueError(
            f"shift and rotate are at least 0, scale is (low, high) above 0, not {shift}, {rotate}, {scale}"
        )

    def augment(images: Tensor, generator: Generator) -> Tensor:
        n, _, rows, columns = images.shape

        def draw(most):
            return (torch.rand(n, generator=generator) * 2 - 1) * most

        angle = draw(math.radians(rotate))
        size = torch.exp(
            torch.rand(n, generator=generator) * math.log(high / low) + math.log(low)
        )  # (N,) enlarged by this
        side = torch.where(torch.rand(n, generator=generator) < 0.5 * flip, -1.0, 1.0)
        cos, sin, wide = angle.cos() / size, angle.sin() / size, rows / columns
        right, down = draw(2 * shift / columns) / size, draw(2 * shift / rows) / size
        # grid_sample counts both sides from -1 to 1: in a wide image a turn must not shear.
        top = torch.stack([cos * side, -sin * wide, right], 1)
        bottom = torch.stack([sin * side / wide, cos, down], 1)
        matrix = torch.stack([top, bottom], 1).to(images)  # (N, 2, 3): where in the old image to look
        grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
        return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    return augment


def photometric(
    *, brightness: float = 0, contrast: float = 0, saturation: float = 0, noise: float = 0
) -> Augmentation:
    """Each image in another light: brighter or darker, flatter, paler, with grain.

    Args:
        brightness: added to all pixels, at most this much up or down, in units of the range [0, 1].
        contrast: distances from the image's mean are multiplied by 1 - contrast to 1 + contrast.
        saturation: the same for distances from the pixel's own grey.
        noise: standard deviation of grain, drawn anew for every pixel.

    Returns:
        A function whose images stay in [0, 1].

    Raises:
        ValueError: an amount outside [0, 1].
    """
    given = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "noise": noise}
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} goes from 0 to 1, but it is {value}")

    def augment(images: Tensor, generator: Generator) -> Tensor:
        def draw(most):
            return (torch.rand(len(images), 1, 1, 1, generator=generator).to(images) * 2 - 1) * most

        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * (1 + draw(saturation))
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * (1 + draw(contrast)) + draw(brightness)
        if noise:
            images = images + noise * torch.randn(images.shape, generator=generator).to(images)
        return images.clamp(0, 1)

    return augment


def compose(*steps: Augmentation) -> Augmentation:
    """One after the other."""

    def augment(images: Tensor, generator: Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return augment
