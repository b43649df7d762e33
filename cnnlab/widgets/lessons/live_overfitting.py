"""Over-fitting while you watch: a dense net learns 300 digits, a fifth of them with a wrong label.

The training runs in a thread of its own, so that the page answers meanwhile and Stop works. It is the same as
`sweeps.run_one`, epoch by epoch. Dropout and the order draw from torch's random numbers inside the thread; no
two such trainings can run at once.
"""

import functools
from collections.abc import Callable

import ipywidgets

from cnnlab.drawing.raster import svg
from cnnlab.nets.training import sweeps
from cnnlab.nets.training.history import History
from cnnlab.widgets.background_task import Background
from cnnlab.widgets.style import control_layout

_STEP = 0.1  # seconds for each epoch in slow motion
_LOSS = 2.5  # where the chart of the loss ends: guessing among ten digits costs log(10) = 2.3
_ENDS = {
    "finished": "Done",
    "early": "Stopped",
    "watcher": "Stopped",
    "interrupted": "Stopped",
    "diverged": "The loss is no number",
}


def live(*, digits: int = 300, label_noise: float = 0.2, epochs: int = 60, seed: int = 0) -> "Live":
    """A dense net to train on few digits, and a remedy to choose.

    Args:
        digits: pictures to learn from, at the start.
        label_noise: share of them with a wrong label, at the start.
        epochs: how often every picture is seen, at most.
        seed: of the weights and of the choice of digits.

    Returns:
        The widget. Nothing runs until somebody presses Train.
    """
    return Live(digits, label_noise, epochs, seed)


class Live(Background):
    """What `live` returns: what to learn from, the remedy, Train and Stop, and two charts."""

    def __init__(self, digits: int, label_noise: float, epochs: int, seed: int):
        super().__init__("Train", "start from new weights", "keep what is learned")
        self.regulariser = ipywidgets.Dropdown(
            options=sweeps.REGULARISERS, description="remedy", **control_layout()
        )
        self.digits = ipywidgets.IntSlider(
            value=digits, min=100, max=1000, step=100, description="digits", **control_layout()
        )
        self.label_noise = ipywidgets.FloatSlider(
            value=label_noise,
            min=0,
            max=0.5,
            step=0.1,
            readout_format=".0%",
            description="wrong labels",
            **control_layout(),
        )
        self.seed = ipywidgets.IntSlider(
            value=seed, min=0, max=max(9, seed), description="seed", **control_layout()
        )
        self.slow = ipywidgets.Checkbox(
            value=False, description="slow motion", indent=True, **control_layout()
        )
        self.curve = ipywidgets.HTML()
        self.rows: list[sweeps.Row] | None = None
        self._epochs = epochs
        self._now, self._before = History(), History()
        self._remedies = ["", ""]  # of the curves now, and of those before
        settings = [self.regulariser, self.digits, self.label_noise, self.seed, self.slow]
        self.children = [*settings, self.buttons, self.status, self.curve]
        self._say("Press Train. Validation is on 400 other digits, all with their right labels.")

    def settings(self) -> sweeps.Settings:
        """What Train would train now."""
        return sweeps.Settings(
            digits=self.digits.value,
            label_noise=self.label_noise.value,
            regulariser=self.regulariser.value,
            epochs=self._epochs,
            seed=self.seed.value,
        )

    def _prepare(self) -> Callable[[], None]:
        self._before, self._now = self._now, History()  # the last curve stays, as "before"
        self._remedies = [self.regulariser.value, self._remedies[0]]
        self.rows = None
        return functools.partial(self._work, self.settings())

    def _work(self, settings: sweeps.Settings) -> None:
        self.rows = sweeps.run_one(settings, callback=self._watch)
        self._say(self._ended(settings))

    def _watch(self, history: History) -> bool:
        self._now = history
        self._draw()
        self._say(
            f"epoch {len(history.loss)} of {self._epochs}: {history.accuracy[-1]:.0%} of the training set, "
            f"{history.val_accuracy[-1]:.0%} of the validation set"
        )
        # Stop ends the pause at once.
        return self._stop.wait(_STEP) if self.slow.value else self._stop.is_set()

    def _draw(self) -> None:
        now, old = self._now, self._before
        charts = []
        for name, high, train, valid, before in (
            ("share right", 1.0, now.accuracy, now.val_accuracy, old.val_accuracy),
            ("loss", _LOSS, now.loss, now.val_loss, old.val_loss),
        ):
            lines = {"training": train, "validation": valid, "before": before}
            charts.append(
                svg.curves(
                    {line: self._padded(values) for line, values in lines.items() if values},
                    limits=(0, high),
                    alt=f"{name}: training {train[-1]:.2f}, validation {valid[-1]:.2f}",
                    xlabel=f"{name}, by epoch",
                    ends=("1", str(self._epochs)),
                    height=190,
                )
            )
        self.curve.value = f"<div>{self._named()}</div>" + " ".join(charts)

    def _named(self) -> str:
        """Which remedies the curves are of."""
        now, before = self._remedies
        return f"remedy: {now}" + (f"; before: {before}" if self._before.loss else "")

    def _padded(self, values: list[float]) -> list[float]:
        """As long as the whole training: the end of the chart is the end of the time."""
        return [*values, *[float("nan")] * (self._epochs - len(values))]

    def _ended(self, settings: sweeps.Settings) -> str:
        if not self.rows:
            return "Stopped at epoch 0: the loss is no number"
        last = self.rows[-1]
        kept = ""
        if settings.regulariser == "early stopping" and last.stopped in ("early", "finished"):
            best = min(self.rows, key=lambda row: row.val_loss).epoch
            kept = f" (weights of epoch {best})"
        top = max(self.rows, key=lambda row: row.val_accuracy)
        return (
            f"{_ENDS[last.stopped]} at epoch {last.epoch} of {self._epochs}, {settings.regulariser}: "
            f"{last.test_accuracy:.1%} of 355 test digits right{kept}; validation {last.val_accuracy:.0%}, "
            f"at its best {top.val_accuracy:.0%} in epoch {top.epoch}"
        )
