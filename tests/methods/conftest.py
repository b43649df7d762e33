"""What the tests of attacks are tried on: a network of digits, and digits that it has not seen."""

import pytest

from cnnlab.data import digits
from cnnlab.nets import models


@pytest.fixture(scope="module")
def net():
    return models.load("simpleconvnet")


@pytest.fixture(scope="module")
def data():
    found = digits.load("test")
    return found._replace(images=found.images[:40], labels=found.labels[:40])
