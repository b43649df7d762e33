"""Buffers that move while a model is asked something: afterwards each is the tensor it was, as it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.probing import preserved

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor"),  # old networks still have such buffers
]


class Restless(nn.Module):
    """Its buffers move in every way that there is."""

    def __init__(self):
        super().__init__()
        self.register_buffer("in_place", torch.arange(6.0).view(2, 3))
        self.register_buffer("replaced", torch.tensor(3))
        self.register_buffer("made", None)
        self.register_buffer("doubles", torch.rand(4, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("turned", torch.rand(2, 3).T)
        self.register_buffer("still", torch.tensor([1.0, torch.nan]))
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("rows", torch.eye(3).to_sparse_csr())
        self.register_buffer("yes", torch.tensor([True, False]))
        self.register_buffer("untold", torch.arange(3))
        self.register_buffer("small", torch.quantize_per_tensor(torch.arange(3.0), 0.5, 0, torch.qint8))
        self.register_buffer(
            "large", torch.quantize_per_tensor(torch.arange(3.0) * 100, 100.0, 0, torch.qint8)
        )
        self.register_buffer("planes", self._planes(1.0))

    @staticmethod
    def _planes(k):
        scales, zeros = torch.tensor([0.5, 100.0]), torch.zeros(2, dtype=torch.int64)
        return torch.quantize_per_channel(torch.tensor([[k], [100 * k]]), scales, zeros, 0, torch.qint8)

    def forward(self, x):
        self.in_place += 1
        self.replaced = self.replaced + 1
        self.made = torch.ones(2)
        self.doubles[2] = 7
        self.turned[0] = -1
        self.sparse.mul_(2)
        self.yes.logical_not_()
        self.untold.data += 1  # the counter of versions does not see this
        self.small.copy_(torch.zeros(3))
        self.large.copy_(torch.zeros(3))
        self.planes.copy_(self._planes(2.0))
        variance = torch.ones(3)
        return F.batch_norm(x, self.mean, variance, training=True)  # nor this


def looked_at(model):
    return {
        name: None if buffer is None else (id(buffer), _plain(buffer).clone())
        for name, buffer in model._buffers.items()
    }


def _plain(buffer):
    return buffer.dequantize() if buffer.is_quantized else buffer.to_dense()


@pytest.mark.parametrize("fails", (False, True))
def test_each_buffer_is_as_before(fails):
    model, x = nn.Sequential(Restless(), nn.BatchNorm2d(3)), torch.rand(2, 3, 4, 4)
    before = looked_at(model[0]), looked_at(model[1])
    try:
        with preserved(model, grad=False):
            model(x)
            moved = looked_at(model[0])
            if fails:
                raise KeyError("in the block")
    except KeyError:
        assert fails
    for part, old in zip(model, before, strict=True):
        now = looked_at(part)
        assert now.keys() == old.keys()
        for name, was in old.items():
            if was is None:
                assert now[name] is None
                continue
            assert now[name][0] == was[0] and torch.equal(now[name][1].nan_to_num(5), was[1].nan_to_num(5))
    still = {"still", "rows"}
    for name, was in before[0].items():
        if name not in still and was is not None:
            assert not torch.equal(moved[name][1], was[1]), name  # so the test can fail


def test_a_buffer_that_does_not_move_is_not_written():
    """The way back of a pass of the caller's may still need it as it was: torch counts writes."""
    model, x = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), Restless()).eval(), torch.rand(1, 2, 3, 3)
    model[2].forward = lambda x: x + model[2].in_place.add_(1).sum()
    score = model[:2](x).sum()
    versions = [buffer._version for buffer in model[1].buffers()]
    with preserved(model, grad=False):
        model(x)
    assert versions == [buffer._version for buffer in model[1].buffers()]
    score.backward()
    assert torch.equal(model[2].in_place, torch.arange(6.0).view(2, 3))
