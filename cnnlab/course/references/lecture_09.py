"""The right answers of lecture 09 (batch norm), and the mistakes that its checks know by name."""

import torch
from torch import nn

from cnnlab.course.references import Exercise, Mistake
from cnnlab.course.references.scores import Score
from cnnlab.nets import layers


class Inside(Score):
    """The layers in a block, as a formula that can be read in a message."""

    def __repr__(self):
        return f"f(x) = {self.text}"


def he(noise):
    """Standard normal numbers, (F, C) or (F, C, K, K) -> first weights for layers with ReLU, like them."""
    return noise * (2 / noise[0].numel()) ** 0.5


def normalise(x, weight, bias):
    """Batch norm in training: (N, C, H, W), (C,), (C,) -> (N, C, H, W)."""
    return _normal(x, (0, 2, 3)) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def fold(weight, scale, shift, mean, var):
    """(F, C, K, K) and four times (F,) -> a weight and a bias that do both: (F, C, K, K), (F,)."""
    return layers.fold(weight, None, scale, shift, mean, var)


def block(x, f):
    """A residual block: (N, C, H, W), a function -> (N, C, H, W)."""
    return (x + f(x)).relu()


def share_right(model, images, labels):
    """The share of right answers; the network comes out in the mode in which it came: -> number."""
    was = model.training
    share = _share(model.eval(), images, labels)
    model.train(was)
    return share


def standardise(x):
    """(N, C, H, W) -> the same, each channel with mean 0 and variance 1 over the batch."""
    return _normal(x, (0, 2, 3))


_EPS = 1e-5


def _normal(x, axes, *, eps=_EPS, unbiased=False, outside=False, squared=False):
    centred = x - x.mean(axes, keepdim=True)
    var = x.var(axes, unbiased=unbiased, keepdim=True)
    if squared:
        return centred / (var + eps)
    return centred / (var.sqrt() + eps if outside else (var + eps).sqrt())


def _wrong(axes=(0, 2, 3), **how):
    def normalise(x, weight, bias):
        return _normal(x, axes, **how) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

    return normalise


def _along_the_width(x, weight, bias):
    """Without keepdim and view: torch lays numbers of shape (C,) along the width."""
    return (x - x.mean((0, 2, 3))) / (x.var((0, 2, 3), unbiased=False) + _EPS).sqrt() * weight + bias


def _share(model, images, labels):
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).float().mean().item()


def _left_in_eval(model, images, labels):
    return _share(model.eval(), images, labels)


def _always_train(model, images, labels):
    share = _share(model.eval(), images, labels)
    model.train()
    return share


def _folded(weight, scale, shift, mean, var, *, root=True, eps=_EPS, axis=0):
    steep = scale / ((var + eps).sqrt() if root else var + eps)
    positions = [1] * weight.dim()
    positions[axis] = -1
    return weight * steep.view(positions), -mean * steep + shift


# --- cases: three that fit in the head, smallest first, and one random picture ---


def _random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _noises():
    return [
        (torch.tensor([[1.0, -1.0]]),),
        (torch.ones(1, 2, 1, 1),),
        (torch.ones(3, 1, 2, 2),),
        (_random(6, 3, 5, 5),),
    ]


def _batches():
    one, none = torch.ones(1), torch.zeros(1)
    small = torch.tensor([0.0, 0.01]).view(2, 1, 1, 1)
    return [
        (torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), one, none),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]).view(2, 1, 1, 2), torch.tensor([2.0]), torch.tensor([10.0])),
        (small, one, none),  # where eps can be seen
        (3 * _random(4, 3, 5, 3) + 1, torch.tensor([1.0, 0.5, -2.0]), torch.tensor([0.0, 1.0, 3.0])),
    ]


def _layers():
    def numbers(*values):
        return torch.tensor(values)

    return [
        (torch.ones(1, 1, 1, 1), numbers(1.0), numbers(0.0), numbers(3.0), numbers(4.0)),
        (torch.full((1, 2, 1, 1), 6.0), numbers(2.0), numbers(5.0), numbers(1.0), numbers(9.0)),
        (torch.ones(2, 2, 1, 1), numbers(1.0, 2.0), numbers(0.0, 1.0), numbers(1.0, 0.0), numbers(4.0, 0.25)),
        (
            _random(3, 3, 3, 3),
            _random(3, seed=1),
            _random(3, seed=2),
            _random(3, seed=3),
            _random(3, seed=4) ** 2 + 1e-4,
        ),
    ]


def _blocks():
    return [
        (torch.tensor([[[[1.0, 2.0]]]]), Inside("0 * x - 3", lambda x: 0 * x - 3)),
        (torch.tensor([[[[1.0, 2.0, 0.0]]]]), Inside("0 * x", lambda x: 0 * x)),
        (torch.tensor([[[[1.0, 0.5]]]]), Inside("2 - x", lambda x: 2 - x)),
        (_random(2, 3, 4, 5), Inside("x ** 2 - 1", lambda x: x**2 - 1)),  # x below zero, too
    ]


def _net(channels, training, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.BatchNorm2d(channels), nn.Flatten(), nn.Linear(4 * channels, 3, bias=False))
    with torch.no_grad():  # what it has seen until now is not what it is shown here
        net[0].running_mean.fill_(1.0)
        net[0].running_var.fill_(4.0)
    return net.train(training)


def _trainings():
    found = []
    cases = ((1, 2, True), (1, 20, True), (2, 9, False), (3, 30, True))
    for seed, (channels, n, training) in enumerate(cases, 1):
        images = _random(n, channels, 2, 2, seed=seed) + 1.5
        # What it says in evaluation is right but for the last picture: so the share is known.
        labels = _net(channels, False, seed)(images).argmax(dim=1)
        labels[-1] = (labels[-1] + 1) % 3
        found.append((_net(channels, training, seed), images, labels))
    return found


def _unscaled():
    return [(x,) for x, _, _ in _batches()[:3]] + [
        (torch.arange(8.0).view(2, 2, 1, 2),),
        (2 * _random(4, 3, 5, 3) - 1,),
    ]


EXERCISES = (
    Exercise(
        id="09.1",
        title="first weights by He",
        function=he,
        cases=_noises,
        mistakes=(
            Mistake("2 / inputs is the variance. The deviation is its root.", lambda z: z * 2 / z[0].numel()),
            Mistake(
                "That is 1 / inputs, for layers without ReLU. Half of each signal is lost: take 2.",
                lambda z: z / z[0].numel() ** 0.5,
            ),
            Mistake(
                "You divide by the outputs. What is added up are the inputs of one unit.",
                lambda z: z * (2 / (z.numel() / z.shape[1])) ** 0.5,
            ),
            Mistake(
                "You count the channels, but not the places of the kernel: inputs are C * K * K.",
                lambda z: z * (2 / z.shape[1]) ** 0.5,
            ),
            Mistake(
                "You divide by all weights of the layer. One unit has only noise[0].numel() of them.",
                lambda z: z * (2 / z.numel()) ** 0.5,
            ),
        ),
    ),
    Exercise(
        id="09.2",
        title="batch norm, forward",
        function=normalise,
        cases=_batches,
        mistakes=(
            Mistake("Each picture is normalised alone (instance norm). Take axis 0, too.", _wrong((2, 3))),
            Mistake("All channels share one mean. Each has its own: leave axis 1 out.", _wrong((0, 1, 2, 3))),
            Mistake("Each place has its own mean. All places of a channel belong together.", _wrong((0,))),
            Mistake("You divide by m - 1. The paper divides by m: unbiased=False.", _wrong(unbiased=True)),
            Mistake("eps stands outside the root. It belongs to the variance.", _wrong(outside=True)),
            Mistake("You divide by the variance. Divide by its root.", _wrong(squared=True)),
            Mistake(
                "The channels' numbers lie along the width. keepdim=True and view(1, -1, 1, 1) turn them.",
                _along_the_width,
            ),
            Mistake(
                "weight and bias lie along the width. view(1, -1, 1, 1) lays them along the channels.",
                lambda x, weight, bias: _normal(x, (0, 2, 3)) * weight + bias,
            ),
            Mistake("Scale and shift are missing.", lambda x, _weight, _bias: _normal(x, (0, 2, 3))),
        ),
    ),
    Exercise(
        id="09.3",
        title="fold batch norm into the convolution",
        function=fold,
        cases=_layers,
        mistakes=(
            Mistake("Divide by the root of the variance.", lambda *given: _folded(*given, root=False)),
            Mistake(
                "eps is missing: a channel that hardly varies would be divided by nearly nothing.",
                lambda *given: _folded(*given, eps=0.0),
            ),
            Mistake(
                "The mean goes through the scale as well: -mean * scale / sqrt(var + eps) + shift.",
                lambda w, g, b, m, v: (fold(w, g, b, m, v)[0], b - m),
            ),
            Mistake("The mean is added. It is taken away.", lambda w, g, b, m, v: fold(w, g, b, -m, v)),
            Mistake(
                "The factor belongs to the filters, axis 0. You multiplied the input channels, axis 1.",
                lambda *given: _folded(*given, axis=1),
            ),
            Mistake(
                "The factors lie along the width. view(-1, 1, 1, 1) lays them along the filters, axis 0.",
                lambda *given: _folded(*given, axis=3),
            ),
        ),
    ),
    Exercise(
        id="09.4",
        title="a residual block",
        function=block,
        cases=_blocks,
        mistakes=(
            Mistake("The shortcut is missing: add x.", lambda x, f: f(x).relu()),
            Mistake("The ReLU at the end is missing.", lambda x, f: x + f(x)),
            Mistake(
                "The ReLU comes before the sum. Then a block can only add, never take away.",
                lambda x, f: x + f(x).relu(),
            ),
            Mistake("x is multiplied by f(x). Add it.", lambda x, f: (x * f(x)).relu()),
        ),
    ),
    Exercise(
        id="09.bug",
        title="bug hunt: how good is it now?",
        function=share_right,
        cases=_trainings,
        mistakes=(
            Mistake("It is asked in training mode.", _share),
            Mistake(
                "The share is right. But the network stays in eval mode, and the training would go on so.",
                _left_in_eval,
            ),
            Mistake(
                "It ends in training mode, whatever it was before. Remember model.training first.",
                _always_train,
            ),
        ),
    ),
    Exercise(
        id="09.bug2",
        title="bug hunt: a line from another framework",
        function=standardise,
        cases=_unscaled,
        mistakes=(
            Mistake("The axes are those of (N, H, W, C).", lambda x: _normal(x, (0, 1, 2))),
            Mistake("Each picture is normalised for itself.", lambda x: _normal(x, (2, 3))),
            Mistake("All channels of a picture share one mean.", lambda x: _normal(x, (1, 2, 3))),
            Mistake("Each place of the map has its own mean.", lambda x: _normal(x, (0,))),
            Mistake("All channels share one mean.", lambda x: _normal(x, (0, 1, 2, 3))),
        ),
    ),
)
