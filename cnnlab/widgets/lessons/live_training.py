"""Train a small network on handwritten digits while you watch: its filters, its loss, its accuracy.

The training runs in a thread of its own, so that the page answers meanwhile: that is what makes it stoppable.
The thread works with its own network, which has no dropout: it draws no global random numbers.
"""

import functools
import time
from collections.abc import Callable, Sequence

import ipywidgets
import torch

from cnnlab.data import digits
from cnnlab.data.labelled import Labelled
from cnnlab.drawing.raster import html_image, pixels, svg
from cnnlab.nets import models
from cnnlab.nets.training.history import History
from cnnlab.nets.training.train import evaluate, fit
from cnnlab.widgets.background_task import Background
from cnnlab.widgets.style import control_layout

RATES = (0.0002, 0.001, 0.005, 0.02, 0.1)
_PAUSE = 0.15  # seconds from one drawing to the next: fast enough to follow, slow enough to learn meanwhile
_STEP = 0.04  # seconds for each step in slow motion
_LOSS = 2.5  # where the chart of the loss ends: guessing among ten digits costs log(10) = 2.3
_TESTED = 200  # test pictures for the accuracy while it runs: enough to see it rise


def live(*, epochs: int = 8, rates: Sequence[float] = RATES, seed: int = 0) -> "Live":
    """A network to train: learning rate, width and seed are yours.

    Args:
        epochs: how often every picture is seen, at most.
        rates: the learning rates to choose from; it starts with the middle one.
        seed: of the first weights, at the start.

    Returns:
        The widget. Nothing runs until somebody presses Train.
    """
    return Live(digits.load("train"), digits.load("test"), epochs, rates, seed)


class Live(Background):
    """What `live` returns: three controls, Train and Stop, and what can be seen meanwhile."""

    def __init__(self, train: Labelled, test: Labelled, epochs: int, rates: Sequence[float], seed: int):
        super().__init__("Train", "start from new weights", "keep what is learned")
        self._train, self._test = train, test
        self.learning_rate = ipywidgets.SelectionSlider(
            options=[(f"{learning_rate:g}", learning_rate) for learning_rate in rates],
            value=rates[len(rates) // 2],
            description="learning rate",
            **control_layout(),
        )
        self.width = ipywidgets.IntSlider(value=8, min=2, max=16, description="filters", **control_layout())
        self.seed = ipywidgets.IntSlider(
            value=seed, min=0, max=max(9, seed), description="seed", **control_layout()
        )
        self.epochs = ipywidgets.IntSlider(
            value=epochs, min=1, max=max(40, epochs), description="epochs", **control_layout()
        )
        self.slow = ipywidgets.Checkbox(
            value=False, description="slow motion", indent=True, **control_layout()
        )
        self.filters, self.curve = ipywidgets.HTML(), ipywidgets.HTML()
        self.model: torch.nn.Module | None = None
        self.history: History | None = None
        self._drawn, self._right, self._planned = 0.0, [(0, float("nan"))], epochs
        stage = ipywidgets.HBox(
            [self.filters, self.curve], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        settings = [self.learning_rate, self.width, self.seed, self.epochs, self.slow]
        self.children = [*settings, self.buttons, self.status, stage]
        self._say("Press Train. The filters start as noise.")

    def _prepare(self) -> Callable[[], None]:
        width = self.width.value
        self.model = models.build("simpleconvnet", seed=self.seed.value, widths=(width, 2 * width, 2 * width))
        self.history = None
        return functools.partial(self._work, self.learning_rate.value, self.seed.value, self.epochs.value)

    def _work(self, learning_rate: float, seed: int, epochs: int) -> None:
        self._right, self._drawn, self._planned = [], 0.0, epochs
        self.history = fit(
            self.model,
            self._train,
            epochs=epochs,
            learning_rate=learning_rate,
            seed=seed,
            keep="last",
            callback=self._watch,
            callback_every=1,
        )
        self._draw(self.history, evaluate(self.model, self._test)[1], ended=True)

    def _watch(self, history: History) -> bool:
        now = time.monotonic()
        if now - self._drawn >= _PAUSE:
            self._drawn = now
            few = Labelled(self._test.images[:_TESTED], self._test.labels[:_TESTED], self._test.classes)
            self._draw(history, evaluate(self.model, few)[1])
        # Asked at every step, so that the box works while it runs; Stop ends the pause at once.
        return self._stop.wait(_STEP) if self.slow.value else self._stop.is_set()

    def _draw(self, history: History, right: float, ended: bool = False) -> None:
        steps = len(history.step_loss)
        self._right.append((steps, right))
        weight = self.model.conv1.weight.detach()
        limit = weight.abs().max().item()
        drawn = [pixels.enlarge(pixels.signed(kernel[0], limit), 10) for kernel in weight]
        sheet = pixels.tile(drawn, columns=4, gap=6)
        words = f"{len(weight)} filters of 5 by 5 after {steps} steps; red is positive, blue negative"
        self.filters.value = html_image.picture(sheet, words)
        # Two charts: a loss has no upper end, a share has one, and one scale for both would lie about one.
        below = {"xlabel": f"{steps} steps", "height": 170}
        loss = svg.curves(
            {"loss": history.step_loss},
            limits=(0, _LOSS),
            alt=f"loss, now {history.step_loss[-1]:.2f}",
            **below,
        )
        share = svg.curves(
            {"right": self._over_steps(steps)}, limits=(0, 1), alt=f"share right, now {right:.0%}", **below
        )
        self.curve.value = f"{loss}<br>{share}"
        batches = -(-len(self._train.labels) // 64)
        where = f"epoch {min((steps - 1) // batches + 1, self._planned)} of {self._planned}, step {steps}"
        if not ended:
            self._say(
                f"{where}: loss {history.step_loss[-1]:.3f}, {right:.0%} of {_TESTED} test digits right"
            )
            return
        why = {
            "finished": "Done",
            "watcher": "Stopped",
            "interrupted": "Stopped",
            "diverged": "The loss is no number",
        }
        tested = len(self._test.labels)
        self._say(f"{why[history.stopped]} at {where}: {right:.1%} of {tested} test digits right")

    def _over_steps(self, steps: int) -> list[float]:
        """The accuracy at every step: the last one that was measured."""
        found, k = [], 0
        for step in range(1, steps + 1):
            while k + 1 < len(self._right) and self._right[k + 1][0] <= step:
                k += 1
            found.append(self._right[k][1] if self._right[k][0] <= step else float("nan"))
        return found
