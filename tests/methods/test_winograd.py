"""Winograd's convolution against torch's, and against the same sum by loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.methods import occlusion, winograd


def made(dtype=torch.float64, **sizes):
    """Maps, weights and bias of these sizes."""
    generator = torch.Generator().manual_seed(0)
    n, c, k = sizes.get("n", 3), sizes.get("c", 5), sizes.get("k", 7)
    maps = torch.randn(n, c, *sizes.get("size", (9, 11)), generator=generator, dtype=torch.float64)
    weight = torch.randn(k, c, 3, 3, generator=generator, dtype=torch.float64)
    return (
        maps.to(dtype),
        weight.to(dtype),
        torch.randn(k, generator=generator, dtype=torch.float64).to(dtype),
    )


@pytest.mark.parametrize("size", ((3, 3), (4, 4), (6, 6), (7, 5), (8, 13), (1, 9)))
@pytest.mark.parametrize("padding", ((0, 0), (1, 1), (2, 0), (0, 3)))
@pytest.mark.parametrize("biased", (True, False))
def test_it_is_the_convolution(size, padding, biased):
    if min(s + 2 * p for s, p in zip(size, padding, strict=True)) < 3:
        padding = (1, 1)  # so that a window of three cells fits
    maps, weight, bias = made(size=size)
    bias = bias if biased else None
    found = winograd.conv3x3(maps, weight, bias, padding)
    torch.testing.assert_close(found, F.conv2d(maps, weight, bias, padding=padding), rtol=0, atol=1e-12)


def test_a_row_of_four_by_hand():
    # 1, 2, 3 slide over 1, 0, 2, 0, 0, 1: 1+0+6, 0+4+0, 2+0+0, 0+0+3; the rows above and below weigh nothing.
    maps, weight = torch.zeros(1, 1, 3, 6), torch.zeros(1, 1, 3, 3)
    maps[0, 0, 1] = torch.tensor([1.0, 0, 2, 0, 0, 1])
    weight[0, 0, 1] = torch.tensor([1.0, 2, 3])
    found = winograd.conv3x3(maps, weight, None, (0, 0))
    torch.testing.assert_close(found, torch.tensor([[[[7.0, 4, 2, 3]]]]))


def test_parts_make_no_difference(monkeypatch):
    maps, weight, bias = made(n=5)
    whole = winograd.conv3x3(maps, weight, bias, (1, 1))
    monkeypatch.setattr(winograd, "_AT_ONCE", 1)  # one picture at a time
    torch.testing.assert_close(winograd.conv3x3(maps, weight, bias, (1, 1)), whole, rtol=0, atol=1e-13)


def test_it_rounds_as_torch_does():
    maps, weight, _ = made(torch.float32, n=2, c=256, k=256, size=(8, 8))
    wanted = F.conv2d(maps.double(), weight.double(), padding=1)
    size = wanted.abs().max()
    error = (winograd.conv3x3(maps, weight, None, (1, 1)) - wanted).abs().max() / size
    assert error < 5e-6


def test_maps_in_any_layout_are_left_as_they_were():
    maps, weight, bias = made()
    for layout in (torch.contiguous_format, torch.channels_last):
        given = maps.contiguous(memory_format=layout)
        before = given.clone()
        found = winograd.conv3x3(given, weight, bias, (1, 1))
        torch.testing.assert_close(found, F.conv2d(maps, weight, bias, padding=1), rtol=0, atol=1e-12)
        assert torch.equal(given, before)


def test_it_is_taken_only_where_it_pays():
    wide, narrow = torch.zeros(512, 512, 3, 3), torch.zeros(64, 64, 3, 3)
    assert winograd.pays(64, wide, (7, 7), (7, 7))
    assert not winograd.pays(64, narrow, (56, 56), (56, 56))  # the way there and back costs more
    assert not winograd.pays(4, wide, (7, 7), (7, 7))  # too few maps to bring the filters there
    assert not winograd.pays(64, wide, (7, 3), (5, 1))  # most of each tile would be thrown away
    assert not winograd.pays(64, torch.zeros(512, 512, 5, 5), (7, 7), (7, 7))
    assert not winograd.pays(64, wide.half(), (7, 7), (7, 7))


@pytest.mark.parametrize("padding", (1, 0, "same", (2, 1)))
def test_occlusion_by_it_is_occlusion(padding, monkeypatch):
    taken, own = [], winograd.conv3x3
    monkeypatch.setattr(winograd, "conv3x3", lambda *given: taken.append(given[0].shape) or own(*given))
    monkeypatch.setattr(winograd, "pays", lambda _count, weight, *_: weight.shape[2:] == (3, 3))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=padding),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, stride=2, padding=1),
        nn.Conv2d(5, 6, 3, padding=1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    ).double()
    nn.init.uniform_(model[1].running_mean)
    nn.init.uniform_(model[1].running_var, 0.5, 2)
    image = torch.rand(1, 2, 19, 22, dtype=torch.float64)
    found = occlusion.drops(model, image, 1, window=6, stride=3, how="incremental")
    plain = occlusion.drops(model, image, 1, window=6, stride=3, how="batches")
    torch.testing.assert_close(found.values, plain.values, rtol=0, atol=1e-11)
    assert {shape[1] for shape in taken} == {2, 5}  # with a stride, it is none of its
