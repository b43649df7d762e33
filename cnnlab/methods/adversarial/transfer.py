"""Does an image that fools one network fool another, which the attack has never asked?

Type: (networks, images, labels, attack) -> Transfer: a square table. If it does, to keep a network's weights
or gradients secret protects nothing.

Papers: Szegedy et al., Intriguing properties of neural networks, 2014; Papernot et al., Practical black-box
attacks, 2017.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, check_callable
from cnnlab.methods.adversarial.classifier import class_per_image
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import top_classes
from cnnlab.validation import check_integer

# (model, images, labels) -> AttackResult
Attack = Callable[[nn.Module, Tensor, Tensor], AttackResult]


class Transfer(NamedTuple):
    """Which images made for one network fool which.

    Attributes:
        names: of the M networks.
        success_rate: (M, M) the share fooled: the network of the column, by images made against that of the
            row.
        right: (N,) bool: the images that all networks name rightly. Only these were attacked and counted.
        images: one (n, C, H, W) for each row that was done, of these n images.
        passes: through all networks, those of the attacks included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress, "interrupted" by Ctrl+C, in an attack, too: then rows
            that were not done are nan.
    """

    names: tuple[str, ...]
    success_rate: Tensor
    right: Tensor
    images: list[Tensor]
    passes: Passes
    seconds: float
    stopped: str


def transfer(
    models: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    batch: int = 64,
    progress: Progress | None = None,
) -> Transfer:
    """Attack each network, and show what comes out to all.

    Args:
        models: name -> classifier, of the same classes in the same order, for images of this size.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) the true classes.
        attack: called as attack(model, images, labels), gives `AttackResult`. To give it options:
            lambda model, x, y: fgsm(model, x, 8 / 255, labels=y).
        batch: images per pass, where they are shown.
        progress: called with (rows done, M); True stops, and so does Ctrl+C.

    Returns:
        Transfer. On its diagonal is what each attack does to its own network.

    Raises:
        TypeError: a model or an attack of another kind.
        ValueError: no networks, or of different classes; not one image that all of them name rightly; the
            attack gives back other images than it was given.

    Paper: Papernot et al., 2017.
    """
    began = time.perf_counter()
    if not isinstance(models, Mapping) or not models:
        raise ValueError("models is a dict, name -> network, with at least one")
    if not callable(attack):
        raise TypeError(f"an attack is a function of (model, images, labels), not {attack!r}")
    check_callable(progress)
    check_integer(batch, "batch is 1 image or more")
    norms.check_unit_range(images)
    names, nets = tuple(models), list(models.values())
    known = {tuple(getattr(net, "classes", ())) for net in nets} - {()}
    if len(known) > 1:  # class 3 of the one is not class 3 of the other
        raise ValueError("these networks do not name the same classes in the same order")
    true = class_per_image(nets[0], images, labels, "labels")
    answers = torch.stack([top_classes(net, images, 1, batch=batch)[:, 0].cpu() for net in nets])  # (M, N)
    right = (answers == true).all(dim=0)
    if not right.any():
        count = ", ".join(
            f"{name} {int((row == true).sum())}" for name, row in zip(names, answers, strict=True)
        )
        raise ValueError(f"of {len(images)} images not one is named rightly by all networks ({count})")
    attacked, classes = images.detach()[right.to(images.device)], true[right]
    success_rate = torch.full((len(nets), len(nets)), torch.nan)
    forward, backward, made, stopped = len(nets) * len(images), 0, [], "finished"
    try:
        for row, net in enumerate(nets):
            result = attack(net, attacked.clone(), classes.clone())
            if not isinstance(result, AttackResult) or result.images.shape != attacked.shape:
                raise ValueError(
                    f"an attack gives AttackResult of the same {len(attacked)} images, not {result!r:.80}"
                )
            forward, backward = forward + result.passes.forward, backward + result.passes.backward
            if result.stopped != "finished":  # some of these images are as they were
                stopped = result.stopped
                break
            shown = [top_classes(other, result.images, 1, batch=batch)[:, 0].cpu() for other in nets]
            success_rate[row] = torch.stack([(said != classes).double().mean() for said in shown]).to(
                success_rate
            )
            made.append(result.images)
            forward += len(nets) * len(attacked)
            if progress is not None and progress(row + 1, len(nets)) is True and row + 1 < len(nets):
                stopped = "stopped"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    return Transfer(
        names, success_rate, right, made, Passes(forward, backward), time.perf_counter() - began, stopped
    )
