"""MC dropout: the closed form of a linear head, functional dropout, batch norm that stays in eval mode."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.methods import mc_dropout
from cnnlab.nets import models


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm2d(1), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(F.dropout(self.norm(x).flatten(1), 0.5, self.training))


def head(rate):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(rate), nn.Linear(16, 3)).eval()


@pytest.mark.parametrize("rate", (0.2, 0.5, 0.8))
def test_a_linear_head_has_the_known_mean_and_variance(rate):
    """Fact 20: of the logit, Var = sum (w x)^2 p / (1 - p). Read from the logits themselves."""
    model, x = head(rate), torch.rand(1, 1, 4, 4)
    logits = []
    hook = model[2].register_forward_hook(lambda _m, _i, out: logits.append(out))
    list(mc_dropout.answers(model, x, samples=4000))
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
    p = torch.stack(list(mc_dropout.answers(model, x, samples=30, seed=3, batch=2))).double()
    found = mc_dropout.ask(model, x, samples=30, seed=3, batch=2)
    torch.testing.assert_close(found.mean.double(), p.mean(dim=0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.variance.double(), p.var(dim=0, unbiased=False), rtol=1e-4, atol=1e-8)
    each = torch.tensor([[-sum(v * math.log(v) for v in row if v) for row in s] for s in p.tolist()]).double()
    torch.testing.assert_close(found.expected.double(), each.mean(dim=0), rtol=1e-5, atol=1e-7)
    mean = p.mean(dim=0)
    whole = torch.tensor([-sum(v * math.log(v) for v in row) for row in mean.tolist()])
    torch.testing.assert_close(found.entropy, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.information, found.entropy - found.expected)
    assert (found.information > 0).all()
    for one, other in zip(mc_dropout.summary(p.float()), found, strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(ValueError, match="2 answers or more"):
        mc_dropout.summary(p[:1])


def test_functional_dropout_drops_and_batch_norm_stays_as_in_eval_mode():
    model = Functional().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.rand(3, 1, 4, 4)
    found = mc_dropout.ask(model, x, samples=10)
    assert (found.variance > 0).any()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    # Beside other pictures, batch statistics would give another answer.
    one = torch.stack(list(mc_dropout.answers(model, x[:1], samples=400))).mean(0)
    beside = torch.stack(list(mc_dropout.answers(model, 50 * x, samples=1))).mean(0)
    assert one.shape == (1, 3) and beside.shape == (3, 3)
    torch.testing.assert_close(one[0], mc_dropout.ask(model, x, samples=400).mean[0], atol=0.05, rtol=0)


def test_the_seed_decides_and_nothing_of_the_caller_is_changed():
    model, x = models.load("encoder").train(), torch.rand(2, 1, 28, 28)
    state, image = torch.get_rng_state(), x.clone()
    first, again, other = (mc_dropout.ask(model, x, samples=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.mean, again.mean) and not torch.equal(first.mean, other.mean)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, image) and model.training


def test_a_generator_that_is_left_half_way_leaves_nothing_behind():
    model, x = head(0.5), torch.rand(1, 1, 4, 4)
    state, one = torch.get_rng_state(), mc_dropout.answers(model, x)
    next(one)
    assert torch.equal(torch.get_rng_state(), state) and not model.training
    dropped = F.dropout(torch.ones(8), training=False)
    assert torch.equal(dropped, torch.ones(8))


def test_without_dropout_there_is_nothing_to_ask():
    for model in (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), head(0.0)):
        with pytest.raises(ValueError, match="drops nothing"):
            mc_dropout.ask(model, torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("samples", (1, 0, 2.5, True))
def test_bad_numbers_of_samples(samples):
    with pytest.raises(ValueError, match="samples is a whole number"):
        mc_dropout.ask(head(0.5), torch.rand(1, 1, 4, 4), samples=samples)


def test_bad_pictures_and_answers():
    with pytest.raises(ValueError, match="pictures are"):
        mc_dropout.ask(head(0.5), torch.rand(4, 4))
    with pytest.raises(ValueError, match="not finite"):
        mc_dropout.ask(head(0.5), torch.full((1, 1, 4, 4), torch.nan))
    with pytest.raises(ValueError, match="finite logits"):
        mc_dropout.ask(nn.Dropout(0.5), torch.rand(1, 1, 4, 4))


def test_entropy_of_the_sure_and_of_the_undecided():
    p = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(mc_dropout.entropy(p), torch.tensor([0.0, math.log(3)]))


def test_what_stands_before_the_first_dropout_runs_once_and_the_answers_are_the_same():
    class Whole(nn.Module):
        """The same row of layers, but no nn.Sequential: asked whole every time."""

        def __init__(self, row):
            super().__init__()
            self.row = row

        def forward(self, x):
            return self.row(x)

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)]
    row, x, passes = nn.Sequential(*layers).eval(), torch.rand(5, 1, 4, 4), []
    row[0].register_forward_hook(lambda *_: passes.append(1))
    options = {"samples": 7, "seed": 2, "batch": 2}
    once = torch.stack(list(mc_dropout.answers(row, x, **options)))
    assert len(passes) == 1 + 3  # one look, and the batches
    whole = torch.stack(list(mc_dropout.answers(Whole(row), x, **options)))
    assert len(passes) == 1 + 3 + 7 * 3
    torch.testing.assert_close(once, whole, rtol=0, atol=0)


def test_a_model_that_is_watched_from_outside_is_asked_whole():
    model, seen = head(0.5), []
    model.register_forward_hook(lambda *_: seen.append(1))
    list(mc_dropout.answers(model, torch.rand(1, 1, 4, 4), samples=6))
    assert len(seen) == 6
