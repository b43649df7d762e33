"""Functions that an exercise hands to an answer, and that can be read in a message."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Score:
    """A function of a picture that can be read: it is shown where an answer is wrong."""

    text: str
    function: Callable = field(compare=False)
    name: str = "score"

    def __call__(self, image):
        return self.function(image)

    def __repr__(self):
        return f"{self.name} = {self.text}"


# Small functions that one can differentiate in one's head, and one network.


def linear(weight):
    return Score(f"(image * {weight.tolist()}).sum()", lambda image: (weight * image).sum())


SQUARE = Score("(image ** 2).sum()", lambda image: (image**2).sum())
PRODUCT = Score("the product of all pixels", lambda image: image.flatten(1).prod(dim=1).sum())


def small_net(seed=0):
    seeded = torch.Generator().manual_seed(seed)
    first, last = torch.randn(4, 2, 3, 3, generator=seeded), torch.randn(4, generator=seeded)

    def run(image):
        maps = F.conv2d(image, first, padding=1).relu()
        return (maps.mean(dim=(2, 3)) @ last).tanh().sum()

    return Score("a small network", run)
