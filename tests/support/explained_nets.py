"""Networks with known answers, for the tests of saliency."""

import torch
from probed_nets import SMALL, seeded
from torch import nn


class Formula(nn.Module):
    """Logits (N, 2): a function of the flat image (N, C*H*W), and zero."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        score = self.function(x.flatten(1))
        return torch.stack([score, torch.zeros_like(score)], dim=1)


def ends_in_a_mean(bias=True):
    """conv, ReLU, conv, ReLU, global mean, dense."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5, bias=bias),
        ),
        torch.float64,
    )


def without_bias(name):
    """A network of probed_nets.py without any bias."""
    model = seeded(SMALL[name], torch.float64)
    for part in model.modules():
        if getattr(part, "bias", None) is not None:
            part.bias.data.zero_()
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.zero_()
    return model


class Views(nn.Module):
    """Flattens with Tensor.view, which cannot take images whose channels lie side by side."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 14 * 14, 5)

    def forward(self, x):
        h = torch.relu(self.conv(x))
        return self.fc(h.view(len(h), 4 * 14 * 14))


class CutShort(nn.Module):
    """A network whose n-th pass ends with Ctrl+C."""

    def __init__(self, model, n):
        super().__init__()
        self.model, self.n, self.count = model, n, [0]

    def forward(self, x):
        self.count[0] += 1
        if self.count[0] == self.n:
            raise KeyboardInterrupt
        return self.model(x)


AWKWARD = {**SMALL, "views": Views}


def awkward(name, dtype=torch.float64):
    return seeded(AWKWARD[name], dtype)


def pixels(*values):
    """An image (1, 1, 1, n) of these numbers."""
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)
