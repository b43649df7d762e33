"""Learn from pictures that were attacked: the defence that has lasted.

Type: (eps, …) -> Hardened. Each batch is attacked with the network as it is at that moment, and the network
learns from the attacked pictures with their true labels. It costs a share of the accuracy on clean pictures,
several times the time, and it protects against this attack at this eps.

Paper: Madry et al., Towards deep learning models resistant to adversarial attacks, 2018.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.data import digits
from cnnlab.data.labelled import Labelled
from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.fgsm import fgsm
from cnnlab.methods.adversarial.pgd import pgd
from cnnlab.methods.adversarial.result import to_its_end
from cnnlab.nets import models
from cnnlab.nets.training.history import History
from cnnlab.nets.training.train import evaluate, fit
from cnnlab.validation import whole

ATTACKS = ("pgd", "fgsm", "none")


class Hardened(NamedTuple):
    """A training, and what it was worth.

    Attributes:
        model: the trained network, in eval mode.
        history: of the training; its accuracy is that on the attacked pictures.
        clean: after each epoch the accuracy on clean pictures of the test split.
        attacked: after each epoch the accuracy on the same pictures, attacked by PGD within eps.
        eps: of both attacks.
        seconds: wall clock.
    """

    model: nn.Module
    history: History
    clean: list[float]
    attacked: list[float]
    eps: float
    seconds: float

    @property
    def stopped(self) -> str:
        """Why it ended: see `History.stopped`."""
        return self.history.stopped


def hardened(
    model: nn.Module | None = None,
    *,
    eps: float = 0.1,
    attack: str = "pgd",
    steps: int = 3,
    epochs: int = 6,
    rate: float = 2e-3,
    judge: int = 100,
    judge_steps: int = 10,
    train: Labelled | None = None,
    test: Labelled | None = None,
    seed: int = 0,
    watch: Callable[[list[float], list[float]], object] | None = None,
) -> Hardened:
    """Train a network on attacked pictures; the embedded digits, if nothing else is given.

    Args:
        model: to be trained on, in place. None: a new `simpleconvnet`.
        eps: how far a picture may be changed, "linf".
        attack: "pgd", "fgsm", or "none": ordinary training, to compare with.
        steps: of "pgd", while it learns.
        epochs, rate, seed: as for `train.fit`. At a rate of 5e-3, training on attacked digits collapses: all
            are called the same.
        judge: pictures of the test split that are attacked after each epoch.
        judge_steps: of PGD then; more than while it learns, so that it is judged by a stronger attack.
        train, test: other data, in [0, 1].
        watch: called after each epoch with the two curves so far, clean and attacked. True stops, and so does
            Ctrl+C.

    Returns:
        Hardened, with the weights of the last epoch.

    Raises:
        LookupError: no such attack.
        ValueError: as `train.fit` and `pgd`.

    Paper: Madry et al., 2018.
    """
    began = time.perf_counter()
    if attack not in ATTACKS:
        raise unknown("attack", attack, ATTACKS)
    judge = whole(judge, "judge is a whole number, 1 or more")
    steps = whole(steps, "steps is a whole number, 1 or more")
    judge_steps = whole(judge_steps, "judge_steps is a whole number, 1 or more")
    model = models.build("simpleconvnet", seed=seed) if model is None else model
    train = digits.load("train") if train is None else train
    test = digits.load("test") if test is None else test
    for data in (train, test):  # before an epoch is spent on it
        norms.refuse(data.images)
    norms.amounts(eps, test.images[:1], "linf")
    few = Labelled(test.images[:judge], test.labels[:judge], test.classes)
    clean: list[float] = []
    attacked: list[float] = []

    def harden(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        # Another start for each batch, the same in each repetition of the training.
        given = {"labels": labels, "chunk": len(images)}
        if attack == "fgsm":
            return to_its_end(fgsm(model, images, eps, **given)).pictures
        start = int(torch.randint(2**31, (), generator=random))
        return to_its_end(pgd(model, images, eps, steps=steps, seed=start, **given)).pictures

    def look(history: History) -> bool | None:
        if len(history.loss) == len(clean):
            return None
        right = evaluate(model, few)[1]
        found = to_its_end(pgd(model, few.images, eps, steps=judge_steps, labels=few.labels, chunk=100))
        clean.append(right)
        attacked.append(1 - float(found.success.double().mean()))
        return watch is not None and watch(list(clean), list(attacked)) is True

    random = torch.Generator().manual_seed(whole(seed, "seed is a whole number", -(2**63)))
    history = fit(
        model,
        train,
        epochs=epochs,
        rate=rate,
        seed=seed,
        attack=None if attack == "none" else harden,
        watch=look,
    )
    return Hardened(model, history, clean, attacked, float(eps), time.perf_counter() - began)
