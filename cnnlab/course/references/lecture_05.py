"""The right answers of lecture 05 (deconvnet), and the mistakes that its checks know by name."""

import torch
import torch.nn.functional as F

from cnnlab.course.references import Exercise, Mistake


def unpool(pooled, switches, height, width):
    """(h, w), (h, w), H, W -> (H, W): every number back at its place; what meets there adds up."""
    large = torch.zeros(height * width)
    large.scatter_add_(0, switches.flatten(), pooled.flatten())
    return large.view(height, width)


def back_through_relu(x, g, rule):
    """(H, W), (H, W), "gradient", "deconvnet" or "guided" -> (H, W)."""
    passes = {"gradient": x > 0, "deconvnet": g > 0, "guided": (x > 0) & (g > 0)}
    return g * passes[rule]


def back_through_conv(signal, weight, padding):
    """(1, F, h, w), (F, C, k, k), padding of the convolution -> (1, C, H, W)."""
    return F.conv_transpose2d(signal, weight, padding=padding)


def one_layer_deconvnet(image, weight, channel):
    """(1, C, H, W), (F, C, 3, 3), int -> (1, C, H, W): conv, ReLU, pool; back from the strongest unit."""
    return _one_layer(image, weight, channel)


def guided(x, g):
    """(H, W), (H, W) -> (H, W): g where both are positive."""
    return g * ((x > 0) & (g > 0))


def _one_layer(
    image, weight, channel, *, every=False, whole=False, start=None, switched=True, transposed=True
):
    """The deconvnet of one layer, and what becomes of it if a step is left out."""
    maps = F.conv2d(image, weight, padding=1).clamp(min=0)
    pooled, switches = F.max_pool2d(maps, 2, return_indices=True)
    alone = torch.zeros_like(pooled)
    position = pooled[0, channel].argmax()
    value = pooled[0, channel].view(-1)[position] if start is None else start
    alone[0, channel].view(-1)[position] = value
    if whole:
        alone[0, channel] = pooled[0, channel]
    signal = pooled if every else alone
    if switched:
        signal = F.max_unpool2d(signal, switches, 2, output_size=maps.shape[-2:])
    else:
        signal = F.interpolate(signal, size=maps.shape[-2:], mode="nearest")
    signal = signal.clamp(min=0)
    if transposed:
        return F.conv_transpose2d(signal, weight, padding=1)
    return F.conv2d(signal, weight.transpose(0, 1), padding=1)


# --- cases: three that fit in the head, smallest first, and one random shape ---


def _switches():
    seeded = torch.Generator().manual_seed(0)
    image = torch.rand(1, 7, 9, generator=seeded)
    pooled, switches = F.max_pool2d(image, 3, stride=2, return_indices=True)
    return [
        (torch.tensor([[5.0]]), torch.tensor([[3]]), 2, 2),
        (torch.tensor([[4.0, 3.0]]), torch.tensor([[4, 1]]), 2, 4),
        (torch.tensor([[9.0, 9.0]]), torch.tensor([[2, 2]]), 1, 5),
        (pooled[0], switches[0], 7, 9),
    ]


def _signals():
    seeded = torch.Generator().manual_seed(0)
    # The last place is exactly at the ReLU's corner: nothing went through, and nothing comes back.
    x, g = torch.tensor([[1.0, -1.0, 2.0, -3.0, 0.0]]), torch.tensor([[2.0, 3.0, -4.0, -5.0, 6.0]])
    wide = torch.randn(2, 5, 6, generator=seeded)
    three = [(x, g, rule) for rule in ("gradient", "deconvnet", "guided")]
    return [*three, (*wide, "guided"), (*wide, "deconvnet")]


def _convolutions():
    seeded = torch.Generator().manual_seed(0)
    kernel = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    dot = torch.zeros(1, 1, 3, 3)
    dot[0, 0, 0, 1] = 1.0
    return [
        (torch.ones(1, 1, 1, 1), kernel, 0),
        (dot, kernel, 1),
        (torch.ones(1, 2, 2, 2), torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)]), 0),
        (torch.randn(1, 4, 6, 5, generator=seeded), torch.randn(4, 3, 5, 5, generator=seeded), 2),
    ]


def _images():
    seeded = torch.Generator().manual_seed(0)
    dot = torch.zeros(1, 1, 4, 4)
    dot[0, 0, 1, 2] = 2.0
    plain = torch.zeros(1, 1, 3, 3)
    plain[0, 0, 1, 1], plain[0, 0, 1, 2] = 1.0, -0.5
    return [
        (dot, plain, 0),
        (torch.arange(16.0).reshape(1, 1, 4, 4) / 8, plain, 0),
        (torch.rand(1, 1, 6, 6, generator=seeded), torch.randn(2, 1, 3, 3, generator=seeded), 1),
        (torch.rand(1, 3, 8, 10, generator=seeded), torch.randn(4, 3, 3, 3, generator=seeded), 2),
    ]


def _pairs():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[3.0]]), torch.tensor([[2.0]])),
        (torch.tensor([[1.0, -1.0, 0.5]]), torch.tensor([[2.0, 2.0, -2.0]])),
        (torch.tensor([[0.0, 4.0], [-1.0, 0.25]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]])),
        tuple(torch.randn(2, 5, 4, generator=seeded)),
    ]


# --- the usual mistakes, each as somebody writes it ---


def _overwrites(pooled, switches, height, width):
    large = torch.zeros(height * width)
    for value, position in zip(pooled.flatten().tolist(), switches.flatten().tolist(), strict=True):
        large[position] = value
    return large.view(height, width)


def _enlarged(pooled, switches, height, width):  # noqa: ARG001
    return F.interpolate(pooled[None, None], size=(height, width), mode="nearest")[0, 0]


def _wrong_width(pooled, switches, height, width):
    large = torch.zeros(height * width)
    large.scatter_add_(0, switches.flatten(), pooled.flatten())
    return large.view(width, height).T


def _ones_at_switches(pooled, switches, height, width):
    return unpool(torch.ones_like(pooled), switches, height, width)


def _swapped_rules(x, g, rule):
    return back_through_relu(x, g, {"gradient": "deconvnet", "deconvnet": "gradient"}.get(rule, rule))


def _either(x, g, rule):
    return g * ((x > 0) | (g > 0)) if rule == "guided" else back_through_relu(x, g, rule)


def _times_value(x, g, rule):
    passes = {"gradient": x.clamp(min=0) * g, "deconvnet": g.clamp(min=0) * g}
    return passes.get(rule, x.clamp(min=0) * g.clamp(min=0))


EXERCISES = (
    Exercise(
        id="05.1",
        title="unpool",
        function=unpool,
        cases=_switches,
        mistakes=(
            Mistake("Two windows can name the same pixel. There numbers add: scatter_add_.", _overwrites),
            Mistake("You spread every number over its window. It has one place: its switch.", _enlarged),
            Mistake("Rows and columns are swapped: the long row has `width` numbers to a row.", _wrong_width),
            Mistake("You put ones there. What goes back are the pooled numbers.", _ones_at_switches),
        ),
    ),
    Exercise(
        id="05.2",
        title="backwards through a ReLU",
        function=back_through_relu,
        cases=_signals,
        mistakes=(
            Mistake("Gradient and deconvnet are swapped: the gradient asks what went in, x.", _swapped_rules),
            Mistake("Guided asks for BOTH to be positive. You let pass where one of them is.", _either),
            Mistake(
                "You multiply by the value. A rule only asks whether it was positive: 1 or 0.",
                _times_value,
            ),
            Mistake(
                "Where x is exactly 0 the ReLU is closed: x > 0, not x >= 0.",
                lambda x, g, rule: back_through_relu(x + (x == 0), g, rule),
            ),
            Mistake(
                "You gave back the indicator. It has to be multiplied with the signal g.",
                lambda x, g, rule: (back_through_relu(x, g, rule) != 0).float(),
            ),
        ),
    ),
    Exercise(
        id="05.3",
        title="backwards through a convolution",
        function=back_through_conv,
        cases=_convolutions,
        mistakes=(
            Mistake(
                "The padding is left out: the result is larger than the picture was.",
                lambda signal, weight, padding: F.conv_transpose2d(signal, weight),  # noqa: ARG005
            ),
            Mistake(
                "You flipped the kernel. conv_transpose2d stamps it as it is; that is the transpose already.",
                lambda signal, weight, padding: back_through_conv(signal, weight.flip(2, 3), padding),
            ),
            Mistake(
                "That is a convolution with filters and channels swapped: it reads where it should stamp.",
                lambda signal, weight, padding: F.conv2d(signal, weight.transpose(0, 1), padding=padding),
            ),
        ),
    ),
    Exercise(
        id="05.4",
        title="a deconvnet of one layer",
        function=one_layer_deconvnet,
        cases=_images,
        mistakes=(
            Mistake(
                "All numbers go down. Keep the largest of the one channel, set the others to zero.",
                lambda image, weight, channel: _one_layer(image, weight, channel, every=True),
            ),
            Mistake(
                "The whole map of the channel goes down. Keep its largest number only.",
                lambda image, weight, channel: _one_layer(image, weight, channel, whole=True),
            ),
            Mistake(
                "You start with a 1. The walk starts with the unit's own activation.",
                lambda image, weight, channel: _one_layer(image, weight, channel, start=1.0),
            ),
            Mistake(
                "You enlarged the map instead of unpooling: without the switches the place is lost.",
                lambda image, weight, channel: _one_layer(image, weight, channel, switched=False),
            ),
            Mistake(
                "The last step reads where it should stamp: conv_transpose2d, not conv2d.",
                lambda image, weight, channel: _one_layer(image, weight, channel, transposed=False),
            ),
        ),
    ),
    Exercise(
        id="05.bug",
        title="bug hunt: guided back-propagation",
        function=guided,
        cases=_pairs,
        mistakes=(
            Mistake(
                "You multiply by the ReLU's value.",
                lambda x, g: g.clamp(min=0) * x.clamp(min=0),
            ),
            Mistake("That is the plain gradient: g must be positive, too.", lambda x, g: g * (x > 0)),
            Mistake("That is the deconvnet rule: x must be positive, too.", lambda _, g: g.clamp(min=0)),
            Mistake(
                "That is the indicator alone. Multiply it with g.",
                lambda x, g: ((x > 0) & (g > 0)).float(),
            ),
        ),
    ),
)
