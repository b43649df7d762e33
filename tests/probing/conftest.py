"""The networks of support/probed_nets.py as fixtures."""

import pytest
import torch
from probed_nets import SMALL, seeded, torchvision_net


@pytest.fixture(params=SMALL)
def small(request):
    return seeded(SMALL[request.param], torch.float64)


@pytest.fixture(scope="session", params=["alexnet", "vgg11", "resnet18", "squeezenet1_0", "googlenet"])
def large(request):
    model = torchvision_net(request.param)
    model.name = request.param
    return model
