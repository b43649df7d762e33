"""A defence that only looks like one: networks that hide their gradient, and how they are attacked anyway.

Type: model -> model. `fgsm` and `pgd` follow the gradient of the loss. Take it away, and they stay where they
are: the network seems safe. But the images that fool it are still there, as near as before. They are found
with another network's gradient (`transfer`), with that of a stand-in for the step that has none
(`straight_through=True`), or with a loss that does not go flat (`loss="log-odds"`).

Paper: Athalye, Carlini & Wagner, Obfuscated gradients give a false sense of security, 2018.
"""

from torch import Tensor, nn


class Quantised(nn.Module):
    """A network that sees its images in a few levels of grey: a step, whose gradient is zero everywhere.

    >>> import torch
    >>> Quantised(nn.Identity(), levels=3)(torch.tensor([0.1, 0.4, 0.9]))
    tensor([0.0000, 0.5000, 1.0000])

    Args:
        model: the network behind it.
        levels: of each colour, 2 or more.
        straight_through: on the way back, take the steps for a straight line (the attack that is called
            BPDA). The answers are the same.

    Raises:
        ValueError: fewer than two levels.

    Paper: Guo et al., Countering adversarial images using input transformations, 2018, is a real one of this
    kind; Athalye et al. broke it.
    """

    def __init__(self, model: nn.Module, *, levels: int = 8, straight_through: bool = False):
        super().__init__()
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
            raise ValueError(f"levels is a whole number, 2 or more, not {levels!r}")
        self.model, self.levels, self.straight_through = model, levels, straight_through
        self.classes = tuple(getattr(model, "classes", ()))
        self.input_size = getattr(model, "input_size", None)
        self.train(model.training)

    def forward(self, images: Tensor) -> Tensor:
        stepped = (images * (self.levels - 1)).round() / (self.levels - 1)
        if self.straight_through:  # the value of the one, the gradient of the other
            stepped = images + (stepped - images).detach()
        return self.model(stepped)


class Sharpened(nn.Module):
    """A network whose logits are multiplied: the same answers, all of them with a probability of 1.

    1 - p is a factor of the gradient of the cross-entropy. Here it is smaller than the smallest number there
    is, and the gradient with it: zero. "Defensive distillation" did this by training.

    Args:
        model: the network behind it.
        factor: by which its logits are multiplied.

    Raises:
        ValueError: a factor that is not above 0.

    Paper: Carlini & Wagner, Towards evaluating the robustness of neural networks, 2017.
    """

    def __init__(self, model: nn.Module, *, factor: float = 1000.0):
        super().__init__()
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
            raise ValueError(f"factor is a number above 0, not {factor!r}")
        self.model, self.factor = model, factor
        self.classes = tuple(getattr(model, "classes", ()))
        self.input_size = getattr(model, "input_size", None)
        self.train(model.training)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images) * self.factor
