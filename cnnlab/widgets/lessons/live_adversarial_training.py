"""Adversarial training while you watch: a network that names digits learns from digits that were attacked.

The training runs in a thread of its own, so that the page answers meanwhile and Stop works. It starts from
the shipped weights: so it is short, and what it costs on clean digits can be seen.
"""

import functools
from collections.abc import Callable

import ipywidgets

from cnnlab.data import digits
from cnnlab.data.labelled import Labelled
from cnnlab.drawing.raster import svg
from cnnlab.methods import adversarial
from cnnlab.nets import models
from cnnlab.nets.training.train import evaluate
from cnnlab.widgets.background_task import Background
from cnnlab.widgets.style import control_layout

_LEARNT = 480  # digits of an epoch: Stop answers within a second or two
_JUDGED = 80  # digits of the test split, clean and attacked, after every epoch
_STEPS = 2  # of the attack while it learns; it is judged by one of ten
_RATE = 2e-3
_ATTACKS = {"PGD": "pgd", "FGSM": "fgsm", "none": "none"}
_ENDS = {
    "finished": "Done",
    "watcher": "Stopped",
    "interrupted": "Stopped",
    "diverged": "The loss is no number",
}


def live(*, epochs: int = 10, seed: int = 0) -> "Live":
    """A trained network that learns on, from attacked digits.

    Args:
        epochs: how often every digit is seen, at the start.
        seed: of the order and of the attacks.

    Returns:
        The widget. Nothing runs until somebody presses Train.
    """
    return Live(epochs, seed)


class Live(Background):
    """What `live` returns: eps, the attack to learn from, Train and Stop, and two curves."""

    def __init__(self, epochs: int, seed: int):
        super().__init__("Train", "start from the shipped weights", "keep what is learned")
        self.eps = ipywidgets.IntSlider(
            value=32, min=4, max=64, step=4, description="eps, of 255", **control_layout()
        )
        self.attack = ipywidgets.Dropdown(options=_ATTACKS, description="learn from", **control_layout())
        self.epochs = ipywidgets.IntSlider(
            value=epochs, min=1, max=max(20, epochs), description="epochs", **control_layout()
        )
        self.curve = ipywidgets.HTML()
        self.found: adversarial.AdversarialTraining | None = None
        self._seed, self._planned = seed, epochs
        self._clean, self._attacked = [], []
        self.children = [self.eps, self.attack, self.epochs, self.buttons, self.status, self.curve]
        self._say(
            f"Press Train. It is judged by {_JUDGED} other digits, clean, and attacked by PGD with eps."
        )

    def _prepare(self) -> Callable[[], None]:
        self.found = None
        self._planned = self.epochs.value
        return functools.partial(self._work, self.eps.value / 255, self.attack.value, self.epochs.value)

    def _work(self, eps: float, attack: str, epochs: int) -> None:
        model, train, test = models.load("simpleconvnet"), *_data()
        before = adversarial.pgd(model, test.images, eps, labels=test.labels, seed=self._seed)
        self._clean = [evaluate(model, test)[1]]
        self._attacked = [1 - before.success.double().mean().item()]
        self._draw()
        self.found = adversarial.adversarial_training(
            model,
            eps=eps,
            attack=attack,
            steps=_STEPS,
            epochs=epochs,
            learning_rate=_RATE,
            n_eval=_JUDGED,
            train=train,
            test=test,
            seed=self._seed,
            callback=self._watch,
        )
        self._say(f"{_ENDS[self.found.stopped]} {self._numbers()}")

    def _watch(self, clean: list[float], attacked: list[float]) -> bool:
        self._clean, self._attacked = [self._clean[0], *clean], [self._attacked[0], *attacked]
        self._draw()
        return self._stop.is_set()

    def _draw(self) -> None:
        lines = {"clean": self._clean, "attacked": self._attacked}
        empty = [float("nan")] * (self._planned + 1 - len(self._clean))
        self.curve.value = svg.curves(
            {name: [*values, *empty] for name, values in lines.items()},
            limits=(0, 1),
            alt=f"share right: clean digits {self._clean[-1]:.2f}, attacked {self._attacked[-1]:.2f}",
            xlabel=f"share right, epochs 0 to {self._planned}",
        )
        self._say(self._numbers())

    def _numbers(self) -> str:
        return (
            f"after epoch {len(self._clean) - 1} of {self._planned}: of the clean digits "
            f"{self._clean[0]:.0%} -> {self._clean[-1]:.0%} right, "
            f"of the attacked {self._attacked[0]:.0%} -> {self._attacked[-1]:.0%}"
        )


@functools.cache
def _data() -> tuple[Labelled, Labelled]:
    """Digits to learn from, and others to judge by."""
    parts = ((digits.load("train"), _LEARNT), (digits.load("test"), _JUDGED))
    return tuple(Labelled(part.images[:n], part.labels[:n], part.classes) for part, n in parts)
