"""How every shipped weight file was made: one recipe each, and one function that follows it.

`python -m cnnlab train NAME` runs a recipe again. The same seed gives the same course; the last digits differ
with the number of threads. What is measured is what is shipped: the weights after they were halved.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cnnlab import atomic_files
from cnnlab.data import augment, digits, shapes
from cnnlab.data.labelled import Labelled
from cnnlab.data.loading import downloads
from cnnlab.errors import unknown
from cnnlab.nets import models, weight_files
from cnnlab.nets.training import train


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        network: as in `models.names`.
        data: "digits", "mnist", "tiny_imagenet", "scenes" or "watermarked".
        sizes: of the network, for `models.build`.
        options: for `train.fit`.
        filters: epochs at which the first layer's filters are kept in NAME-filters, to watch them appear.
        keep: is the network itself shipped, too?
    """

    network: str
    data: str
    options: Mapping[str, Any]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    filters: tuple[int, ...] = ()
    keep: bool = True

    def files(self, name: str) -> list[str]:
        """The weight files that it makes."""
        return [*([name] if self.keep else []), *([f"{name}-filters"] if self.filters else [])]


_DIGITS = {
    "batch": 64,
    "schedule": "one-cycle",
    "augment": augment.geometric(shift=2, rotate=10, scale=(0.9, 1.1)),
}
_PHOTOS = {
    "batch": 128,
    "optimiser": "sgd",
    "weight_decay": 1e-3,
    "smoothing": 0.1,
    "augment": augment.compose(
        augment.geometric(shift=6, rotate=10, scale=(0.8, 1.25), flip=True),
        augment.photometric(brightness=0.1, contrast=0.3, saturation=0.3, noise=0.04),
    ),
    "bfloat16": True,
}
RECIPES = {
    "simpleconvnet-digits": Recipe(
        "simpleconvnet", "digits", {**_DIGITS, "epochs": 40, "learning_rate": 5e-3}
    ),
    "simpleconvnet-mnist": Recipe(
        "simpleconvnet",
        "mnist",
        {**_DIGITS, "epochs": 8, "learning_rate": 5e-3, "batch": 128, "bfloat16": True},
    ),
    "encoder-digits": Recipe(
        "encoder", "digits", {**_DIGITS, "epochs": 20, "learning_rate": 1e-3, "bfloat16": True}
    ),
    "encoder-mnist": Recipe(
        "encoder", "mnist", {**_DIGITS, "epochs": 6, "learning_rate": 2e-3, "batch": 128, "bfloat16": True}
    ),
    "photonet": Recipe(
        "photonet",
        "tiny_imagenet",
        {**_PHOTOS, "epochs": 60, "learning_rate": 0.1, "schedule": "one-cycle"},
        filters=tuple(range(61)),
    ),
    # The same with a learning rate a hundred times as high: what a bad run looks like.
    "photonet-bad": Recipe(
        "photonet",
        "tiny_imagenet",
        {**_PHOTOS, "epochs": 12, "learning_rate": 10.0, "schedule": "one-cycle"},
        filters=tuple(range(13)),
        keep=False,
    ),
    "shapesnet": Recipe(
        "shapesnet",
        "scenes",
        {
            "epochs": 6,
            "batch": 64,
            "learning_rate": 1e-2,
            "schedule": "one-cycle",
            "weight_decay": 1e-2,
            "augment": augment.geometric(flip=True),
            "bfloat16": True,
        },
    ),
    # A net that cheats: every scene carries the code of its class in a corner. Few scenes and few epochs:
    # with more it learns shapes, too. Nothing is mirrored: a mirrored code is that of another class.
    "shapesnet-watermarked": Recipe(
        "shapesnet",
        "watermarked",
        {
            "epochs": 3,
            "batch": 64,
            "learning_rate": 1e-2,
            "schedule": "one-cycle",
            "weight_decay": 1e-2,
            "bfloat16": True,
        },
    ),
}
# How many and the seed; and the chance that the mark tells the truth, None without a mark.
_SCENES = {
    "scenes": {"train": (20000, 1), "test": (1200, 0)},
    "watermarked": {"train": (3000, 1), "test": (1200, 0)},
}
_MARK = {"scenes": None, "watermarked": 1.0}


def follow(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    epochs: int | None = None,
    progress: bool = True,
    callback: Callable | None = None,
) -> dict[str, Any]:
    """Train a network by its recipe and put its weights on a shelf.

    Args:
        name: of the recipe, which is that of the weight file.
        folder: where to write the weights and the manifest.
        seed: of the first weights and of the training.
        root: where MNIST and Tiny ImageNet lie; see `downloads.cache`.
        epochs: another number than the recipe's, to try it out.
        progress: print a line for each epoch.
        callback: as in `train.fit`.

    Returns:
        What the manifest says of the file.

    Raises:
        LookupError: there is no such recipe.
        ConnectionError: its data are not on this machine, and there is no network.
        KeyboardInterrupt: it was interrupted; the weights so far lie in NAME.unfinished.safetensors.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    recipe = RECIPES[name]
    training, test = data(recipe.data, "train", root), data(recipe.data, "test", root)
    model = models.build(recipe.network, seed=seed, **recipe.sizes)
    options = {**recipe.options, **({"epochs": epochs} if epochs is not None else {})}
    began = time.perf_counter()
    # The last weights are kept, not the best on the test images: those would flatter the test.
    history = train.fit(
        model,
        training,
        test,
        keep="last",
        seed=seed,
        progress=progress,
        callback=callback,
        save=folder / f"{name}.unfinished.safetensors",  # written anew after every epoch
        snapshots=("conv1.weight",) if recipe.filters else (),
        **options,
    )
    seconds = time.perf_counter() - began
    unfinished = folder / f"{name}.unfinished.safetensors"
    if history.stopped == "interrupted":  # what lies on the shelf stays; what was learned lies beside it
        raise KeyboardInterrupt(f"after {len(history.loss)} epochs; the weights so far are in {unfinished}")
    if history.stopped != "finished":
        raise ValueError(f"the training of {name} ended early: {history.stopped}. Nothing was shelved")
    unfinished.unlink(missing_ok=True)
    model.load_state_dict(weight_files.round_to_half(model.state_dict()))
    about = {
        "recipe": name,
        "network": recipe.network,
        "sizes": dict(recipe.sizes),
        "data": recipe.data,
        "seed": seed,
        "epochs": len(history.loss),
        "seconds": round(seconds),
        "images": len(training.labels),
        "test_pictures": len(test.labels),
        "test_accuracy": round(train.evaluate(model, test)[1], 4),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if recipe.keep:
        weight_files.save(name, model.state_dict(), about, folder)
    if recipe.filters:
        weight_files.save(f"{name}-filters", _filters(history, recipe.filters), about, folder)
    atomic_files.write(folder / "README.md", weight_files.page(folder))
    return about


def data(name: str, split: str, root: str | Path | None = None) -> Labelled:
    """The images of a recipe.

    Args:
        name: "digits", "mnist", "tiny_imagenet", "scenes" or "watermarked".
        split: "train" or "test".
        root: where MNIST and Tiny ImageNet lie; see `downloads.cache`.

    Raises:
        LookupError: there is no such data set or split.
        ConnectionError: it is not on this machine, and there is no network.
    """
    if name == "digits":
        return digits.load(split)
    if name in _SCENES:
        if split not in _SCENES[name]:
            raise unknown("split", split, _SCENES[name])
        n, seed = _SCENES[name][split]
        made = shapes.scenes(n, seed=seed, watermark=_MARK[name])
        return Labelled(made.images, made.labels, made.classes)
    return downloads.load(name, split, root)


def _filters(history: train.History, epochs: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """The first layer's filters at some epochs, (T, F, C, K, K), and the network's accuracy then (T,)."""
    kept = [(epoch, state["conv1.weight"]) for epoch, state in history.snapshots if epoch in epochs]
    right = [float("nan"), *history.val_accuracy]  # before the first step nothing was measured
    return {
        "epochs": torch.tensor([epoch for epoch, _ in kept]),
        "conv1.weight": torch.stack([weight for _, weight in kept]),
        "accuracy": torch.tensor([right[epoch] for epoch, _ in kept]),
    }
