"""How often is photonet fooled, by which attack, at which size? Measured once, and shipped as a table.

Type: (model, images, labels) -> rows, one for each eps. `python -m cnnlab sweep attacks` measures all of it
again. Beside the shares stands what explains them: by how much the logit should fall if the network were
linear, and by how much it falls.
"""

import csv
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.atomic_files import possible, replacing
from cnnlab.data import photos
from cnnlab.data.loading import downloads
from cnnlab.methods.adversarial.fgsm import fgsm, random_noise
from cnnlab.methods.adversarial.linear_approximation import linear_approximation
from cnnlab.methods.adversarial.pgd import pgd
from cnnlab.methods.adversarial.result import completed
from cnnlab.methods.targets import top_classes
from cnnlab.nets import models
from cnnlab.validation import check_integer

SIZES = (1, 2, 4, 8)  # of 255
_FILE = "attacks.csv"


class Rates(NamedTuple):
    """One size of change, on some images.

    Attributes:
        source: where the images come from, and what their labels are.
        images: how many.
        eps255: eps times 255, "linf".
        noise, fgsm, pgd: the share that is named otherwise: by `random_noise`, `fgsm`, `pgd` of 10 steps.
        predicted: mean fall of the logit, if the network were linear: eps * |g|_1.
        within: what is left of that in [0, 1].
        measured: mean fall of the logit.
    """

    source: str
    images: int
    eps255: int
    noise: float
    fgsm: float
    pgd: float
    predicted: float
    within: float
    measured: float


def rates(
    model: nn.Module, images: Tensor, labels: Tensor, source: str, *, batch: int = 64
) -> Iterator[Rates]:
    """A row for each of SIZES.

    Args:
        model: any classifier.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) what it says itself; other images are not to be counted.
        source: to be written down.
        batch: images per pass.

    Raises:
        ValueError: the model names an image otherwise.
        KeyboardInterrupt: half of an attack gives no row.
    """
    wrong = int((top_classes(model, images, 1, batch=batch)[:, 0] != labels).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {len(images)} images are named wrongly without any attack: leave them out"
        )
    for size in SIZES:
        eps = size / 255
        shares = [
            completed(attack(model, images, eps, labels=labels, batch=batch)).success_rate
            for attack in (random_noise, fgsm, pgd)
        ]
        drop = linear_approximation(model, images, eps, labels=labels, batch=batch)
        means = [float(each.double().mean()) for each in (drop.predicted, drop.within, drop.measured)]
        yield Rates(source, len(images), size, *shares, *means)


def measure(
    file: Path, *, n_images: int = 200, root: str | Path | None = None, report: Callable[[str], None] = print
) -> Path:
    """Measure photonet on crops of the embedded photos and on photos that it has not seen; write the table.

    Args:
        file: csv.
        n_images: of each source.
        root: where Tiny ImageNet lies; see `downloads.cache`.
        report: called with a line of progress.

    Raises:
        OSError, PermissionError: it cannot be written there.
        ConnectionError: Tiny ImageNet is not on this machine, and there is no network.
    """
    n_images = check_integer(n_images, "n_images is a whole number, 1 or more")
    possible(file)  # before minutes are spent
    model, rows = models.load("photonet"), []
    for source, images, labels in _sources(model, n_images, root):
        for row in rates(model, images, labels, source):
            rows.append(row)
            fooled = f"noise {row.noise:.1%}, FGSM {row.fgsm:.1%}, PGD {row.pgd:.1%}"
            report(f"{row.source}, {row.eps255}/255: {fooled}")
    with replacing(file) as part, part.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(Rates._fields)
        writer.writerows(
            [f"{value:.5g}" if isinstance(value, float) else value for value in row] for row in rows
        )
    return file


def load() -> list[Rates]:
    """The shipped rows.

    Raises:
        OSError: the file is missing.

    >>> [row.eps255 for row in load()][:4]
    [1, 2, 4, 8]
    """
    text = files("cnnlab.nets").joinpath("runs", _FILE).read_text(encoding="utf-8")
    kinds = Rates.__annotations__
    return [
        Rates(**{name: kinds[name](value) for name, value in row.items()})
        for row in csv.DictReader(text.splitlines())
    ]


def _sources(model: nn.Module, images: int, root: str | Path | None) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, images, labels."""
    crops = photos.crops(size=64, n=images, seed=0).images
    yield (
        "crops of the embedded photos, labelled by photonet itself",
        crops,
        top_classes(model, crops, 1)[:, 0],
    )
    test = downloads.load("tiny_imagenet", "test", root)
    order = torch.randperm(len(test.labels), generator=torch.Generator().manual_seed(0))
    answers = top_classes(model, test.images, 1)[:, 0]
    right = order[(answers == test.labels)[order]][:images]
    yield (
        "Tiny ImageNet, 20 classes, validation images that photonet names rightly",
        test.images[right],
        test.labels[right],
    )
