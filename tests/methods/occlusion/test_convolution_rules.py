"""Convolutions of changes: every cell is that of the whole map, convolved by torch."""

import pytest
import torch
import torch.nn.functional as F
from occlusion_loop import Call, covered
from torch import nn

from cnnlab.methods import occlusion
from cnnlab.methods.occlusion.incremental import convolution_rules
from cnnlab.methods.occlusion.incremental.cost import CostCounter
from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps
from cnnlab.methods.occlusion.incremental.window_rules import BaseCache
from cnnlab.nets import models


@pytest.fixture(autouse=True)
def few_channels(monkeypatch):
    monkeypatch.setattr(convolution_rules, "_CHANNELS", 1)


def whole_numbers(*shape, seed=0):
    """In them and their sums nothing is rounded, so right is equal."""
    given = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=given).double()


def patched(size, positions, cells=(6, 7), channels=2):
    base = whole_numbers(1, channels, *cells)
    values = whole_numbers(len(positions), channels, *size, seed=1)
    return PatchedMaps(base, values, *zip(*positions, strict=True))


def convolved(x, weight, bias=None, exact=False, **options):
    cache = BaseCache(exact=exact)
    cache.call(F.conv2d, [x.base])
    return convolution_rules.conv2d(cache, F.conv2d, x, weight, bias, **options), cache


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
    "one in a tuple": {"padding": (1,), "stride": (1,), "dilation": (1,)},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 3), (1, 1)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_is_the_convolution_of_the_whole_maps(options, kernel):
    weight = whole_numbers(4, 2 // options.get("groups", 1), *kernel, seed=2)
    bias = whole_numbers(4, seed=3)
    for size in ((2, 3), (1, 1), (4, 5)):
        corners = [(i, j) for i in (0, 6 - size[0]) for j in (0, 7 - size[1])]
        for positions in (corners, corners[:1], [(1, 1), (1, 1), (0, 2)]):
            x = patched(size, positions)
            expected = F.conv2d(x.dense(), weight, bias, **options)
            before = x.base.clone(), x.values.clone()
            found, _ = convolved(x, weight, bias, **options)
            assert torch.equal(found.dense(), expected)
            assert torch.equal(found.base, F.conv2d(x.base, weight, bias, **options))
            assert torch.equal(x.base, before[0]) and torch.equal(x.values, before[1])


def test_only_the_cells_of_the_patch_count():
    weight = whole_numbers(3, 2, 3, 3)
    x = patched((2, 3), [(1, 2)] * 5)
    found, cache = convolved(x, weight, padding=1)
    assert found.size == (4, 5) and found.top == (0,) * 5 and found.left == (1,) * 5
    assert cache.multiply_adds == 5 * 2 * 3 * weight.numel()
    found, cache = convolved(x, weight, padding=1, stride=2)  # windows begin at -1, 1, 3, 5
    assert found.size == (2, 2) and found.left == (1,) * 5
    assert cache.multiply_adds == 5 * 2 * 2 * weight.numel()


def test_where_it_is_computed_anew(monkeypatch):
    weight, positions = whole_numbers(3, 2, 3, 3), [(1, 2)] * 5
    anew = 5 * 4 * 5 * weight.numel()
    assert convolved(patched((2, 3), positions), weight, padding=1, exact=True)[1].multiply_adds == anew
    for dtype in (torch.float16, torch.bfloat16):
        x = patched((2, 3), positions)
        x = PatchedMaps(x.base.to(dtype), x.values.to(dtype), x.top, x.left)
        assert convolved(x, weight.to(dtype), padding=1)[1].multiply_adds == anew
    for infinite in (3e308, torch.inf):  # the image's convolution is infinite, or its map is
        x = patched((2, 3), positions)
        x.base[0, :, 5, 6] = infinite
        assert convolved(x, weight, padding=1)[1].multiply_adds == anew
    monkeypatch.setattr(convolution_rules, "_CHANNELS", 3)
    assert convolved(patched((2, 3), positions), weight, padding=1)[1].multiply_adds == anew
    narrow = whole_numbers(4, 1, 3, 3)
    monkeypatch.setattr(convolution_rules, "_CHANNELS", 2)  # of each group
    found = convolved(patched((2, 3), positions), narrow, padding=1, groups=2)[1].multiply_adds
    assert found == 5 * 4 * 5 * narrow.numel()


def test_torch_is_given_the_change_alone():
    seen = []

    def spy(maps, *rest):
        seen.append(maps.clone())
        return F.conv2d(maps, *rest)

    x = patched((2, 2), [(1, 1), (2, 3)])
    cache = BaseCache()
    cache.call(spy, [x.base])
    _ = convolution_rules.conv2d(cache, spy, x, whole_numbers(1, 2, 3, 3), padding=1).values
    at = [x.base[0, :, 1:3, 1:3], x.base[0, :, 2:4, 3:5]]
    assert [part.shape[0] for part in seen] == [1, 2] and torch.equal(seen[1], x.values - torch.stack(at))


def test_a_patch_that_is_most_of_the_map_is_run_whole():
    weight = whole_numbers(1, 2, 3, 3)
    for size, cells in (((5, 6), 30), ((6, 6), 42)):  # 30 and 36 of 42 are changed
        for padding in (1, (1,), "same"):
            x = patched(size, [(0, 0)])
            found, cache = convolved(x, weight, padding=padding)
            assert cache.multiply_adds == cells * weight.numel()
            assert torch.equal(found.dense(), F.conv2d(x.dense(), weight, padding=1))


def products_of_neighbours(x):
    """As exp(sum(log)): the maps in between have infinite cells where x is 0."""
    logs = x.relu().log()
    return F.conv2d(logs, torch.ones(1, 1, 3, 3, dtype=x.dtype), padding=1).exp().mean(dim=(2, 3))


@pytest.mark.parametrize("fill", (0.0, 0.5))
def test_infinite_maps(fill):
    image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for dark in (False, True):
        if dark:
            image[0, 0, 3:5, 2:8] = 0
        model = Call(products_of_neighbours)
        found = occlusion.scan(model, image, window=2, stride=2, fill=fill, engine="incremental")
        expected = torch.cat([model(one) for one in covered(image, (2, 2), (2, 2), fill)])
        torch.testing.assert_close(found.outputs.flatten(0, 1), expected, rtol=1e-9, atol=0)


SHARP = {
    "sign": lambda h: h.sign(),
    "quotient": lambda h: h / (h.norm(dim=1, keepdim=True) + 1e-20),
    "normalize": lambda h: F.normalize(h, dim=1),
    "threshold": lambda h: F.threshold(h, 0, -1),
    "larger": lambda h: (h > 0).to(h.dtype),
    "where": lambda h: torch.where(h == 0, 1.0, h),
    "argmax": lambda h: h.argmax(dim=1, keepdim=True).to(h.dtype),
    "floor": lambda h: (1e6 * h).floor().clamp(-1, 1),
    "operator": lambda h: (h != 0) * 1.0,
}


@pytest.mark.parametrize("by", SHARP.values(), ids=SHARP)
def test_what_looks_at_the_last_digits_gets_zeros_where_zeros_are(by):
    """A dark image with strokes: where they are covered, a convolution without bias is exactly 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        image = torch.zeros(1, 1, 16, 16)
        image[..., 3:6, 2:12], image[..., 8:15, 9:12] = torch.rand(3, 10), torch.rand(7, 3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), Call(by), nn.AdaptiveAvgPool2d(4), nn.Flatten()
        )
    found = occlusion.scan(model, image, window=4, stride=2, engine="incremental")
    expected = torch.cat([model(one) for one in covered(image, (4, 4), (2, 2), 0.0)]).detach()
    torch.testing.assert_close(found.outputs.flatten(0, 1), expected, rtol=0, atol=1e-5)


def test_gentle_networks_are_not_called_sharp():
    for name in ("photonet", "shapesnet", "simpleconvnet"):
        model = models.load(name)
        with torch.no_grad(), CostCounter() as seen:
            model(torch.rand(1, *model.input_size))
        assert seen.sharp == ""
    with CostCounter() as seen:
        F.conv2d((torch.rand(1, 2, 4, 4) / 2).sign(), torch.ones(2, 2, 1, 1)).relu_().add_(1).view(2, 16)
    assert seen.sharp == ""  # before the first convolution nothing has been added
    with CostCounter() as seen:
        F.conv2d(torch.rand(1, 2, 4, 4), torch.ones(2, 2, 1, 1)).sign().div(2)
    assert seen.sharp == "sign"
    with CostCounter() as seen:
        F.conv2d(torch.rand(1, 2, 4, 4), torch.ones(2, 2, 1, 1)).to(torch.int64)
    assert seen.sharp == "to"  # whole numbers jump
