"""Learn from images that were attacked: the defence that has lasted.

Type: (eps, …) -> AdversarialTraining. Each batch is attacked with the network as it is at that moment, and
the network learns from the attacked images with their true labels. It costs a share of the accuracy on clean
images, several times the time, and it protects against this attack at this eps.

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
from cnnlab.methods.adversarial.result import completed
from cnnlab.nets import models
from cnnlab.nets.training.history import History
from cnnlab.nets.training.train import evaluate, fit
from cnnlab.validation import check_integer

ATTACKS = ("pgd", "fgsm", "none")


class AdversarialTraining(NamedTuple):
    """A training, and what it was worth.

    Attributes:
        model: the trained network, in eval mode.
        history: of the training; its accuracy is that on the attacked images.
        clean: after each epoch the accuracy on clean images of the test split.
        attacked: after each epoch the accuracy on the same images, attacked by PGD within eps.
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


def adversarial_training(
    model: nn.Module | None = None,
    *,
    eps: float = 0.1,
    attack: str = "pgd",
    steps: int = 3,
    epochs: int = 6,
    learning_rate: float = 2e-3,
    n_eval: int = 100,
    eval_steps: int = 10,
    train: Labelled | None = None,
    test: Labelled | None = None,
    seed: int = 0,
    callback: Callable[[list[float], list[float]], object] | None = None,
) -> AdversarialTraining:
    """Train a network on attacked images; the embedded digits, if nothing else is given.

    Args:
        model: to be trained on, in place. None: a new `simpleconvnet`.
        eps: how far an image may be changed, "linf".
        attack: "pgd", "fgsm", or "none": ordinary training, to compare with.
        steps: of "pgd", while it learns.
        epochs, learning_rate, seed: as for `train.fit`. At a learning rate of 5e-3, training on attacked
            digits collapses: all are called the same.
        n_eval: images of the test split that are attacked after each epoch.
        eval_steps: of PGD then; more than while it learns, so that it is judged by a stronger attack.
        train, test: other data, in [0, 1].
        callback: called after each epoch with the two curves so far, clean and attacked. True stops, and so
            does Ctrl+C.

    Returns:
        AdversarialTraining, with the weights of the last epoch.

    Raises:
        LookupError: no such attack.
        ValueError: as `train.fit` and `pgd`.

    Paper: Madry et al., 2018.
    """
    began = time.perf_counter()
    if attack not in ATTACKS:
        raise unknown("attack", attack, ATTACKS)
    n_eval = check_integer(n_eval, "n_eval is a whole number, 1 or more")
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    eval_steps = check_integer(eval_steps, "eval_steps is a whole number, 1 or more")
    model = models.build("simpleconvnet", seed=seed) if model is None else model
    train = digits.load("train") if train is None else train
    test = digits.load("test") if test is None else test
    for data in (train, test):  # before an epoch is spent on it
        norms.check_unit_range(data.images)
    norms.check_eps(eps, test.images[:1], "linf")
    eval_data = Labelled(test.images[:n_eval], test.labels[:n_eval], test.classes)
    clean: list[float] = []
    attacked: list[float] = []

    def attack_batch(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        # Another start for each batch, the same in each repetition of the training.
        given = {"labels": labels, "batch": len(images)}
        if attack == "fgsm":
            return completed(fgsm(model, images, eps, **given)).images
        start = int(torch.randint(2**31, (), generator=random))
        return completed(pgd(model, images, eps, steps=steps, seed=start, **given)).images

    def report(history: History) -> bool | None:
        if len(history.loss) == len(clean):
            return None
        accuracy = evaluate(model, eval_data)[1]
        result = completed(
            pgd(model, eval_data.images, eps, steps=eval_steps, labels=eval_data.labels, batch=100)
        )
        clean.append(accuracy)
        attacked.append(1 - float(result.success.double().mean()))
        return callback is not None and callback(list(clean), list(attacked)) is True

    random = torch.Generator().manual_seed(check_integer(seed, "seed is a whole number", -(2**63)))
    history = fit(
        model,
        train,
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        attack=None if attack == "none" else attack_batch,
        callback=report,
    )
    return AdversarialTraining(model, history, clean, attacked, float(eps), time.perf_counter() - began)
