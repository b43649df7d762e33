"""Networks of every build that a student may bring, and the whole state that a call must leave as it was."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def seeded(make, dtype=torch.float32):
    """make() with seeded weights, in eval mode; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().to(dtype)
        for module in model.modules():  # batch norm that does something
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


def sequential(relu=lambda: nn.ReLU(), channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        relu(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        relu(),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 12),
        relu(),
        nn.Linear(12, 5),
    )


class Functional(nn.Module):
    """The weights of `sequential`, its ReLUs called as functions; `how` names the call."""

    CALLS = {
        "F.relu": F.relu,
        "F.relu in place": lambda x: F.relu(x, inplace=True),
        "F.relu_": F.relu_,
        "positional": lambda x: F.relu(x, True),
        "torch.relu": torch.relu,
        "torch.relu_": torch.relu_,
        "Tensor.relu": lambda x: x.relu(),
        "Tensor.relu_": lambda x: x.relu_(),
        "result unused": lambda x: (x.relu_(), x)[1],
        "aten": torch.ops.aten.relu,
    }

    def __init__(self, how="F.relu"):
        super().__init__()
        parts = sequential()
        self.conv1, self.conv2, self.fc1, self.fc2 = parts[0], parts[3], parts[6], parts[8]
        self.how = how

    def forward(self, x):
        relu = self.CALLS[self.how]
        x = F.max_pool2d(relu(self.conv1(x)), 2)
        x = relu(self.conv2(x)).flatten(1)
        return self.fc2(relu(self.fc1(x)))


class Residual(nn.Module):
    """One shared ReLU (in place), BatchNorm, a sum, a concatenation, overlapping pools."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv3 = nn.Conv2d(12, 4, (1, 3))
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(x + self.bn2(self.conv2(x)))
        x = self.pool(torch.cat([x, F.max_pool2d(x, 3, 1, 1)], 1))
        return self.fc(self.relu(self.conv3(x)).mean((2, 3)))


def one_relu_for_all():
    shared = nn.ReLU()
    return sequential(lambda: shared)


SMALL = {
    "sequential": sequential,
    "in place": lambda: sequential(lambda: nn.ReLU(inplace=True)),
    "shared": one_relu_for_all,
    "residual": Residual,
    **{how: (lambda how=how: Functional(how)) for how in Functional.CALLS},
}


def torchvision_net(name):
    from torchvision import models

    options = {"init_weights": False} if name == "googlenet" else {}
    return seeded(lambda: getattr(models, name)(weights=None, **options))


def random_image(size=16, n=1, channels=3, dtype=torch.float64, seed=0):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def state(model, *tensors):
    """Everything that a call must leave as it was, as one comparable value."""
    hooks = [key for key in vars(nn.Module()) if "hook" in key]
    modules = []
    for name, module in model.named_modules():
        own = {
            key: tuple(map(id, vars(module)[key].values()))
            if hasattr(vars(module)[key], "values")
            else vars(module)[key]
            for key in hooks
        }
        modules.append(
            (name, id(module), module.training, sorted(vars(module)), sorted(own.items(), key=str))
        )
    weights = [
        (name, id(p), p.requires_grad, p._version, p.grad is None) for name, p in model.named_parameters()
    ]
    buffers = [(name, b._version, float(b.double().sum())) for name, b in model.named_buffers()]
    given = [(t._version, t.requires_grad, t.grad is None, float(t.detach().double().sum())) for t in tensors]
    chance = (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))
    modes = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.overrides._get_current_function_mode(),
    )
    return modules, weights, buffers, given, chance, modes
