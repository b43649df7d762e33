"""What does a unit look for? Pictures made for it, from noise or from a photo: the methods, by one door.

Type: (model, objective) -> Rendered. An objective says what is to be large; it adds, scales and prints.

>>> from cnnlab.nets import models
>>> found = render(models.load("photonet"), neuron("relu3", 7) - 0.5 * total_variation(), size=32, steps=3)
>>> found.stopped, len(found.history), tuple(found.pictures.shape)
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
from cnnlab.methods.dream.semantic_dictionary import Grid, Spelled, grid, spelled
from cnnlab.methods.dream.superstimuli import Icons, superstimuli
from cnnlab.methods.dream.transforms import Warp, jitter, pad, rotate, scale, standard

__all__ = [
    "Fourier",
    "Grid",
    "Icons",
    "Inverted",
    "Objective",
    "Pixel",
    "Rendered",
    "Spelled",
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
    "spelled",
    "standard",
    "superstimuli",
    "total_variation",
]
