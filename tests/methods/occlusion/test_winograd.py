"""Winograd's convolution against torch's, against a row worked by hand, and inside of occlusion."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from occlusion_loop import Call
from torch import nn

from cnnlab.methods import occlusion
from cnnlab.methods.occlusion.incremental import winograd


def made(dtype=torch.float64, n=3, c=5, k=7, size=(9, 11)):
    """Maps, weights and bias of these sizes."""
    generator = torch.Generator().manual_seed(0)
    shapes = (n, c, *size), (k, c, 3, 3), (k,)
    return [torch.randn(*s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def convolved(maps, weight, bias, padding):
    return winograd.conv3x3(maps, winograd.seen(weight), bias, padding)


@pytest.mark.parametrize("size", ((3, 3), (4, 4), (6, 6), (7, 5), (8, 9), (5, 13), (4, 17), (9, 1)))
@pytest.mark.parametrize("padding", ((0, 0), (1, 1), (2, 0), (0, 3)))
@pytest.mark.parametrize("biased", (True, False))
def test_it_is_the_convolution(size, padding, biased):
    if min(s + 2 * p for s, p in zip(size, padding, strict=True)) < 3:
        padding = (1, 1)  # so that a window of three cells fits
    maps, weight, bias = made(size=size)
    bias = bias if biased else None
    wanted = F.conv2d(maps, weight, bias, padding=padding)
    torch.testing.assert_close(convolved(maps, weight, bias, padding), wanted, rtol=0, atol=1e-10)


def test_a_row_of_four_by_hand():
    # 1, 2, 3 slide over 1, 0, 2, 0, 0, 1: 1+0+6, 0+4+0, 2+0+0, 0+0+3; the rows above and below weigh nothing.
    maps, weight = torch.zeros(1, 1, 3, 6), torch.zeros(1, 1, 3, 3)
    maps[0, 0, 1] = torch.tensor([1.0, 0, 2, 0, 0, 1])
    weight[0, 0, 1] = torch.tensor([1.0, 2, 3])
    found = convolved(maps, weight, None, (0, 0))
    torch.testing.assert_close(found, torch.tensor([[[[7.0, 4, 2, 3]]]]))


@pytest.mark.parametrize("width", range(1, 2 * winograd.TILE + 2))
def test_a_row_takes_no_more_points_than_it_says(width):
    ways = winograd._ways(width + 2, 0, torch.float64)
    tiles = -(-width // winograd.TILE)
    assert len(ways.there) == sum(ways.tiles) == width + 2 * tiles <= 3 * width
    assert ways.back.shape == (width, len(ways.there)) and ways.tiles[0] == tiles
    assert set(ways.tiles[:-1]) == {tiles}  # about as large: only the last point may miss in some


def test_it_rounds_little_worse_than_torch_does():
    maps, weight, _ = made(torch.float32, n=2, c=256, k=256, size=(16, 16))  # two of the largest tiles
    wanted = F.conv2d(maps.double(), weight.double())
    error = (convolved(maps, weight, None, (0, 0)) - wanted).abs().max() / wanted.abs().max()
    assert error < 3e-5


def test_maps_in_any_layout_are_left_as_they_were():
    maps, weight, bias = made()
    wanted = F.conv2d(maps, weight, bias, padding=1)
    columns_first = maps.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    for given in (maps, maps.contiguous(memory_format=torch.channels_last), columns_first):
        before = given.clone()
        found = convolved(given, weight, bias, (1, 1))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
        assert torch.equal(given, before)
        assert found.permute(3, 2, 0, 1).is_contiguous()  # as the next one likes it


def test_it_is_taken_only_where_it_pays():
    wide, narrow = torch.zeros(512, 512, 3, 3), torch.zeros(64, 64, 3, 3)

    def pays(count, weight, outputs, padding=(1, 1)):
        rows, cols = (n + 2 - 2 * p for n, p in zip(outputs, padding, strict=True))
        return winograd.pays(torch.zeros(count, weight.shape[1], rows, cols), weight, padding)

    assert pays(64, wide, (7, 7)) and pays(64, wide, (7, 4), (0, 1))
    assert not pays(64, narrow, (56, 56))  # the way there and back costs more
    assert not pays(4, wide, (7, 7))  # too few maps to bring the filters there
    assert pays(15, wide, (7, 7)) and not pays(14, wide, (7, 7)) and not pays(15, wide, (6, 7))
    assert not pays(64, wide, (7, 3))  # tiles that small save little
    assert not pays(64, torch.zeros(512, 512, 5, 5), (7, 7))
    assert not pays(64, torch.zeros(512, 64, 3, 3), (7, 7))
    for other in (wide.half(), wide.bfloat16(), wide.to("meta")):
        assert not pays(64, other, (7, 7))
    with torch.autocast("cpu", torch.bfloat16):  # the products would have three digits
        assert not pays(64, wide, (7, 7))


@pytest.mark.parametrize("exact", (False, True))
def test_where_the_last_digits_count_it_is_not_taken(monkeypatch, exact):
    """What is zero by F.conv2d may be 1e-8 here, and a model may look at its sign."""
    taken, own = [], winograd.conv3x3
    monkeypatch.setattr(winograd, "conv3x3", lambda *given: taken.append(1) or own(*given))
    monkeypatch.setattr(winograd, "pays", lambda _maps, weight, _padding: weight.shape[2:] == (3, 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), Call(torch.sign) if exact else nn.ReLU(), nn.Flatten()
        )
    occlusion.scan(model, torch.rand(1, 3, 12, 12), window=4, stride=2, engine="incremental")
    assert bool(taken) is not exact


def test_the_filters_of_old_passes_are_let_go(monkeypatch):
    """A pruned or normalised layer makes new filters in each pass."""
    from torch.nn.utils import parametrizations

    made, own = [], winograd.seen

    def seen(weight):
        found = own(weight)
        made.append(weakref.ref(found[0]))
        alive.append(sum(each() is not None for each in made))
        return found

    alive = []
    monkeypatch.setattr(winograd, "seen", seen)
    monkeypatch.setattr(winograd, "pays", lambda _maps, weight, _padding: weight.shape[2:] == (3, 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1))
        model = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    occlusion.drops(model, torch.rand(1, 3, 24, 24), 1, window=4, stride=2, batch=16, engine="incremental")
    assert len(made) > 4 and max(alive) <= 2
    made.clear()
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *model[1:])
    occlusion.drops(plain, torch.rand(1, 3, 24, 24), 1, window=4, stride=2, batch=16, engine="incremental")
    assert len(made) == 1  # once, for all passes


@pytest.mark.parametrize("padding", (1, 0, "same", (2, 1)))
def test_occlusion_by_it_is_occlusion(padding, monkeypatch):
    taken, own = [], winograd.conv3x3
    monkeypatch.setattr(winograd, "conv3x3", lambda *given: taken.append(given[0].shape) or own(*given))
    monkeypatch.setattr(winograd, "pays", lambda _maps, weight, _padding: weight.shape[2:] == (3, 3))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=padding),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 5, 3, stride=2, padding=1),
        nn.Conv2d(5, 6, 3, padding=1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    ).double()
    nn.init.uniform_(model[1].running_mean)
    nn.init.uniform_(model[1].running_var, 0.5, 2)
    image = torch.rand(1, 2, 19, 22, dtype=torch.float64)
    found = occlusion.drops(model, image, 1, window=6, stride=3, engine="incremental")
    plain = occlusion.drops(model, image, 1, window=6, stride=3, engine="batches")
    torch.testing.assert_close(found.values, plain.values, rtol=0, atol=1e-10)
    assert {shape[1] for shape in taken} == {2, 5}  # with a stride, a dilation or groups, it is none of its
