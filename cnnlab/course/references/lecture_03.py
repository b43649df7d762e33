"""The right answers of lecture 03 (activations), and the mistakes that its checks know by name."""

from collections import OrderedDict

import torch
from torch import nn

from cnnlab.course.references import Exercise, Mistake


def record(model, name, image):
    """(model, "conv1", (1, C, H, W)) -> what that layer puts out: hook, run, unhook."""
    kept = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_hook(lambda *seen: kept.append(seen[2].detach().clone()))
    try:
        model(image)
    finally:
        handle.remove()
    return kept[0]


def sparsity(batches):
    """A list of activations (n, C, H, W) -> the share of zeros in all of them."""
    zeros = sum((batch == 0).sum().item() for batch in batches)
    return zeros / sum(batch.numel() for batch in batches)


def nearest(code, codes, k):
    """(D,), (N, D), k -> the places (k,) of the nearest codes, the nearest first."""
    return (codes - code).norm(dim=1).argsort()[:k]


def vector_at(maps, row, column, side):
    """(C, h, w), and a pixel of a picture with `side` rows -> the C activations at that place."""
    cell = side // maps.shape[1]  # pixels of the picture for each cell of the maps
    return maps[:, row // cell, column // cell]


# --- cases: three that fit in the head, smallest first, and one random shape ---


def _small_net(in_place: bool) -> nn.Module:
    layers = {
        "twice": nn.Conv2d(1, 1, 1, bias=False),
        "relu": nn.ReLU(inplace=in_place),
        "mean": nn.AdaptiveAvgPool2d(1),
    }
    net = nn.Sequential(OrderedDict(layers))
    nn.init.constant_(net.twice.weight, 2.0)
    return net.eval().requires_grad_(False)


class _Fails(nn.Module):
    """A layer that cannot do its work: what a student's record must survive."""

    def forward(self, _):
        raise RuntimeError("this layer cannot do its work")


def _net_that_fails() -> nn.Module:
    net = _small_net(False)
    net.add_module("fails", _Fails())
    return net


def _nets():
    seeded = torch.Generator().manual_seed(0)
    image = torch.tensor([[[[1.0, -2.0]]]])
    return [
        (_small_net(False), "relu", image),
        (_small_net(False), "mean", image),
        (_small_net(True), "twice", image),
        (_small_net(True), "twice", torch.randn(2, 1, 3, 4, generator=seeded)),
        (_net_that_fails(), "relu", image),
    ]


def _batches():
    seeded = torch.Generator().manual_seed(0)
    return [
        ([torch.tensor([[[[0.0, 3.0], [1.0, 2.0]]]])],),
        ([torch.zeros(3, 1, 1, 2), torch.ones(1, 1, 1, 2)],),
        ([torch.tensor([[[[0.0]], [[0.0]], [[0.5]]]]), torch.tensor([[[[1e-8]], [[0.0]], [[2.0]]]])],),
        # Some networks put out negative numbers, too: those are no zeros.
        ([torch.tensor([[[[-2.0, 0.0, -1.0, 4.0]]]])],),
        ([torch.randn(n, 3, 2, 2, generator=seeded).clamp(min=0) for n in (4, 4, 1)],),
    ]


def _codes():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([0.0]), torch.tensor([[3.0], [-1.0], [2.0]]), 2),
        (torch.tensor([1.0, 1.0]), torch.tensor([[9.0, 9.0], [1.0, 0.0], [-1.0, -1.0]]), 1),
        (torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [0.5, 0.0], [4.0, 4.0]]), 3),
        (torch.tensor([0.0, 0.0]), torch.tensor([[3.0, 3.0], [5.0, 0.0]]), 1),
        (torch.randn(5, generator=seeded), torch.randn(12, 5, generator=seeded), 4),
    ]


def _maps():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 0, 1, 2),
        (torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]), 3, 1, 4),
        (torch.arange(16.0).reshape(1, 4, 4), 3, 5, 8),
        (torch.randn(3, 8, 8, generator=seeded), 17, 50, 64),
    ]


def _leaves_its_hook(model, name, image):
    kept = []
    model.get_submodule(name).register_forward_hook(lambda *seen: kept.append(seen[2].detach().clone()))
    model(image)
    return kept[0]


def _output(*seen):  # not a copy
    return seen[2]


def _input(*seen):
    return seen[1][0].clone()


def _copy(*seen):
    return seen[2].detach().clone()


def _recording(keep, careful=True):
    """A record of keep(module, inputs, output); a careful one takes its hook off also after an error."""

    def recorded(model, name, image):
        kept = []
        handle = model.get_submodule(name).register_forward_hook(lambda *seen: kept.append(keep(*seen)))
        try:
            model(image)
        except Exception:
            if careful:
                handle.remove()
            raise
        handle.remove()
        return kept[0]

    return recorded


def _mean_of_means(batches):
    return sum((batch == 0).double().mean().item() for batch in batches) / len(batches)


def _empty_channels(batches):
    empty = [(batch == 0).flatten(2).all(dim=2) for batch in batches]
    return sum(each.sum().item() for each in empty) / sum(each.numel() for each in empty)


def _whole_network(model, name, image):  # noqa: ARG001
    return model(image)


def _pixels_as_cells(maps, row, column, side):  # noqa: ARG001
    return maps[:, row % maps.shape[1], column % maps.shape[2]]


EXERCISES = (
    Exercise(
        id="03.1",
        title="record a layer with a hook",
        function=record,
        cases=_nets,
        mistakes=(
            Mistake(
                "No copy: the ReLU behind this layer works in place and overwrote your record. Keep "
                "output.clone().",
                _recording(_output),
            ),
            Mistake(
                "Two things. You kept the output itself, and the ReLU behind this layer overwrote it: keep a "
                "copy. And the hook stays on if the network fails: remove it under `finally:`.",
                _recording(_output, careful=False),
            ),
            Mistake(
                "Your record is right, but if the network fails, your hook stays on it for ever. Run the "
                "network under `try:` and remove the hook under `finally:`.",
                _recording(_copy, careful=False),
            ),
            Mistake(
                "The hook is still there: the next pass will run it again. Call handle.remove().",
                _leaves_its_hook,
            ),
            Mistake(
                "That is what goes INTO the layer. A forward hook gets (module, inputs, output): keep "
                "the third.",
                _recording(_input),
            ),
            Mistake(
                "Two things. You kept what goes into the layer: keep the third, the output. And the hook "
                "stays on if the network fails: remove it under `finally:`.",
                _recording(_input, careful=False),
            ),
            Mistake(
                "That is what the whole network puts out, not this layer.",
                _whole_network,
            ),
        ),
    ),
    Exercise(
        id="03.2",
        title="sparsity over a data set",
        function=sparsity,
        cases=_batches,
        mistakes=(
            Mistake(
                "A mean of means: a small last batch counts as much as a full one. Add up the zeros, add "
                "up the numbers, divide once.",
                _mean_of_means,
            ),
            Mistake(
                "You counted negative numbers as zeros. Silent means exactly zero: (batch == 0).",
                lambda batches: sum((batch <= 0).sum().item() for batch in batches)
                / sum(batch.numel() for batch in batches),
            ),
            Mistake("That is the share that is NOT zero.", lambda batches: 1 - sparsity(batches)),
            Mistake("You counted channels that are empty everywhere. Count single numbers.", _empty_channels),
            Mistake(
                "You counted the zeros. A share is the zeros over all numbers.",
                lambda batches: float(sum((batch == 0).sum().item() for batch in batches)),
            ),
        ),
    ),
    Exercise(
        id="03.3",
        title="the nearest pictures",
        function=nearest,
        cases=_codes,
        mistakes=(
            Mistake(
                "Those are the farthest ones: argsort starts with the smallest already.",
                lambda code, codes, k: (codes - code).norm(dim=1).argsort(descending=True)[:k],
            ),
            Mistake(
                "That is the largest product, not the smallest distance: a long code is near to "
                "everything then.",
                lambda code, codes, k: (codes @ code).argsort(descending=True)[:k],
            ),
            Mistake(
                "You added up the absolute differences. The straight distance squares them: norm(dim=1).",
                lambda code, codes, k: (codes - code).abs().sum(dim=1).argsort()[:k],
            ),
            Mistake(
                "You left out the nearest one, as if it were the picture itself. It is not in the bank.",
                lambda code, codes, k: (codes - code).norm(dim=1).argsort()[1 : k + 1],
            ),
            Mistake(
                "Those are the distances. Asked for is where the nearest ones stand: argsort.",
                lambda code, codes, k: (codes - code).norm(dim=1).sort().values[:k],
            ),
        ),
    ),
    Exercise(
        id="03.bug",
        title="bug hunt: the vector of a place",
        function=vector_at,
        cases=_maps,
        mistakes=(
            Mistake(
                "Rows and columns are still swapped: maps are (C, rows, columns).",
                lambda maps, row, column, side: maps[
                    :, column // (side // maps.shape[1]), row // (side // maps.shape[1])
                ],
            ),
            Mistake(
                "Pixels are not cells: a map of 8x8 over 64 pixels has one cell for every 8 pixels.",
                _pixels_as_cells,
            ),
            Mistake(
                "That is one number. All channels of the place are wanted: maps[:, row, column].",
                lambda maps, row, column, side: maps[
                    0, row // (side // maps.shape[1]), column // (side // maps.shape[1])
                ],
            ),
        ),
    ),
)
