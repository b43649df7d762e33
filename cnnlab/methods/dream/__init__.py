"""What does a unit look for? Images made for it, from noise or from a photo.

Type: (model, objective) -> Rendered. Objectives say what is to be large; they can be added and scaled.

>>> from cnnlab.nets import models
>>> result = render(models.load("photonet"), neuron("relu3", 7) - 0.5 * total_variation(), size=32, steps=3)
>>> result.stopped, len(result.history), tuple(result.images.shape)
('finished', 3, (1, 3, 32, 32))
"""

from cnnlab.methods.dream.deep_dream import deep_dream
from cnnlab.methods.dream.inversion import Inverted, invert
from cnnlab.methods.dream.objectives import (
    Objective,
    blur,
    channel,
    direction,
    diversity,
    l2,
    layer,
    logit,
    neuron,
    probability,
    total_variation,
)
from cnnlab.methods.dream.parametrisation import Fourier, Pixel
from cnnlab.methods.dream.render import Rendered, render
from cnnlab.methods.dream.semantic_dictionary import Grid, TopChannels, grid, top_channels
from cnnlab.methods.dream.superstimuli import ChannelImages, superstimuli
from cnnlab.methods.dream.transforms import Warp, jitter, pad, rotate, scale, standard

__all__ = [
    "ChannelImages",
    "Fourier",
    "Grid",
    "Inverted",
    "Objective",
    "Pixel",
    "Rendered",
    "TopChannels",
    "Warp",
    "blur",
    "channel",
    "deep_dream",
    "direction",
    "diversity",
    "grid",
    "invert",
    "jitter",
    "l2",
    "layer",
    "logit",
    "neuron",
    "pad",
    "probability",
    "render",
    "rotate",
    "scale",
    "standard",
    "superstimuli",
    "top_channels",
    "total_variation",
]
