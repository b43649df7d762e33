"""The written-out layers against torch, against their adjoints, and against numbers worked by hand."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from cnnlab.nets import layer_shapes, layers

KERNELS = [(3, 3), (1, 1), (2, 5)]
CONVS = [
    dict(stride=s, padding=p, dilation=d)
    for s, p, d in itertools.product([1, 2, (3, 1)], [0, 1, (2, 3)], [1, 2, (1, 2)])
]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(a, b, tolerance=1e-12):
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert (a - b).abs().max() <= tolerance


@pytest.mark.parametrize("options", CONVS, ids=str)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_both_convolutions_equal_torch(kernel, options):
    x, weight, bias = normal(1, 2, 9, 10), normal(3, 2, *kernel, seed=1), normal(3, seed=2)
    expected = F.conv2d(x, weight, bias, **options)
    close(layers.conv2d(x, weight, bias, **options), expected)
    close(layers.conv2d_loops(x, weight, bias, **options), expected)
    close(layers.conv2d_loops(x, weight, **options), F.conv2d(x, weight, **options))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_groups(groups, batch):
    x, weight, bias = normal(batch, 4, 7, 8), normal(8, 4 // groups, 3, 2, seed=1), normal(8, seed=2)
    options = dict(stride=2, padding=1, groups=groups)
    close(layers.conv2d(x, weight, bias, **options), F.conv2d(x, weight, bias, **options))


def test_float32():
    x, weight = normal(2, 3, 11, 11, dtype=torch.float32), normal(4, 3, 3, 3, dtype=torch.float32)
    close(layers.conv2d(x, weight), F.conv2d(x, weight), 1e-5)
    close(
        layers.conv_transpose2d(layers.conv2d(x, weight), weight),
        F.conv_transpose2d(F.conv2d(x, weight), weight),
        1e-4,
    )


def test_convolution_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    weight = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
    expected = torch.tensor([[[[-2.0, 0.0], [4.0, 6.0]]]])  # 0*1 + 1*2 + 3*0 - 4 = -2, and so on: not flipped
    assert torch.equal(layers.conv2d(x, weight), expected)
    assert torch.equal(layers.conv2d_loops(x, weight), expected)


TRANSPOSED = [
    dict(stride=s, padding=p, dilation=d, output_padding=o)
    for s, p, d in itertools.product([1, 2, (3, 1)], [0, 1, (0, 2)], [1, 2, (3, 1)])
    for o in [0, 1, (1, 0)]
    if all(
        o_ < max(s_, d_)
        for o_, s_, d_ in zip(layer_shapes.pair(o), layer_shapes.pair(s), layer_shapes.pair(d), strict=True)
    )
]


@pytest.mark.parametrize("options", TRANSPOSED, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_equals_torch(groups, options):
    y, weight, bias = normal(2, 4, 5, 4), normal(4, 3, 3, 4, seed=1), normal(3 * groups, seed=2)
    expected = F.conv_transpose2d(y, weight, bias, groups=groups, **options)
    close(layers.conv_transpose2d(y, weight, bias, groups=groups, **options), expected)


def test_output_padding_beyond_the_stride():  # allowed by torch where the dilation is larger
    y, weight = normal(1, 2, 4, 4), normal(2, 1, 2, 2)
    options = dict(stride=1, dilation=3, output_padding=2)
    close(layers.conv_transpose2d(y, weight, **options), F.conv_transpose2d(y, weight, **options))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [9, 10, 11])
@pytest.mark.parametrize("stride, padding, dilation", list(itertools.product([1, 2, 3], [0, 2], [1, 2])))
def test_transposed_convolution_is_the_adjoint(size, stride, padding, dilation, groups):
    x, weight = normal(1, 4, size, size), normal(6, 4 // groups, 3, 3, seed=1)
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    forth = layers.conv2d(x, weight, **options)
    y = normal(*forth.shape, seed=3)
    left_over = (size + 2 * padding - dilation * 2 - 1) % stride
    back = layers.conv_transpose2d(y, weight, output_padding=left_over, **options)
    assert back.shape == x.shape
    assert abs((forth * y).sum() - (x * back).sum()) < 1e-11


def test_transposed_convolution_is_the_transposed_jacobian():
    weight = normal(2, 1, 3, 3)
    jacobian = torch.autograd.functional.jacobian
    matrix = jacobian(lambda x: layers.conv2d(x, weight, stride=2), normal(1, 1, 5, 5))
    matrix = matrix.reshape(2 * 2 * 2, 25)
    y = normal(1, 2, 2, 2, seed=4)
    close((matrix.T @ y.flatten()).view(1, 1, 5, 5), layers.conv_transpose2d(y, weight, stride=2))
    assert ((matrix != 0).sum(1) == 9).all()


def test_gradients():
    x, weight, bias = normal(1, 2, 5, 5), normal(2, 1, 2, 3, seed=1), normal(2, seed=2)
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    assert gradcheck(lambda *a: layers.conv2d(*a, stride=2, padding=1, groups=2), (x, weight, bias))
    assert gradcheck(
        lambda *a: layers.conv_transpose2d(*a, stride=2, padding=1, output_padding=1, groups=2),
        (x, weight, bias),
    )
    one = weight[:, :1].detach().repeat(1, 2, 1, 1).requires_grad_()
    assert gradcheck(lambda *a: layers.conv2d_loops(*a, stride=2, dilation=(1, 2)), (x, one, bias))
    assert gradcheck(lambda x: layers.max_pool2d(x, 3, 2, 1)[0], (x,))
    assert gradcheck(layers.relu, (x,))
    switches = layers.max_pool2d(x, 3, 2, 1)[1]
    small = normal(1, 2, 3, 3).requires_grad_()
    assert gradcheck(lambda p: layers.max_unpool2d(p, switches, (5, 5)), (small,))


POOLS = [
    dict(size=s, stride=t, padding=p)
    for s, t, p in [
        (2, None, 0),
        (3, 2, 0),
        (3, 2, 1),
        (3, 1, 1),
        (2, 1, 1),
        ((2, 3), (3, 1), (1, 0)),
        (5, 5, 2),
    ]
]


@pytest.mark.parametrize("options", POOLS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 7, 9), (2, 3, 8, 11)])
def test_pooling_and_its_switches_equal_torch(shape, options):
    x = normal(*shape) - 3  # mostly negative: zeros as padding would win
    pooled, switches = layers.max_pool2d(x, **options)
    values, indices = F.max_pool2d(x, *options.values(), return_indices=True)
    assert torch.equal(pooled, values)
    assert torch.equal(switches, indices)


@pytest.mark.parametrize("options", POOLS, ids=str)
def test_unpooling_is_the_backward_pass_of_max_pooling(options):
    for x in (normal(2, 3, 8, 11), normal(2, 3, 8, 11).round()):  # without and with ties
        x.requires_grad_()
        y = F.max_pool2d(x, options["size"], options["stride"], options["padding"])
        value = normal(*y.shape, seed=1)
        (expected,) = torch.autograd.grad(y, x, value)
        pooled, switches = layers.max_pool2d(x, **options)
        close(layers.max_unpool2d(value, switches, x.shape), expected)
        close(layers.max_unpool2d(value, switches, (8, 11)), expected)
        close(torch.autograd.grad(pooled, x, value)[0], expected)


def test_overlapping_windows_add_where_torch_overwrites():
    x = torch.zeros(1, 1, 3, 5)
    x[0, 0, 1, 2] = 1  # the maximum of both 3 x 3 windows
    pooled, switches = layers.max_pool2d(x, 3, 2)
    back = layers.max_unpool2d(pooled, switches, x.shape)
    assert back[0, 0, 1, 2] == 2
    assert back.sum() == 2


def test_ties_go_to_the_first_pixel():
    x = torch.zeros(1, 1, 4, 4)
    assert layers.max_pool2d(x, 2)[1].flatten().tolist() == [0, 2, 8, 10]


def test_minus_infinity_and_nan():
    x = torch.full((1, 1, 4, 4), -torch.inf)
    pooled, switches = layers.max_pool2d(x, 3, 2, 1)
    values, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert torch.equal(pooled, values)
    assert torch.equal(switches, indices)  # a real pixel each, never the padding
    x = normal(1, 1, 4, 4)
    x[0, 0, 2, 1] = torch.nan
    pooled, switches = layers.max_pool2d(x, 2)
    assert pooled[0, 0, 1, 0].isnan() and switches[0, 0, 1, 0] == 9
    assert pooled.isnan().sum() == 1


def test_relu():
    x = torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 2.0, torch.inf, torch.nan])
    assert torch.equal(layers.relu(x)[:-1], F.relu(x)[:-1])
    assert layers.relu(x)[-1].isnan()
    x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(layers.relu(x).sum(), x)[0].tolist() == [0, 0, 1]


def test_output_size_counts_what_torch_puts_out():
    for n, k, s, p, d in itertools.product([5, 8, 13], [1, 2, 3], [1, 2, 3], [0, 1], [1, 2]):
        line = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p, dilation=d)
        assert layers.output_size(n, k, stride=s, padding=p, dilation=d) == line.shape[-1]


def test_the_caller_keeps_his_tensors():
    x, weight = normal(1, 2, 6, 6), normal(2, 2, 3, 3)
    before = x.clone(), weight.clone()
    pooled, switches = layers.max_pool2d(layers.relu(layers.conv2d(x, weight, padding=1)), 2)
    layers.conv_transpose2d(layers.max_unpool2d(pooled, switches, (6, 6)), weight)
    layers.conv2d_loops(x, weight)
    assert torch.equal(x, before[0]) and torch.equal(weight, before[1])


X, Y, W = torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(4, 3, 3, 3)
WRONG = {
    "one image without its batch axis": (lambda: layers.conv2d(X[0], W), r"x\[None\]"),
    "channels": (lambda: layers.conv2d(X[:, :2], W), "x has 2 channels.*takes 3"),
    "loops, channels": (lambda: layers.conv2d_loops(X[:, :2], W), "x has 2 channels.*takes 3"),
    "weight of a linear layer": (lambda: layers.conv2d(X, W[0, 0]), r"axes \(F, C, K, K\)"),
    "bias": (lambda: layers.conv2d(X, W, torch.zeros(3)), r"shape \(4,\)"),
    "groups": (lambda: layers.conv2d(X, W, groups=2), "2 groups"),
    "stride": (lambda: layers.conv2d(X, W, stride=0), "stride must be at least 1"),
    "too small": (lambda: layers.conv2d(X[..., :2], W), r"window of 3 pixels .* 2 \+ 2\*0"),
    "transposed, channels": (lambda: layers.conv_transpose2d(X, W), "y has 3 channels.*4 filters"),
    "transposed, bias": (lambda: layers.conv_transpose2d(Y, W, torch.zeros(4)), r"shape \(3,\)"),
    "output_padding": (lambda: layers.conv_transpose2d(Y, W, output_padding=1), "output_padding 1"),
    "transposed, padding": (lambda: layers.conv_transpose2d(Y, W, padding=9), "cuts the whole"),
    "pool padding": (lambda: layers.max_pool2d(X, 2, padding=2), "half of the window"),
    "pool too large": (lambda: layers.max_pool2d(X, 9), "does not fit"),
    "unpool, shapes": (lambda: layers.max_unpool2d(X, X.long()[..., :4], (8, 8)), "must have one shape"),
    "unpool, target": (lambda: layers.max_unpool2d(X, X.long(), (1, 2, 8, 8)), r"\(1, 3, H, W\)"),
    "unpool, outside": (lambda: layers.max_unpool2d(X, X.long() + 64, (8, 8)), "points at pixel 64"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_are_named(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_pooling_whole_numbers_is_refused():
    with pytest.raises(TypeError, match=r"x\.float\(\)"):
        layers.max_pool2d(torch.zeros(1, 1, 4, 4, dtype=torch.int64), 2)


@pytest.mark.parametrize("shape", ((4, 3, 5, 5), (2, 3, 1, 1), (6, 3), (1, 3, 2, 2)))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_batch_norm_against_torch(shape, dtype):
    """Both ways, forward, backward and the running numbers, over three batches."""
    peer = torch.nn.BatchNorm2d(3) if len(shape) == 4 else torch.nn.BatchNorm1d(3)
    peer = peer.to(dtype)
    with torch.no_grad():
        peer.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        peer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    weight, bias = (p.detach().clone().requires_grad_() for p in (peer.weight, peer.bias))
    mean, var = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
    for training in (True, True, False, True):
        peer.train(training)
        x = (3 * torch.randn(shape, dtype=dtype) + 1).requires_grad_()
        again = x.detach().clone().requires_grad_()
        expected = peer(again)
        y, mean, var = layers.batch_norm(x, weight, bias, mean, var, training=training)
        close = {"atol": 1e-10 if dtype == torch.float64 else 2e-5}
        assert torch.allclose(y, expected, **close)
        assert torch.allclose(mean, peer.running_mean, **close) and torch.allclose(
            var, peer.running_var, **close
        )
        pull = torch.randn_like(y)
        ours = torch.autograd.grad((y * pull).sum(), (x, weight, bias))
        theirs = torch.autograd.grad((expected * pull).sum(), (again, peer.weight, peer.bias))
        scale = max(part.abs().max().item() for part in theirs)
        assert all(
            torch.allclose(a, b, atol=close["atol"] * 10 * scale) for a, b in zip(ours, theirs, strict=True)
        )


def test_batch_norm_refuses_what_torch_refuses():
    one = torch.ones(3)
    with pytest.raises(ValueError, match="train with two images or more"):
        layers.batch_norm(torch.rand(1, 3), one, one, one, one, training=True)
    with pytest.raises(ValueError, match=r"\(C,\); not \(2, 4\), \(3,\)"):
        layers.batch_norm(torch.rand(2, 4), one, one, one, one, training=False)
    alone = layers.batch_norm(torch.rand(1, 3), one, one, one, one, training=False)[0]
    assert alone.shape == (1, 3)  # when testing, an image may be alone


def test_batch_norm_gives_mean_zero_and_variance_one_and_leaves_its_arguments():
    x, mean, var = 5 + 2 * torch.randn(8, 2, 6, 6), torch.zeros(2), torch.ones(2)
    y, new_mean, _ = layers.batch_norm(x, torch.ones(2), torch.zeros(2), mean, var, training=True)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(y.var((0, 2, 3), unbiased=False), torch.ones(2), atol=1e-4)
    assert torch.equal(mean, torch.zeros(2)) and new_mean.min() > 0.3


@pytest.mark.parametrize("rate", (0.0, 0.2, 0.5, 0.9))
def test_dropout_keeps_the_mean_and_has_the_known_variance(rate):
    """E = x and Var = x^2 p / (1 - p); the backward pass is the same mask."""
    x = torch.full((200_000,), 3.0, requires_grad=True)
    dropped, kept = layers.dropout(x, rate, generator=torch.Generator().manual_seed(0))
    assert dropped.mean().item() == pytest.approx(3, abs=0.06)
    assert dropped.var().item() == pytest.approx(9 * rate / (1 - rate), rel=0.03, abs=1e-9)
    assert kept.float().mean().item() == pytest.approx(1 - rate, abs=0.005)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.allclose(gradient, kept / (1 - rate))
    again = layers.dropout(x, rate, generator=torch.Generator().manual_seed(0))[1]
    assert torch.equal(kept, again)


def test_dropout_against_torch_by_its_values():
    x = torch.rand(1000) + 1
    ours, theirs = layers.dropout(x, 0.3)[0], torch.nn.functional.dropout(x, 0.3)
    for dropped in (ours, theirs):
        stayed = dropped != 0
        assert torch.allclose(dropped[stayed], x[stayed] / 0.7) and 600 < stayed.sum() < 800


@pytest.mark.parametrize("rate", (-0.1, 1.0, float("nan")))
def test_dropout_refuses_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match="from 0 to below 1"):
        layers.dropout(torch.ones(3), rate)
