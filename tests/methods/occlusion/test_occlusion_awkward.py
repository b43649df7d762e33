"""Models that answer otherwise in a batch, in another layout or not at all: the right map, or the reason."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from occlusion_loop import ENGINES, Call, error, loop, make
from torch import nn

from cnnlab.methods import occlusion
from cnnlab.methods.evaluation import all_methods
from cnnlab.methods.occlusion import outputs, runner
from cnnlab.methods.occlusion.incremental import pointwise_rules, region_tensor, window_rules
from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps, padded_base
from cnnlab.methods.occlusion.windows import Windows
from cnnlab.probing import Unit

EVERY = ("auto", *ENGINES)


def sunny(size=12):
    """The brightest and the darkest pixel lie far from the middle."""
    x = torch.rand(1, 1, size, size, dtype=torch.float64) * 0.8 + 0.1
    x[..., 1, 1], x[..., 9, 2] = 1.0, 0.0
    return x


def far(model, x, found, window, stride, fill=0.0):
    """The largest difference to the loop, against the largest drop."""
    expected = loop(model, x, window, stride, fill)
    assert expected.abs().max() > 0
    return float(
        ((found.unoccluded - found.outputs).flatten(0, 1) - expected).abs().max() / expected.abs().max()
    )


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """As if calls were free: or so small a net would not be tried on regions."""
    monkeypatch.setattr(runner, "_COST", runner.Cost(cell=35, call=0))


# --- layouts ------------------------------------------------------------------------------------------------


class Tutorial(nn.Module):
    """The LeNet of a well-known tutorial."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.view(-1, 400))


class ThroughAView(nn.Module):
    """In one layout the ReLU works on h, in the other on a copy of it."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 30 * 30, 3)

    def forward(self, x):
        h = self.conv(x)
        h.flatten(1).relu_()
        return self.fc(h.flatten(1))


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("build", (Tutorial, ThroughAView))
def test_models_for_one_layout(build, engine):
    model, x = make(build()), torch.rand(1, 1, 32, 32, dtype=torch.float64)
    found = occlusion.scan(model, x, window=8, stride=6, engine=engine)
    assert far(model, x, found, (8, 8), (6, 6)) < 1e-10
    assert engine != "incremental" or found.engine == engine


def test_the_tutorial_in_the_round_up():
    model, x = make(Tutorial()), torch.rand(1, 1, 32, 32, dtype=torch.float64)
    found = all_methods.all_maps(model, x, 3, names=("occlusion",))["occlusion"]
    expected = loop(model, x, (4, 4), (2, 2), 0.5)[:, 3]
    assert (found - Windows((32, 32), (4, 4), (2, 2)).per_pixel(expected.view(15, 15))).abs().max() < 1e-12


# --- images that share a batch ----------------------------------------------------------------------------

MIXES = {
    "by the brightest": lambda x: x / x.max(),
    "by brightest and darkest": lambda x: (x - x.min()) / (x.max() - x.min()),
    "by a limit": lambda x: torch.where(x.amax() > 0.95, x, x * x),
    "by the mean": lambda x: x - x.mean(),
    "by another": lambda x: x + x.flip(0) * 0.5,
    "numpy": lambda x: x / float(np.asarray(x.detach().contiguous()).max()),
    "numpy, no float": lambda x: x / np.asarray(x.detach().contiguous()).max(),
    "complex": lambda x: x / complex(x.max()).real,
    "a limit and if": lambda x: x if x.max() > 0.95 else x * x,
}


@pytest.mark.parametrize("batch", (None, 7))
@pytest.mark.parametrize("engine", ("auto", "batches"))
@pytest.mark.parametrize("name", MIXES)
def test_a_model_that_mixes_its_batch_gets_its_pictures_one_by_one(name, engine, batch):
    model, x = make(Call(MIXES[name]), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
    found = occlusion.scan(model, x, window=4, stride=2, engine=engine, batch=batch)
    assert far(model, x, found, (4, 4), (2, 2)) < 1e-10
    assert found.engine == "batches" and ("mixes the images" in found.reason or "at a number" in found.reason)
    with pytest.raises(ValueError, match="no rule for the first|at a number"):
        occlusion.scan(model, x, window=4, stride=2, engine="incremental")


@pytest.mark.parametrize("fill", (0.0, 0.5, 1.0))
def test_mixing_is_seen_whatever_covers(fill):
    darkest = lambda x: torch.where(x.amin() > 0.02, x, x * x)  # noqa: E731
    for mix in (*list(MIXES.values())[:4], darkest):
        model, x = make(Call(mix), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
        found = occlusion.scan(model, x, window=4, stride=2, fill=fill)
        assert far(model, x, found, (4, 4), (2, 2), fill) < 1e-10


@pytest.mark.parametrize("engine", ENGINES)
def test_the_window_with_the_largest_drop_is_run_again_alone(monkeypatch, engine):
    """Whatever the tries before did not see: here an answer that is wrong at one window only."""
    model, x = make(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
    assert error(model, x, engine=engine) < 1e-10
    right, calls = outputs.output, []

    def wrong(model, unit, images):
        found = right(model, unit, images)
        calls.append(len(found))
        if len(found) > 3:
            found[-1] += 1
        return found

    monkeypatch.setattr(runner, "output", wrong)
    with pytest.raises(ValueError, match="answers differently"):
        occlusion.scan(model, x, window=4, stride=2, engine=engine)
    assert calls[-1] == 1 and max(calls) == 25


def test_wrong_regions_are_seen_late_and_batches_take_over(monkeypatch):
    """Too late for the trial: then the whole run goes again, by images, and says so."""
    model, x = make(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
    right, told = outputs.output, []

    def wrong(model, unit, images):
        found = right(model, unit, images)
        if type(images) is region_tensor.RegionTensor and len(found) > 3:
            found[-1] += 1
        return found

    monkeypatch.setattr(runner, "output", wrong)
    with pytest.raises(ValueError, match="answers differently"):
        occlusion.scan(model, x, window=4, stride=2, engine="incremental")
    monkeypatch.setattr(runner, "_COST", runner.Cost(cell=0, call=0))  # however small it is
    options = {"window": 4, "stride": 2, "batch": 10}
    found = occlusion.scan(model, x, progress=lambda *now: told.append(now), **options)
    assert far(model, x, found, (4, 4), (2, 2)) < 1e-10
    assert found.engine == "batches" and "another answer" in found.reason
    assert found.work > occlusion.scan(model, x, engine="batches", **options).work
    assert [now[0] for now in told] == sorted(now[0] for now in told[:3]) * 2  # it began anew


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("by", (lambda x: F.dropout(x, 0.5), lambda x: x + torch.rand_like(x)))
def test_a_random_model_is_refused(by, engine):
    model = make(nn.Conv2d(1, 3, 3), Call(by), nn.Flatten())
    with pytest.raises(ValueError, match="random"):
        occlusion.scan(model, sunny(), window=4, stride=2, engine=engine)


def test_a_small_error_of_a_rule_is_seen(monkeypatch):
    model, x = make(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
    rule = pointwise_rules.RULES[F.relu]

    def wrong(cache, function, *args, **named):
        found = rule(cache, function, *args, **named)
        return found.become(found.base, found.values * (1 + 1e-5))

    monkeypatch.setitem(pointwise_rules.RULES, F.relu, wrong)
    with pytest.raises(ValueError, match="another one than that of a plain pass"):
        occlusion.scan(model, x, window=4, stride=2, engine="incremental")


# --- answers that are not finite ----------------------------------------------------------------------------


def zero_by_zero(x):
    """0 / 0 where the corner is black."""
    return x * (x[:, :, :1, :1] / x[:, :, :1, :1])


@pytest.mark.parametrize("engine", EVERY)
def test_an_answer_of_nan_is_not_taken_for_stopped(engine):
    one = nn.Conv2d(1, 1, 1, bias=False)  # black stays 0
    model, x = make(one, Call(zero_by_zero), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(300, 4)), sunny()
    found = occlusion.scan(model, x, window=4, stride=2, engine=engine)
    assert found.done.all() and found.outputs[0, 0].isnan().all() and not found.outputs[1:].isnan().any()
    for ask in (found.drops, lambda k: occlusion.drops(model, x, k, window=4, stride=2, engine=engine)):
        with pytest.raises(ValueError, match="not finite"):
            ask(1)
    part = occlusion.scan(
        model, x, window=4, stride=2, fill=0.5, progress=lambda *_: True, batch=7, engine=engine
    )
    assert 0 < part.done.sum() < part.done.numel()
    assert torch.equal(part.drops(1).values.isnan(), ~part.done)


@pytest.mark.parametrize("engine", EVERY)
def test_a_class_that_is_masked_disturbs_no_other(engine):
    mask = torch.tensor([0.0, -torch.inf, 0.0])
    model = make(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3), Call(torch.add, mask=mask))
    x = sunny()
    for output in ("logit", "probability"):
        found = occlusion.drops(model, x, 2, window=4, stride=2, output=output, engine=engine)
        read = (lambda y: y) if output == "logit" else (lambda y: y.softmax(1))
        expected = loop(lambda x: read(model(x))[:, 2:], x, (4, 4), (2, 2))  # noqa: B023
        assert (found.values.flatten() - expected[:, 0]).abs().max() < 1e-12
        with pytest.raises(ValueError, match="not finite"):
            occlusion.drops(model, x, 1, window=4, stride=2, engine=engine)


# --- windows that change nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", EVERY)
def test_where_the_picture_is_like_the_fill_the_drop_is_zero(engine):
    x = torch.zeros(1, 1, 24, 24)
    x[..., 9:14, 10:15] = 1
    model = make(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()).float()
    model.append(make(nn.Linear(8 * 400, 3)).float())
    heard = []
    found = occlusion.scan(
        model, x, window=4, stride=1, engine=engine, batch=50, progress=lambda *at: heard.append(at)
    )
    empty = torch.stack([(one != x).flatten(1).any(1) for one in _every(x, 4)]).view(22 - 1, 22 - 1) == 0
    drops = found.drops(1).values
    assert 0 < empty.sum() < empty.numel() and (drops[empty] == 0).all() and (drops[~empty] != 0).all()
    assert heard[-1] == (441, 441) and heard[0][0] > empty.sum()


def _every(x, window):
    for i in range(x.shape[2] - window + 1):
        for j in range(x.shape[3] - window + 1):
            one = x.clone()
            one[..., i : i + window, j : j + window] = 0
            yield one


@pytest.mark.parametrize("engine", EVERY)
def test_a_picture_that_is_the_fill(engine):
    model, x = make(nn.Conv2d(1, 4, 3), nn.Flatten()), torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    found = occlusion.scan(model, x, window=4, fill=0.5, engine=engine)
    assert found.done.all() and not found.drops(2).values.any() and found.engine in ENGINES
    x[..., 3, 3] = 1  # some windows change it, though not the one in the middle of the grid
    assert (
        far(model, x, occlusion.scan(model, x, window=2, fill=0.5, engine=engine), (2, 2), (1, 1), 0.5)
        < 1e-12
    )


# --- asking a scan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, output, kind, message",
    [
        (0, "probabilty", LookupError, "probabilty"),
        (1.7, "logit", TypeError, "1.7"),
        (True, "logit", TypeError, "True"),
        ("cat", "logit", TypeError, "by number, not 'cat'"),
        (Unit("0", 1), "logit", TypeError, "by number"),
        (torch.tensor([]), "logit", TypeError, "whole numbers"),
        (torch.tensor([], dtype=torch.int64), "logit", ValueError, "one class"),
        (torch.tensor([1.0]), "logit", TypeError, "whole numbers"),
        (torch.tensor([1, -1]), "logit", LookupError, "no class -1"),
        (torch.tensor([1, 700]), "logit", LookupError, "no class 700"),
    ],
)
def test_a_wrong_question_to_a_scan_is_refused(target, output, kind, message):
    found = occlusion.scan(make(nn.Conv2d(1, 4, 3), nn.Flatten()), sunny(), window=4)
    assert found.drops(torch.tensor([[1, 2]])).values.shape[0] == 2
    with pytest.raises(kind, match=message):
        found.drops(target, output)


def test_a_scan_is_of_a_unit_or_of_all_classes():
    model = make(nn.Conv2d(1, 4, 3), nn.Flatten())
    for wrong in (3, "0", torch.tensor(1)):
        with pytest.raises(TypeError, match=r"drops\(number\)"):
            occlusion.scan(model, sunny(), wrong, window=4)
    found = occlusion.scan(model, sunny(), Unit("0", 1), window=4)
    assert found.drops().values.any()
    with pytest.raises(ValueError, match="no probability"):
        found.drops(output="probability")


# --- parts that nothing else reaches ------------------------------------------------------------------------


@pytest.mark.parametrize("batch", (1, 2, 5, None))
def test_a_gate_over_a_map_that_is_a_region_still(batch):
    """Of one window alone, the mean (1, C, 1, 1) would look like a constant."""
    gate = Call(lambda x: x * x.relu().mean((2, 3), keepdim=True))
    model = make(nn.Conv2d(3, 4, 3, padding=1), gate, nn.Conv2d(4, 3, 2), nn.Flatten())
    x = torch.rand(1, 3, 11, 11, dtype=torch.float64)
    assert error(model, x, (3, 3), (2, 2), batch=batch) < 1e-10


def test_the_picture_as_a_filter_falls_back_to_whole_maps():
    """(1, 4, 13, 13) by P filters (4, 12, 12) -> (1, P, 2, 2) -> (P, 4, 2, 2)"""
    template = torch.rand(1, 4, 13, 13)
    match = Call(lambda x, c: F.conv2d(c, x).transpose(0, 1).repeat(1, 4, 1, 1), template=template)
    model = make(nn.Conv2d(1, 4, 1), match, nn.Conv2d(4, 3, 2), nn.Flatten())
    assert error(model, sunny()) < 1e-10


@pytest.mark.parametrize(
    "function",
    (
        lambda x: F.relu(input=x, inplace=True) * x,
        lambda x: (torch.add(x, 0.1, out=(y := x.clone())), y.relu_(), y + x)[2],
    ),
)
def test_in_place_by_keyword_and_into_a_tensor(function):
    model = make(nn.Conv2d(1, 4, 3), Call(function), nn.Conv2d(4, 3, 2), nn.Flatten())
    assert error(model, sunny()) < 1e-10


def test_how_far_a_window_reaches_by_hand():
    """6 cells, kernel 3: see the head of `window_rules`; then cut at both ends, and with a stride."""
    reached = window_rules._reached
    assert reached((2,), 2, 6, 3, 1, 1, 1) == ((1,), 4)
    assert reached((0,), 1, 6, 3, 1, 1, 1) == ((0,), 2) and reached((5,), 1, 6, 3, 1, 1, 1) == ((4,), 2)
    assert reached((2,), 2, 4, 3, 1, 0, 1) == ((0,), 4)
    assert reached((4,), 2, 4, 2, 2, 0, 1) == ((2,), 1)  # just its own window
    assert reached((3, 4), 2, 6, 2, 2, 0, 1) == ((1, 2), 2)  # one meets two windows, so both get two
    assert reached((4,), 1, 8, 2, 1, 0, 3) == ((1,), 4)


def test_a_piece_of_a_map_by_hand():
    base = torch.arange(30.0).view(1, 1, 5, 6)
    maps = PatchedMaps(base, -torch.ones(1, 1, 3, 1), (1,), (3,))
    assert maps.crop((1,), (1,), 3, 3)[0, 0].tolist() == [[7, 8, -1], [13, 14, -1], [19, 20, -1]]
    edge = maps.crop((-1,), (3,), 3, 1, padded_base(base, (1, 0), (0, 2), 9.0))
    assert edge.flatten().tolist() == [9, 3, -1]
    # Two pieces, each of which its patch meets in another way, and a third that it does not meet.
    maps = PatchedMaps(base, -torch.ones(3, 1, 2, 2), (0, 3, 3), (0, 4, 0))
    found = maps.crop((0, 2, 0), (1, 3, 4), 2, 2)[:, 0].tolist()
    assert found == [[[-1, 2], [-1, 8]], [[15, 16], [21, -1]], [[4, 5], [10, 11]]]


def test_a_window_over_a_pixel():
    grid = Windows((10, 7), (4, 3), (4, 2))
    for row in range(10):
        for col in range(7):
            pixel = torch.zeros(10, 7, dtype=torch.bool)
            pixel[row, col] = True
            over = grid.meet(pixel)
            by_hand = [
                top <= row < top + 4 and left <= col < left + 3 for top in (0, 4, 8) for left in (0, 2, 4)
            ]
            assert over.tolist() == by_hand and over[grid.over(row, col)]


def test_an_answer_that_is_no_number_is_the_most_suspicious(monkeypatch):
    """The check after the run looks at it first."""
    model, x = make(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten()), sunny()
    right = outputs.output

    def wrong(model, unit, images):
        found = right(model, unit, images)
        if len(found) > 3:
            found[-1] = torch.nan
        return found

    monkeypatch.setattr(runner, "output", wrong)
    with pytest.raises(ValueError, match="answers differently"):
        occlusion.scan(model, x, window=4, stride=2, engine="incremental")
    stop = lambda done, _all: done > 5  # noqa: E731
    monkeypatch.setattr(runner, "output", right)
    found = occlusion.scan(model, x, window=4, stride=2, engine="incremental", batch=3, progress=stop)
    assert not found.done.all() and found.outputs[~found.done].isnan().all()  # these were not asked


def test_the_maps_of_a_refused_trial_are_let_go():
    alive = []

    class Spy(nn.Module):
        def forward(self, x):
            h = x.relu()
            if type(h) is region_tensor.RegionTensor:
                alive.append(weakref.ref(h.patch_storage.cache))
            return h

    gc.collect()
    gc.disable()
    try:
        model = make(nn.Conv2d(1, 3, 3), Spy(), nn.Flatten())
        found = occlusion.scan(model, torch.rand(1, 1, 96, 96, dtype=torch.float64), window=90, stride=1)
        assert found.engine == "batches" and alive and all(each() is None for each in alive)
    finally:
        gc.enable()
