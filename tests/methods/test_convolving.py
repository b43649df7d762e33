"""Convolutions of changes: every cell is that of the whole map, convolved by torch."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.methods import convolving, occlusion
from cnnlab.methods.patches import Patches
from cnnlab.methods.sliding import Kept


def whole_numbers(*shape, seed=0):
    """In them and their sums nothing is rounded, so right is equal."""
    given = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=given).double()


def patched(size, places, cells=(6, 7), channels=2):
    base = whole_numbers(1, channels, *cells)
    values = whole_numbers(len(places), channels, *size, seed=1)
    return Patches(base, values, *zip(*places, strict=True))


def convolved(x, weight, bias=None, **options):
    kept = Kept()
    kept.call(F.conv2d, [x.base])
    return convolving.conv2d(kept, F.conv2d, x, weight, bias, **options), kept


OPTIONS = {
    "padded": {"padding": 1},
    "valid": {},
    "named valid": {"padding": "valid"},
    "same": {"padding": "same"},
    "more padding than kernel": {"padding": (4, 3)},
    "dilated": {"padding": 2, "dilation": 2},
    "uneven": {"padding": (0, 2), "dilation": (2, 1)},
    "strided": {"padding": 1, "stride": 2},
    "strided along columns": {"stride": (1, 2)},
    "groups": {"padding": 1, "groups": 2},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 3), (1, 1)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_is_the_convolution_of_the_whole_maps(options, kernel):
    weight = whole_numbers(4, 2 // options.get("groups", 1), *kernel, seed=2)
    bias = whole_numbers(4, seed=3)
    for size in ((2, 3), (1, 1), (4, 5)):
        corners = [(i, j) for i in (0, 6 - size[0]) for j in (0, 7 - size[1])]
        for places in (corners, corners[:1], [(1, 1), (1, 1), (0, 2)]):
            x = patched(size, places)
            expected = F.conv2d(x.whole(), weight, bias, **options)
            before = x.base.clone(), x.values.clone()
            found, _ = convolved(x, weight, bias, **options)
            assert torch.equal(found.whole(), expected)
            assert torch.equal(found.base, F.conv2d(x.base, weight, bias, **options))
            assert torch.equal(x.base, before[0]) and torch.equal(x.values, before[1])


def test_only_the_cells_of_the_patch_count():
    weight = whole_numbers(3, 2, 3, 3)
    x = patched((2, 3), [(1, 2)] * 5)
    found, kept = convolved(x, weight, padding=1)
    assert found.size == (4, 5) and found.top == (0,) * 5 and found.left == (1,) * 5
    assert kept.products == 5 * 2 * 3 * weight.numel()
    found, kept = convolved(x, weight, padding=1, stride=2)  # windows begin at -1, 1, 3, 5
    assert found.size == (2, 2) and found.left == (1,) * 5
    assert kept.products == 5 * 2 * 2 * weight.numel()


def test_torch_is_given_the_change_alone():
    seen = []

    def spy(maps, *rest):
        seen.append(maps.clone())
        return F.conv2d(maps, *rest)

    x = patched((2, 2), [(1, 1), (2, 3)])
    kept = Kept()
    kept.call(spy, [x.base])
    _ = convolving.conv2d(kept, spy, x, whole_numbers(1, 2, 3, 3), padding=1).values
    at = [x.base[0, :, 1:3, 1:3], x.base[0, :, 2:4, 3:5]]
    assert [part.shape[0] for part in seen] == [1, 2] and torch.equal(seen[1], x.values - torch.stack(at))


def test_a_patch_that_is_most_of_the_map_is_run_whole():
    weight = whole_numbers(1, 2, 3, 3)
    for size, cells in (((5, 6), 30), ((6, 6), 42)):  # 30 and 36 of 42 are changed
        x = patched(size, [(0, 0)])
        found, kept = convolved(x, weight, padding=1)
        assert kept.products == cells * weight.numel()
        assert torch.equal(found.whole(), F.conv2d(x.whole(), weight, padding=1))


class Infinite(nn.Module):
    """Products of neighbours, as exp(sum(log)): the maps in between have infinite cells where x is 0."""

    def forward(self, x):
        logs = x.relu().log()
        return F.conv2d(logs, torch.ones(1, 1, 3, 3, dtype=x.dtype), padding=1).exp().mean(dim=(2, 3))


@pytest.mark.parametrize("fill", (0.0, 0.5))
def test_infinite_maps(fill):
    picture = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for dark in (False, True):
        if dark:
            picture[0, 0, 3:5, 2:8] = 0
        found = occlusion.scan(Infinite(), picture, window=2, stride=2, fill=fill, how="incremental")
        for row, col in itertools.product(range(5), repeat=2):
            covered = picture.clone()
            covered[..., 2 * row : 2 * row + 2, 2 * col : 2 * col + 2] = fill
            torch.testing.assert_close(found.outputs[row, col], Infinite()(covered)[0], rtol=1e-9, atol=0)
