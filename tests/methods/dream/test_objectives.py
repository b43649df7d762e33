"""Objectives: values by hand and by naive loops, the algebra and its print, what is refused."""

import pytest
import torch

from cnnlab.methods import dream
from cnnlab.methods.dream.objectives import Seen


def seen(batch=2, **more):
    generator = torch.Generator().manual_seed(1)
    rand = lambda *size: torch.rand(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    maps, logits = rand(batch, 4, 5, 3) - 0.3, rand(batch, 3)
    return Seen(rand(batch, 3, 6, 7), {"a": maps, "fc": logits}, logits, ("cat", "dog", "hen"))


def test_values_are_those_of_plain_indexing():
    s = seen()
    a = s.layers["a"]
    assert torch.equal(dream.neuron("a", 1)(s), a[:, 1, 2, 1])
    assert torch.equal(dream.neuron("a", 1, 4, 0)(s), a[:, 1, 4, 0])
    assert torch.equal(dream.neuron("a", [3, 0])(s), torch.stack([a[0, 3, 2, 1], a[1, 0, 2, 1]]))
    assert torch.equal(dream.neuron("fc", 2)(s), s.output[:, 2])
    torch.testing.assert_close(dream.channel("a", 1)(s), torch.stack([a[0, 1].mean(), a[1, 1].mean()]))
    torch.testing.assert_close(dream.channel("a", (3, 0))(s), torch.stack([a[0, 3].mean(), a[1, 0].mean()]))
    torch.testing.assert_close(dream.layer("a")(s), torch.stack([(x * x).sum() / 60 for x in a]))
    assert torch.equal(dream.logit("hen")(s), s.output[:, 2])
    assert torch.equal(dream.logit(["dog", 0])(s), torch.stack([s.output[0, 1], s.output[1, 0]]))
    odds = s.output.exp()
    torch.testing.assert_close(dream.probability(1)(s), odds[:, 1] / odds.sum(dim=1))


def test_a_direction_is_the_product_and_with_a_power_the_angle_counts():
    s = seen()
    a, v = s.layers["a"], torch.tensor([1.0, -2, 0, 3], dtype=torch.float64)
    expected, angled = torch.zeros(2).double(), torch.zeros(2).double()
    for b in range(2):
        for row in range(5):
            for col in range(3):
                here = a[b, :, row, col]
                cos = here @ v / here.norm() / v.norm()
                expected[b] += here @ v / 15
                angled[b] += here @ v * max(0.1, cos) ** 2 / 15
    torch.testing.assert_close(dream.direction("a", v)(s), expected)
    torch.testing.assert_close(dream.direction("a", v, power=2)(s), angled)
    torch.testing.assert_close(dream.direction("a", v, 1, 2)(s), a[:, :, 1, 2] @ v)
    each = torch.stack([v, 2 * v])
    torch.testing.assert_close(dream.direction("a", each)(s), expected * torch.tensor([1, 2]))
    unit = torch.eye(4)[2]
    torch.testing.assert_close(dream.direction("a", unit)(s), dream.channel("a", 2)(s))
    torch.testing.assert_close(dream.direction("fc", torch.eye(3)[1])(s), s.output[:, 1])


def test_diversity_is_minus_the_mean_cosine_of_the_gram_matrices():
    s = seen(3)
    grams = [sum(torch.outer(p, p) for p in x.flatten(1).T) for x in s.layers["a"]]
    cos = [[float((g * h).sum() / g.norm() / h.norm()) for h in grams] for g in grams]
    expected = [-sum(cos[i][j] for j in range(3) if j != i) / 2 for i in range(3)]
    torch.testing.assert_close(dream.diversity("a")(s), torch.tensor(expected, dtype=torch.float64))
    twice = s._replace(layers={"a": s.layers["a"][:1].expand(2, -1, -1, -1)})
    torch.testing.assert_close(dream.diversity("a")(twice), torch.full((2,), -1.0).double())
    with pytest.raises(ValueError, match="ask for n_images=2"):
        dream.diversity("a")(seen(1))


def test_penalties_against_naive_loops():
    s = seen()
    for b, x in enumerate(s.image):
        square = across = down = 0.0
        for c in range(3):
            for row in range(6):
                for col in range(7):
                    square += (float(x[c, row, col]) - 0.5) ** 2 / (3 * 6 * 7)
                    if col:
                        across += abs(float(x[c, row, col] - x[c, row, col - 1])) / (3 * 6 * 6)
                    if row:
                        down += abs(float(x[c, row, col] - x[c, row - 1, col])) / (3 * 5 * 7)
        assert float(dream.l2()(s)[b]) == pytest.approx(square)
        assert float(dream.total_variation()(s)[b]) == pytest.approx(across + down)
    blurred, kernel = torch.zeros_like(s.image), (0.25, 0.5, 0.25)
    for row in range(6):
        for col in range(7):
            for i, down in enumerate(kernel):
                for j, across in enumerate(kernel):
                    there = s.image[..., min(max(row + i - 1, 0), 5), min(max(col + j - 1, 0), 6)]
                    blurred[..., row, col] += down * across * there
    torch.testing.assert_close(dream.blur()(s), (s.image - blurred).square().mean(dim=(1, 2, 3)))


def test_objectives_add_scale_and_print():
    a, b = dream.channel("a", 1), dream.logit("dog")
    s = seen()
    total = 3 * a - b / 2 + -dream.l2()
    torch.testing.assert_close(total(s), 3 * a(s) - b(s) / 2 - dream.l2()(s))
    assert repr(total) == "3 * channel a 1 - 0.5 * logit dog - L2"
    assert repr(-(a - 2 * b)) == "-channel a 1 + 2 * logit dog"
    assert repr(a - 0.5 * dream.total_variation()) == "channel a 1 - 0.5 * total variation"
    assert repr(sum([a, b])) == "channel a 1 + logit dog"
    assert repr(dream.neuron("a", [0, 1, 2, 3], 1, 1)) == "neuron a [0, 1, 2, … 4 in all] at 1, 1"
    assert total.layers == ("a",) and total.output and not a.output and b.layers == ()
    assert repr(a) == "channel a 1"  # the parts stay as they were


def test_what_does_not_fit_is_refused():
    a, s = dream.channel("a", [0, 1]), seen()
    with pytest.raises(ValueError, match="about 2 and 3 images"):
        a + dream.logit([0, 1, 2])
    with pytest.raises(ValueError, match="finite number"):
        a * float("nan")
    for wrong in (lambda: a * a, lambda: a + 1, lambda: a - "b", lambda: a * True):
        with pytest.raises(TypeError):
            wrong()
    for wrong in ("7", 7.0, True, [], [1.5], None):
        with pytest.raises(TypeError, match="a channel is"):
            dream.channel("a", wrong)
    with pytest.raises(TypeError, match="a class is"):
        dream.logit(2.0)
    for objective in (dream.channel("a", 4), dream.neuron("a", [0, 4]), dream.channel("a", -1)):
        with pytest.raises(ValueError, match="a has no channel"):
            objective(s)
    with pytest.raises(ValueError, match="no position 5, 0"):
        dream.neuron("a", 0, 5, 0)(s)
    with pytest.raises(ValueError, match="needs row and col"):
        dream.neuron("a", 0, 5)
    with pytest.raises(ValueError, match="no rows and columns"):
        dream.neuron("fc", 0, 0, 0)(s)
    with pytest.raises(LookupError, match="no class 'cot'. Did you mean 'cat'"):
        dream.logit("cot")(s)
    with pytest.raises(LookupError, match="no class 3: they are numbered from 0 to 2"):
        dream.probability(3)(s)
    with pytest.raises(ValueError, match="has 4 channels, and the direction 3"):
        dream.direction("a", torch.ones(3))(s)
    with pytest.raises(ValueError, match="finite vector"):
        dream.direction("a", torch.ones(4) / 0)
