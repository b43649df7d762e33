"""Does a picture that fools one network fool another, which the attack has never asked?

Type: (networks, images, labels, attack) -> Transfer: a square table. If it does, to keep a network's weights
or slopes secret protects nothing.

Papers: Szegedy et al., Intriguing properties of neural networks, 2014; Papernot et al., Practical black-box
attacks, 2017.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, callable_or_none
from cnnlab.methods.adversarial.classifier import one_each
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import best
from cnnlab.validation import whole

# (model, images, labels) -> Attacked
Attack = Callable[[nn.Module, Tensor, Tensor], Attacked]


class Transfer(NamedTuple):
    """Which pictures made for one network fool which.

    Attributes:
        names: of the M networks.
        share: (M, M) the share fooled: the network of the column, by pictures made against that of the row.
        right: (N,) bool: the pictures that all networks name rightly. Only these were attacked and counted.
        pictures: one (n, C, H, W) for each row that was done, of these n pictures.
        passes: through all networks, those of the attacks included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress, "interrupted" by Ctrl+C, in an attack, too: then rows
            that were not done are nan.
    """

    names: tuple[str, ...]
    share: Tensor
    right: Tensor
    pictures: list[Tensor]
    passes: Passes
    seconds: float
    stopped: str


def transfer(
    models: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Transfer:
    """Attack each network, and show what comes out to all.

    Args:
        models: name -> classifier, of the same classes in the same order, for pictures of this size.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) the true classes.
        attack: called as attack(model, images, labels), gives `Attacked`. To give it options:
            lambda model, x, y: fgsm(model, x, 8 / 255, labels=y).
        chunk: pictures per pass, where they are shown.
        progress: called with (rows done, M); True stops, and so does Ctrl+C.

    Returns:
        Transfer. On its diagonal is what each attack does to its own network.

    Raises:
        TypeError: a model or an attack of another kind.
        ValueError: no networks, or of different classes; not one picture that all of them name rightly; the
            attack gives back other pictures than it was given.

    Paper: Papernot et al., 2017.
    """
    began = time.perf_counter()
    if not isinstance(models, Mapping) or not models:
        raise ValueError("models is a dict, name -> network, with at least one")
    if not callable(attack):
        raise TypeError(f"an attack is a function of (model, images, labels), not {attack!r}")
    callable_or_none(progress)
    whole(chunk, "a chunk is 1 picture or more")
    norms.refuse(images)
    names, nets = tuple(models), list(models.values())
    known = {tuple(getattr(net, "classes", ())) for net in nets} - {()}
    if len(known) > 1:  # class 3 of the one is not class 3 of the other
        raise ValueError("these networks do not name the same classes in the same order")
    true = one_each(nets[0], images, labels, "labels")
    answers = torch.stack([best(net, images, 1, batch=chunk)[:, 0].cpu() for net in nets])  # (M, N)
    right = (answers == true).all(dim=0)
    if not right.any():
        count = ", ".join(
            f"{name} {int((row == true).sum())}" for name, row in zip(names, answers, strict=True)
        )
        raise ValueError(f"of {len(images)} pictures not one is named rightly by all networks ({count})")
    here, wanted = images.detach()[right.to(images.device)], true[right]
    share = torch.full((len(nets), len(nets)), torch.nan)
    forward, backward, made, stopped = len(nets) * len(images), 0, [], "finished"
    try:
        for row, net in enumerate(nets):
            found = attack(net, here.clone(), wanted.clone())
            if not isinstance(found, Attacked) or found.pictures.shape != here.shape:
                raise ValueError(
                    f"an attack gives Attacked of the same {len(here)} pictures, not {found!r:.80}"
                )
            forward, backward = forward + found.passes.forward, backward + found.passes.backward
            if found.stopped != "finished":  # some of these pictures are as they were
                stopped = found.stopped
                break
            shown = [best(other, found.pictures, 1, batch=chunk)[:, 0].cpu() for other in nets]
            share[row] = torch.stack([(said != wanted).double().mean() for said in shown]).to(share)
            made.append(found.pictures)
            forward += len(nets) * len(here)
            if progress is not None and progress(row + 1, len(nets)) is True and row + 1 < len(nets):
                stopped = "stopped"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    return Transfer(
        names, share, right, made, Passes(forward, backward), time.perf_counter() - began, stopped
    )
