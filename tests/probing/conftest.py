"""The networks of probed_nets.py as fixtures; the path is set so that tests can import that file."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from probed_nets import SMALL, seeded, torchvision_net  # noqa: E402


@pytest.fixture(params=SMALL)
def small(request):
    return seeded(SMALL[request.param], torch.float64)


@pytest.fixture(scope="session", params=["alexnet", "vgg11", "resnet18", "squeezenet1_0", "googlenet"])
def large(request):
    model = torchvision_net(request.param)
    model.name = request.param
    return model
