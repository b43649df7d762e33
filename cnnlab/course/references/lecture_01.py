"""The right answers of lecture 01 (convolution), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake


def conv2d(image, kernel):
    """(H, W), (h, w) -> (H-h+1, W-w+1): slide, multiply, add."""
    height, width = kernel.shape
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    out = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            out[i, j] = (image[i : i + height, j : j + width] * kernel).sum()
    return out


def output_size(n, kernel, stride, padding, dilation):
    """How many positions a kernel has along a side of n pixels."""
    reach = dilation * (kernel - 1) + 1
    return (n + 2 * padding - reach) // stride + 1


def bias_relu(maps, bias):
    """(C, H, W), (C,) -> (C, H, W): one bias per channel, then max(0, .)."""
    return (maps + bias[:, None, None]).clamp(min=0)


def max_pool(image, size):
    """(H, W) -> pooled and switches, both (H // size, W // size)."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    pooled = torch.zeros(rows, columns)
    switches = torch.zeros(rows, columns, dtype=torch.int64)
    for i in range(rows):
        for j in range(columns):
            window = image[i * size : (i + 1) * size, j * size : (j + 1) * size]
            position = window.argmax().item()
            row, column = i * size + position // size, j * size + position % size
            pooled[i, j] = image[row, column]
            switches[i, j] = row * image.shape[1] + column
    return pooled, switches


def strided_conv2d(image, kernel, stride):
    """Like conv2d, but the window jumps by `stride`."""
    return conv2d(image, kernel)[::stride, ::stride]


# --- cases: three that fit in the head, smallest first, and one random shape ---


def _images_and_kernels():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])),
        (torch.arange(9.0).reshape(3, 3), torch.tensor([[1.0, 2.0]])),
        (torch.eye(4), torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])),
        (torch.rand(7, 6, generator=seeded), torch.randn(3, 2, generator=seeded)),
    ]


def _sizes():
    return [(5, 3, 1, 0, 1), (6, 3, 2, 1, 1), (7, 3, 1, 0, 2), (224, 11, 4, 2, 1), (32, 5, 3, 4, 3)]


def _maps_and_bias():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[-1.0]], [[2.0]]]), torch.tensor([0.5, -3.0])),
        # Two channels of 2x2: a bias along the wrong axis broadcasts here without an error.
        (torch.tensor([[[1.0, -2.0], [3.0, -4.0]], [[-1.0, 2.0], [-3.0, 4.0]]]), torch.tensor([2.0, -1.0])),
        (torch.zeros(3, 3, 3), torch.tensor([1.0, -1.0, 0.0])),
        (torch.randn(4, 3, 5, generator=seeded), torch.randn(4, generator=seeded)),
    ]


def _images_and_sizes():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[1.0, 2.0], [4.0, 3.0]]), 2),
        (torch.tensor([[1.0, 5.0, -2.0, -1.0], [3.0, 5.0, -4.0, -3.0]]), 2),  # a tie, and nothing above zero
        (torch.arange(30.0).reshape(5, 6), 2),  # the last row does not fill a window
        (torch.rand(9, 12, generator=seeded), 3),
    ]


def _strided():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.arange(9.0).reshape(3, 3), torch.tensor([[1.0]]), 2),
        (torch.arange(25.0).reshape(5, 5), torch.tensor([[1.0, 2.0], [3.0, 5.0]]), 2),
        (torch.arange(16.0).reshape(4, 4), torch.tensor([[1.0, -1.0]]), 1),
        (torch.rand(10, 8, generator=seeded), torch.randn(3, 3, generator=seeded), 3),
    ]


# --- the usual mistakes, each as somebody writes it ---


def _padded_to_same(image, kernel):
    height, width = kernel.shape
    wide = torch.zeros(image.shape[0] + height - 1, image.shape[1] + width - 1)
    wide[: image.shape[0], : image.shape[1]] = image
    return conv2d(wide, kernel)


def _one_short(image, kernel):
    right = conv2d(image, kernel)
    return right[: image.shape[0] - kernel.shape[0], : image.shape[1] - kernel.shape[1]]


def _overwritten(image, kernel):
    """`out[i, j] = product` in the inner loops keeps the last product only."""
    right = conv2d(image, kernel)
    height, width = kernel.shape
    return image[height - 1 :, width - 1 :][: right.shape[0], : right.shape[1]] * kernel[-1, -1]


def _switches_in_the_window(image, size):
    pooled, switches = max_pool(image, size)
    row, column = switches // image.shape[1], switches % image.shape[1]
    return pooled, (row % size) * size + column % size


def _last_of_equals(image, size):
    turned = image.flip(0, 1)[image.shape[0] % size :, image.shape[1] % size :]
    pooled, switches = max_pool(turned, size)
    rows, columns = pooled.shape
    width = columns * size
    row, column = rows * size - 1 - switches // width, width - 1 - switches % width
    return pooled.flip(0, 1), (row * image.shape[1] + column).flip(0, 1)


def _pool_from_zero(image, size):
    pooled, switches = max_pool(image, size)
    return pooled.clamp(min=0), switches


def _rows_counted_by_pooled_width(image, size):
    pooled, switches = max_pool(image, size)
    row, column = switches // image.shape[1], switches % image.shape[1]
    return pooled, row * pooled.shape[1] + column


def _mean_pool(image, size):
    _, switches = max_pool(image, size)
    rows, columns = switches.shape
    blocks = image[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return blocks.mean(dim=(1, 3)), switches


def _stride_left_out_of_the_window(image, kernel, stride):
    right = strided_conv2d(image, kernel, stride)
    return conv2d(image, kernel)[: right.shape[0], : right.shape[1]]


def _stride_in_the_rows_only(image, kernel, stride):
    right = strided_conv2d(image, kernel, stride)
    return conv2d(image, kernel)[::stride, : right.shape[1]]


EXERCISES = (
    Exercise(
        id="01.1",
        title="a convolution in loops",
        function=conv2d,
        cases=_images_and_kernels,
        mistakes=(
            Mistake("You flipped the kernel: that is the convolution of mathematics. Deep learning slides "
                    "the kernel as it is (a correlation).",
                    lambda image, kernel: conv2d(image, kernel.flip(0, 1))),
            Mistake("You padded the picture. Here the window stays inside, so the map is a little smaller: "
                    "(H-h+1, W-w+1).",
                    _padded_to_same),
            Mistake("One row and one column are missing: a window of h fits H-h+1 times, not H-h.",
                    _one_short),
            Mistake("You kept only the last product. Add them up: `+=`, or `.sum()` of the whole window.",
                    _overwritten),
            Mistake("You took the mean of the products. A neuron adds them.",
                    lambda image, kernel: conv2d(image, kernel) / kernel.numel()),
            Mistake("Rows and columns of the kernel are swapped (w[t, s] for w[s, t]).",
                    lambda image, kernel: conv2d(image, kernel.T)),
        ),
    ),
    Exercise(
        id="01.2",
        title="how large is the map?",
        function=output_size,
        cases=_sizes,
        mistakes=(
            Mistake("You forgot the + 1: the window also counts where it starts.",
                    lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
            Mistake("You counted the padding once. There is a border on both sides: 2 * padding.",
                    lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
            Mistake("You left the dilation out. A kernel reaches over dilation * (kernel - 1) + 1 pixels.",
                    lambda n, k, s, p, d: (n + 2 * p - k) // s + 1),  # noqa: ARG005
            Mistake("A dilated kernel does not reach over dilation * kernel pixels: the holes lie between "
                    "its numbers, so it is dilation * (kernel - 1) + 1.",
                    lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
            Mistake("You rounded up. A window that hangs over the edge does not count: use //.",
                    lambda n, k, s, p, d: -((d * (k - 1) + 1 - n - 2 * p) // s) + 1),
            Mistake("The result is not a whole number. Divide with //, which rounds down.",
                    lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1),
        ),
    ),
    Exercise(
        id="01.3",
        title="bias and ReLU",
        function=bias_relu,
        cases=_maps_and_bias,
        mistakes=(
            Mistake("You added the bias after the ReLU. The neuron adds first, then cuts.",
                    lambda maps, bias: maps.clamp(min=0) + bias[:, None, None]),
            Mistake("You added the bias along the columns. It belongs to the channels: bias[:, None, None].",
                    lambda maps, bias: (maps + bias).clamp(min=0)),
            Mistake("You added the bias along the rows. It belongs to the channels: bias[:, None, None].",
                    lambda maps, bias: (maps + bias[:, None]).clamp(min=0)),
            Mistake("You took absolute values. A ReLU sets negative values to 0.",
                    lambda maps, bias: (maps + bias[:, None, None]).abs()),
            Mistake("The ReLU is missing: negative values are left.",
                    lambda maps, bias: maps + bias[:, None, None]),
            Mistake("The bias is missing: only the ReLU was applied.",
                    lambda maps, bias: maps.clamp(min=0)),  # noqa: ARG005
        ),
    ),
    Exercise(
        id="01.4",
        title="max pooling that remembers",
        function=max_pool,
        cases=_images_and_sizes,
        mistakes=(
            Mistake("Your switches count inside the window. They must name a pixel of the whole picture: "
                    "row * W + column.",
                    _switches_in_the_window),
            Mistake("Of equal values you kept the last. By custom the first one wins.", _last_of_equals),
            Mistake("The maximum starts from 0: a window of negative values gives 0. Start from its values.",
                    _pool_from_zero),
            Mistake("You multiply the row by the width of the pooled map. A switch counts in the picture: "
                    "use its width.",
                    _rows_counted_by_pooled_width),
            Mistake("You pooled the mean. Max pooling keeps the largest value.", _mean_pool),
        ),
    ),
    Exercise(
        id="01.bug",
        title="bug hunt: a convolution with a stride",
        function=strided_conv2d,
        cases=_strided,
        mistakes=(
            Mistake("The map has the right size, but every window is read one pixel further, not one stride "
                    "further. Where is position (i, j) in the picture?",
                    _stride_left_out_of_the_window),
            Mistake("The stride is right for the rows, but not for the columns.", _stride_in_the_rows_only),
            Mistake("The stride is ignored: you return every position.",
                    lambda image, kernel, stride: conv2d(image, kernel)),  # noqa: ARG005
            Mistake("You flipped the kernel. Here it slides as it is.",
                    lambda image, kernel, stride: strided_conv2d(image, kernel.flip(0, 1), stride)),
        ),
    ),
)
