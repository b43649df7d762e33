"""Adam for gradient ascent, without torch.optim: importing that takes a second.

Paper: Kingma & Ba, Adam: a method for stochastic optimization, 2015.
"""

import torch
from torch import Tensor


class Adam:
    """Steps uphill whose length hardly depends on the slope: mean slope by the root of its mean square.

    torch.optim.Adam(maximize=True) does the same; to import it takes as long as to render a small picture.
    """

    def __init__(self, numbers: Tensor, rate: float, betas: tuple[float, float] = (0.9, 0.999)):
        self.numbers, self.rate, self.betas, self.steps = numbers, rate, betas, 0
        self.mean, self.square = torch.zeros_like(numbers), torch.zeros_like(numbers)

    def step(self, slope: Tensor) -> None:
        """Change the numbers, in place."""
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(slope, 1 - first)
        self.square.mul_(second).addcmul_(slope, slope, value=1 - second)
        # Both means start at zero, and are too small at first: by 1 - beta^steps, which goes into the rate.
        late = (1 - second**self.steps) ** 0.5
        size = self.square.sqrt().add_(1e-8 * late)
        self.numbers.addcdiv_(self.mean, size, value=self.rate * late / (1 - first**self.steps))
