"""Adam for gradient ascent, without torch.optim, which takes a second to import.

Paper: Kingma & Ba, Adam: a method for stochastic optimization, 2015.
"""

import torch
from torch import Tensor


class Adam:
    """Steps uphill whose length hardly depends on the gradient: mean gradient by the root of its mean square.

    torch.optim.Adam(maximize=True) does the same; to import it takes as long as to render a small image.
    """

    def __init__(self, parameters: Tensor, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)):
        self.parameters, self.learning_rate, self.betas, self.steps = parameters, learning_rate, betas, 0
        self.mean, self.square = torch.zeros_like(parameters), torch.zeros_like(parameters)

    def step(self, gradient: Tensor) -> None:
        """Change the parameters, in place."""
        first, second = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        # Both means start at zero, and are too small at first: by 1 - beta^steps.
        late = (1 - second**self.steps) ** 0.5
        size = self.square.sqrt().add_(1e-8 * late)
        self.parameters.addcdiv_(self.mean, size, value=self.learning_rate * late / (1 - first**self.steps))
