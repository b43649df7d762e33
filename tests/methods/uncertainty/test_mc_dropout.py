"""MC dropout: the closed form of a linear head, functional dropout, batch norm that stays in eval mode."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.methods.uncertainty import mc_dropout
from cnnlab.nets import models


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm2d(1), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(F.dropout(self.norm(x).flatten(1), 0.5, self.training))


class Calls(nn.Module):
    """A dense layer behind a function, and something done to what it gives."""

    def __init__(self, drop, then=lambda h: h):
        super().__init__()
        torch.manual_seed(0)
        self.out, self.drop, self.then = nn.Linear(16, 3), drop, then

    def forward(self, x):
        return self.then(self.out(self.drop(x.flatten(1))))


def head(rate):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(rate), nn.Linear(16, 3)).eval()


@pytest.mark.parametrize("rate", (0.2, 0.5, 0.8))
def test_a_linear_head_has_the_known_mean_and_variance(rate):
    """Fact 20: of the logit, Var = sum (w x)^2 p / (1 - p). Read from the logits themselves."""
    model, x = head(rate), torch.rand(1, 1, 4, 4)
    logits = []
    hook = model[2].register_forward_hook(lambda _m, _i, out: logits.append(out))
    list(mc_dropout.samples(model, x, n_samples=4000))
    hook.remove()
    seen = torch.cat(logits).double()
    weight, bias = model[2].weight.double(), model[2].bias.double()
    flat = x.flatten().double()
    wanted = ((weight * flat).square().sum(dim=1)).detach() * rate / (1 - rate)
    torch.testing.assert_close(seen.var(dim=0), wanted, rtol=0.12, atol=0)
    error = 5 * float(wanted.max() / 4000) ** 0.5
    torch.testing.assert_close(seen.mean(dim=0), (weight @ flat + bias).detach(), rtol=0, atol=error)


def test_the_numbers_are_those_of_all_answers_at_once():
    model, x = head(0.5), torch.rand(5, 1, 4, 4)
    p = torch.stack(list(mc_dropout.samples(model, x, n_samples=30, seed=3, batch=2))).double()
    found = mc_dropout.predict(model, x, n_samples=30, seed=3, batch=2)
    torch.testing.assert_close(found.mean.double(), p.mean(dim=0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.variance.double(), p.var(dim=0, unbiased=False), rtol=1e-4, atol=1e-8)
    each = torch.tensor([[-sum(v * math.log(v) for v in row if v) for row in s] for s in p.tolist()]).double()
    torch.testing.assert_close(found.expected_entropy.double(), each.mean(dim=0), rtol=1e-5, atol=1e-7)
    mean = p.mean(dim=0)
    whole = torch.tensor([-sum(v * math.log(v) for v in row) for row in mean.tolist()])
    torch.testing.assert_close(found.entropy, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.mutual_information, found.entropy - found.expected_entropy)
    assert (found.mutual_information > 0).all()
    for one, other in zip(mc_dropout.summary(p.float()), found, strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="2 answers or more"):
        mc_dropout.summary(p[:1])


def test_functional_dropout_drops_and_batch_norm_stays_as_in_eval_mode():
    model = Functional().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.rand(3, 1, 4, 4)
    found = mc_dropout.predict(model, x, n_samples=10)
    assert (found.variance > 0).any()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    # Beside other images, batch statistics would give another answer.
    one = torch.stack(list(mc_dropout.samples(model, x[:1], n_samples=400))).mean(0)
    beside = torch.stack(list(mc_dropout.samples(model, 50 * x, n_samples=1))).mean(0)
    assert one.shape == (1, 3) and beside.shape == (3, 3)
    torch.testing.assert_close(one[0], mc_dropout.predict(model, x, n_samples=400).mean[0], atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "drop",
    [
        lambda h: torch.dropout(h, 0.5, False),
        lambda h: torch.dropout(h, p=0.5, train=False),
        lambda h: torch.dropout_(h.clone(), 0.5, False),
        lambda h: torch.native_dropout(h, 0.5, False)[0],
        lambda h: torch.alpha_dropout(h, 0.5, False),
        lambda h: torch.feature_alpha_dropout(h, 0.5, False),
        lambda h: F.dropout(input=h, p=0.5, training=False),
        lambda h: F.dropout(h.clone(), 0.5, False, True),
        lambda h: F.dropout2d(h.view(-1, 4, 2, 2), 0.5, False).flatten(1),
        lambda h: F.alpha_dropout(h, 0.5, False),
        nn.AlphaDropout(0.5),
        nn.FeatureAlphaDropout(0.5),
        nn.Sequential(nn.Unflatten(1, (4, 2, 2)), nn.Dropout2d(0.5), nn.Flatten()),
    ],
)
def test_every_kind_of_dropout_drops(drop):
    """Also beside another dropout: it must not be that alone which drops."""
    model, x = Calls(drop).eval(), torch.rand(1, 1, 4, 4)
    for asked in (model, nn.Sequential(model, nn.Dropout(1e-9))):
        assert len({tuple(answer[0].tolist()) for answer in mc_dropout.samples(asked, x, n_samples=6)}) >= 3
    assert torch.equal(model(x), model(x)) and not model.training


class Series(nn.Module):
    """The rows of an image, one after the other, to layers that have dropout of their own."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.out = kind, nn.Linear(4, 3)

    def forward(self, x):
        rows = x[:, 0]
        h = self.kind(rows, rows, rows) if isinstance(self.kind, nn.MultiheadAttention) else self.kind(rows)
        return self.out((h[0] if isinstance(h, tuple) else h)[:, -1])


@pytest.mark.parametrize(
    "kind",
    [
        lambda: nn.LSTM(4, 4, 2, dropout=0.5, batch_first=True),
        lambda: nn.GRU(4, 4, 2, dropout=0.5, batch_first=True),
        lambda: nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True),
        lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True),
    ],
)
def test_dropout_within_a_layer_of_torch_drops_too_and_its_mode_comes_back(kind):
    torch.manual_seed(0)
    model, x = Series(kind()).eval(), torch.rand(1, 1, 4, 4)
    for asked in (model, nn.Sequential(model, nn.Dropout(1e-9))):
        assert len({tuple(answer[0].tolist()) for answer in mc_dropout.samples(asked, x, n_samples=6)}) >= 4
    assert not any(part.training for part in model.modules()) and torch.equal(model(x), model(x))
    single = Series(nn.LSTM(4, 4, 1, batch_first=True)).eval()
    with pytest.raises(ValueError, match="drops nothing"):
        mc_dropout.predict(single, x)


def test_an_error_in_a_pass_leaves_nothing_behind():
    def fails(h):
        raise KeyError("in the middle")

    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout(0.5), Calls(fails)).train()
    model[0].eval()
    modes, x = [part.training for part in model.modules()], torch.rand(2, 1, 4, 4)
    state = torch.get_rng_state()
    with pytest.raises(KeyError):
        mc_dropout.predict(model, x)
    assert [part.training for part in model.modules()] == modes and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(F.dropout(torch.ones(9), training=False), torch.ones(9))


def test_a_row_of_layers_with_a_forward_of_its_own_is_asked_whole():
    model, x = head(0.5), torch.rand(1, 1, 4, 4)
    plain = torch.stack(list(mc_dropout.samples(model, x, n_samples=3)))
    model.forward = lambda images: nn.Sequential.forward(model, 1 - images)
    other = torch.stack(list(mc_dropout.samples(model, x, n_samples=3)))
    assert not torch.equal(plain, other)
    del model.forward
    torch.testing.assert_close(torch.stack(list(mc_dropout.samples(model, 1 - x, n_samples=3))), other)


def test_the_seed_decides_and_nothing_of_the_caller_is_changed():
    model, x = models.load("encoder").train(), torch.rand(2, 1, 28, 28)
    state, image = torch.get_rng_state(), x.clone()
    first, again, other = (mc_dropout.predict(model, x, n_samples=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.mean, again.mean) and not torch.equal(first.mean, other.mean)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, image) and model.training


def test_a_generator_that_is_left_half_way_leaves_nothing_behind():
    model, x = head(0.5), torch.rand(1, 1, 4, 4)
    state, one = torch.get_rng_state(), mc_dropout.samples(model, x)
    next(one)
    assert torch.equal(torch.get_rng_state(), state) and not model.training
    dropped = F.dropout(torch.ones(8), training=False)
    assert torch.equal(dropped, torch.ones(8))


def test_without_dropout_there_is_nothing_to_ask():
    for model in (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), head(0.0)):
        with pytest.raises(ValueError, match="drops nothing"):
            mc_dropout.predict(model, torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("samples", (1, 0, 2.5, True))
def test_bad_numbers_of_samples(samples):
    with pytest.raises(ValueError, match="n_samples is a whole number"):
        mc_dropout.predict(head(0.5), torch.rand(1, 1, 4, 4), n_samples=samples)


def test_bad_pictures_and_answers():
    with pytest.raises(ValueError, match="images are"):
        mc_dropout.predict(head(0.5), torch.rand(4, 4))
    with pytest.raises(ValueError, match="not finite"):
        mc_dropout.predict(head(0.5), torch.full((1, 1, 4, 4), torch.nan))
    with pytest.raises(ValueError, match=r"logits are wanted, and the model gave \(1, 1, 4, 4\)"):
        mc_dropout.predict(nn.Dropout(0.5), torch.rand(1, 1, 4, 4))
    with pytest.raises(TypeError, match="a model .* not function"):
        mc_dropout.predict(lambda x: x, torch.rand(1, 1, 4, 4))
    for forward, said in (
        (lambda h: (h, h), "the model gave tuple"),
        (lambda h: h[:1], "each of 3 images are wanted, and the model gave 1 rows"),
        (lambda h: h * torch.nan, "with nan or inf"),
    ):
        with pytest.raises(ValueError, match=said):
            mc_dropout.predict(Calls(lambda h: F.dropout(h, 0.5, False), forward), torch.rand(3, 1, 4, 4))


def test_what_is_wrong_is_said_before_the_first_answer_is_asked_for():
    for wrong in ({"n_samples": 0}, {"n_samples": 2.5}, {"batch": 0}):
        with pytest.raises(ValueError, match="or more"):
            mc_dropout.samples(head(0.5), torch.rand(1, 1, 4, 4), **wrong)
    with pytest.raises(ValueError, match="images are"):
        mc_dropout.samples(head(0.5), torch.rand(4, 4))


def test_a_summary_is_of_probabilities_of_one_shape():
    p = torch.rand(2, 3).softmax(dim=1)
    for wrong in (torch.randn(2, 3), p * torch.nan, p[0]):
        with pytest.raises(ValueError, match="probabilities"):
            mc_dropout.summary([p, wrong])
    with pytest.raises(ValueError, match="one shape"):
        mc_dropout.summary([p, p[:1]])


def test_entropy_of_the_sure_and_of_the_undecided():
    p = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(mc_dropout.entropy(p), torch.tensor([0.0, math.log(3)]))


@pytest.mark.parametrize("inplace", (False, True))  # in place, it writes into what all answers begin with
def test_what_stands_before_the_first_dropout_runs_once_and_the_answers_are_the_same(inplace):
    class Whole(nn.Module):
        """The same row of layers, but no nn.Sequential: asked whole every time."""

        def __init__(self, row):
            super().__init__()
            self.row = row

        def forward(self, x):
            return self.row(x)

    torch.manual_seed(0)
    layers = [
        nn.Conv2d(1, 4, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5, inplace),
        nn.Linear(16, 3),
    ]
    row, x, passes = nn.Sequential(*layers).eval(), torch.rand(5, 1, 4, 4), []
    row[0].register_forward_hook(lambda *_: passes.append(1))
    options = {"n_samples": 7, "seed": 2, "batch": 2}
    once = torch.stack(list(mc_dropout.samples(row, x, **options)))
    assert len(passes) == 1 + 3  # one look, and the batches
    whole = torch.stack(list(mc_dropout.samples(Whole(row), x, **options)))
    assert len(passes) == 1 + 3 + 7 * 3
    torch.testing.assert_close(once, whole, rtol=0, atol=0)


def test_a_model_that_is_watched_from_outside_is_asked_whole():
    model, seen = head(0.5), []
    model.register_forward_hook(lambda *_: seen.append(1))
    list(mc_dropout.samples(model, torch.rand(1, 1, 4, 4), n_samples=6))
    assert len(seen) == 6
