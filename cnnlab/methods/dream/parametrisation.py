"""Which numbers is an image made of? Pixels, or waves; colours as they are, or those that photos mix.

Type: numbers -> image (B, C, H, W) in [0, 1], differentiable, and back. To climb by one's gradient is to
climb by different steps in each: the pixels of a photo move together, and so do its colours. In waves scaled
by 1 / frequency, and in colours along the axes in which those of photos vary, steps are as photos vary.

Paper: Olah, Mordvintsev & Schubert, Feature visualization, Distill 2017 (preconditioning).
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnlab.errors import unknown

# Covariance of red, green, blue over the colour photos of cnnlab.data, each around its own mean.
COVARIANCE = ((0.0707, 0.0464, 0.0365), (0.0464, 0.0434, 0.0399), (0.0365, 0.0399, 0.0419))
_DARKEST = 1 / 512  # the sigmoid reaches neither 0 nor 1


@dataclass(frozen=True)
class Pixel:
    """Every pixel a number of its own, through a sigmoid.

    Attributes:
        decorrelate: along the axes of photos' colours instead of red, green and blue.
        noise: the deviation of the numbers at the start.
    """

    decorrelate: bool = False
    noise: float = 0.3

    def start(self, n_images: int, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        """Numbers of a noisy image. The first images do not depend on how many there are."""
        # One at a time: how torch fills a tensor depends on its size.
        return torch.stack([self.noise * _random(shape, generator) for _ in range(n_images)])

    def from_image(self, image: Tensor) -> Tensor:
        """Those of a given image (B, C, H, W), to within 1/512 of its pixels."""
        return _from_rgb(image, self.decorrelate)

    def to_image(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """numbers -> (B, C, H, W) in [0, 1], of this size."""
        return _to_rgb(parameters.view(*parameters.shape[:2], *size), self.decorrelate)

    def backward(self, gradient: Tensor, image: Tensor) -> Tensor:
        """Chain rule, by hand: the gradient at the pixels -> the gradient at the parameters."""
        return _to_rgb_backward(gradient, image, self.decorrelate)


@dataclass(frozen=True)
class Fourier:
    """Waves: the numbers are the spectrum times its frequency, so a slow wave moves in wide steps.

    Attributes:
        decay_power: the power of the frequency; 0 treats all waves alike, 1 as photos do.
        decorrelate: along the axes of photos' colours instead of red, green and blue.
        noise: the deviation of the numbers at the start: 0.5 is soft coloured clouds. From 0.01, nearly grey,
            units that wait for something bright or coloured often never wake.
    """

    decay_power: float = 1.0
    decorrelate: bool = True
    noise: float = 0.5

    def start(self, n_images: int, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        """Numbers of an image of soft clouds: (B, C, H, W // 2 + 1, 2)."""
        channels, height, width = shape
        waves = (channels, height, width // 2 + 1, 2)
        return torch.stack([self.noise * _random(waves, generator) for _ in range(n_images)])

    def from_image(self, image: Tensor) -> Tensor:
        """Those of a given image (B, C, H, W), to within 1/512 of its pixels."""
        flat = _from_rgb(image, self.decorrelate)
        waves = torch.fft.rfft2(flat, norm="ortho") / self._steps(image.shape[-2:], flat)
        return torch.view_as_real(waves).clone()

    def to_image(self, parameters: Tensor, size: tuple[int, int]) -> Tensor:
        """numbers -> (B, C, H, W) in [0, 1], of this size."""
        waves = torch.view_as_complex(parameters) * self._steps(size, parameters)
        return _to_rgb(torch.fft.irfft2(waves, s=size, norm="ortho"), self.decorrelate)

    def backward(self, gradient: Tensor, image: Tensor) -> Tensor:
        """Chain rule, by hand: the gradient at the pixels -> the gradient at the parameters.

        (Autograd finds the same in four times the time: a sixth of a whole step of a small network.)
        """
        flat = _to_rgb_backward(gradient, image, self.decorrelate)
        waves = torch.fft.rfft2(flat, norm="ortho") * self._steps(image.shape[-2:], flat, twice=True)
        return torch.view_as_real(waves)

    def _steps(self, size: tuple[int, int], like: Tensor, *, twice: bool = False) -> Tensor:
        """(H, W // 2 + 1): how far each wave moves for a step of one number; a wave and its mirror image."""
        return _steps(self.decay_power, *size, twice, like.dtype, like.device)


@functools.lru_cache(maxsize=16)
def _steps(
    decay_power: float, height: int, width: int, twice: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    with torch.inference_mode(False):  # it is kept, also for callers who need gradients
        down = torch.fft.fftfreq(height, dtype=dtype, device=device)[:, None]
        across = torch.fft.rfftfreq(width, dtype=dtype, device=device)
        frequency = (down.square() + across.square()).sqrt()  # cycles per pixel
        steps = frequency.clamp(min=1 / max(height, width)) ** -decay_power / 4
        if twice:  # a stored wave stands for two, but in the columns that hold their own mirror images
            steps[:, 1 : (width + 1) // 2] *= 2
        return steps


NAMED = {"fourier": Fourier(), "pixel": Pixel()}


def get_parametrisation(parametrisation: str | Pixel | Fourier) -> Pixel | Fourier:
    """A parametrisation by its name, or itself.

    >>> get_parametrisation("pixel")
    Pixel(decorrelate=False, noise=0.3)
    """
    if isinstance(parametrisation, Pixel | Fourier):
        return parametrisation
    if parametrisation not in NAMED:
        raise unknown("parametrisation", parametrisation, NAMED)
    return NAMED[parametrisation]


def colour_axes() -> Tensor:
    """(3, 3): a root A of the photos' covariance, A A' ~ covariance; the longest column has length 1."""
    covariance = torch.tensor(COVARIANCE, dtype=torch.float64)
    axes, spread, _ = torch.linalg.svd(covariance)
    root = axes * spread.sqrt()
    root = root * root.sum(dim=0).sign()  # of the two signs of an axis, towards white
    return root / root.norm(dim=0).max()


def _axes(like: Tensor) -> Tensor:
    return _cached_axes(like.dtype, like.device)


@functools.cache
def _cached_axes(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return colour_axes().to(device, dtype)


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The same numbers whatever torch's default type is."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def _to_rgb(flat: Tensor, decorrelate: bool) -> Tensor:
    if decorrelate and flat.shape[1] == 3:
        flat = (_axes(flat) @ flat.flatten(2)).view_as(flat)
    return flat.sigmoid()


def _to_rgb_backward(gradient: Tensor, image: Tensor, decorrelate: bool) -> Tensor:
    flat = torch.ops.aten.sigmoid_backward(gradient, image)  # gradient * y * (1 - y)
    if decorrelate and flat.shape[1] == 3:
        flat = (_axes(flat).T @ flat.flatten(2)).view(flat.shape)
    return flat


def _from_rgb(image: Tensor, decorrelate: bool) -> Tensor:
    flat = image.clamp(_DARKEST, 1 - _DARKEST).logit()
    if decorrelate and flat.shape[1] == 3:
        flat = (_axes(flat).inverse() @ flat.flatten(2)).view_as(flat)
    return flat
