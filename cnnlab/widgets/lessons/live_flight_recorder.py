"""Train a deep network and read its flight recorder meanwhile: signals and gradients of every layer.

As in `training`, the work is done in a thread of its own, so that the page answers and Stop stops.
"""

import functools
import time
from collections.abc import Callable, Sequence

import ipywidgets
import torch

from cnnlab.data import digits
from cnnlab.drawing.raster import html_image, plots
from cnnlab.nets.training import sweeps
from cnnlab.nets.training.history import History
from cnnlab.nets.training.train import evaluate, fit
from cnnlab.probing.flight_recorder import FlightRecorder, Note
from cnnlab.widgets.background_task import Background
from cnnlab.widgets.style import control_layout

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
GAINS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)
_PAUSE = 0.25  # seconds from one drawing to the next
_BATCH = 32
# What is drawn: the entries of Note, the name of the axis, its ends; all but a share on a logarithmic axis.
_CHARTS = (
    ("std", plots.Axis(1e-8, 1e8, "deviation of the signal", log=True)),
    ("gradient", plots.Axis(1e-12, 1e4, "size of the gradient", log=True)),
    ("mean", plots.Axis(1e-8, 1e8, "mean of the signal", log=True)),
    ("dead", plots.Axis(0, 1, "share of dead units")),
)
_SIZE = {"width": 370, "height": 205, "beside": 52}


def live(*, epochs: int = 4, n: int = 1000, seed: int = 0) -> "Recorded":
    """A deep network to train: depth, batch norm, shortcuts, and the size of its first weights are yours.

    Args:
        epochs: how often every digit is seen, at most.
        n: digits to learn from.
        seed: of the first weights, at the start.

    Returns:
        The widget. Nothing runs until somebody presses Train.
    """
    return Recorded(epochs, n, seed)


class Recorded(Background):
    """What `live` returns: the settings, Train and Stop, and the curves of the flight recorder."""

    def __init__(self, epochs: int, n: int, seed: int):
        super().__init__("Train", "start from new weights", "keep what is learned")
        self._data = sweeps.split(n, seed)[0]
        self.depth = ipywidgets.IntSlider(
            value=21, min=3, max=41, step=2, description="depth", **control_layout()
        )
        self.norm = ipywidgets.Checkbox(value=False, description="batch norm", **control_layout())
        self.residual = ipywidgets.Checkbox(value=False, description="shortcuts", **control_layout())
        self.init_gain = _choice("gain", GAINS, 1.0)
        self.learning_rate = _choice("learning rate", RATES, 0.03)
        self.epochs = ipywidgets.IntSlider(
            value=epochs, min=1, max=max(12, epochs), description="epochs", **control_layout()
        )
        self.seed = ipywidgets.IntSlider(
            value=seed, min=0, max=max(9, seed), description="seed", **control_layout()
        )
        self.stage = ipywidgets.HTML()
        self.model: torch.nn.Module | None = None
        self.history: History | None = None
        self.flight: FlightRecorder | None = None
        self._drawn, self._first, self._planned = 0.0, {}, epochs
        choices = [
            self.depth,
            self.norm,
            self.residual,
            self.init_gain,
            self.learning_rate,
            self.epochs,
            self.seed,
        ]
        settings = ipywidgets.VBox(
            [*choices, self.buttons, self.status], layout={"flex": "1 1 330px", "max_width": "540px"}
        )
        both = ipywidgets.HBox(
            [settings, self.stage], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        self.children = [both]
        self._say("Press Train. Curves: every layer, from the first to the last.")

    def _prepare(self) -> Callable[[], None]:
        chosen = sweeps.Settings(
            net="deep",
            depth=self.depth.value,
            norm=self.norm.value,
            residual=self.residual.value,
            init_gain=self.init_gain.value,
            learning_rate=self.learning_rate.value,
            epochs=self.epochs.value,
            seed=self.seed.value,
        )
        self.model = sweeps.network(chosen)
        self.history = None
        return functools.partial(self._work, chosen)

    def _work(self, chosen: sweeps.Settings) -> None:
        self._drawn, self._first, self._planned = 0.0, {}, chosen.epochs
        with FlightRecorder(self.model, *rectifiers(self.model)) as self.flight:
            self.history = fit(
                self.model,
                self._data,
                epochs=chosen.epochs,
                batch=_BATCH,
                optimiser="sgd",
                learning_rate=chosen.learning_rate,
                schedule="one-cycle",
                keep="last",
                seed=chosen.seed,
                callback=self._watch,
                callback_every=1,
            )
        self._draw(self.history, evaluate(self.model, digits.load("test"))[1])

    def _watch(self, history: History) -> bool:
        now = time.monotonic()
        if now - self._drawn >= _PAUSE:
            self._drawn = now
            self._draw(history)
        return self._stop.is_set()

    def _draw(self, history: History, right: float | None = None) -> None:
        steps = len(history.step_loss)
        notes = [self.flight.last(name) for name in self.flight.names] if self.flight.steps else []
        if notes:
            self._first = self._first or {"notes": notes}  # as it was at the start: drawn dashed
            self.stage.value = _charts(self._first["notes"], notes, steps)
        batches = -(-len(self._data.labels) // _BATCH)
        where = (
            f"epoch {min(max(steps - 1, 0) // batches + 1, self._planned)} of {self._planned}, step {steps}"
        )
        loss = f"loss {history.step_loss[-1]:.3f}" if history.step_loss else "no loss yet"
        if right is None:
            self._say(f"{where}: {loss}")
            return
        why = {"finished": "Done", "watcher": "Stopped", "interrupted": "Stopped"}
        ended = why.get(history.stopped, "The loss is no number")
        self._say(f"{ended} at {where}: {loss}; {right:.0%} of the test digits right (a guess: 10%)")


def rectifiers(model: torch.nn.Module) -> list[str]:
    """The names of all ReLUs of a network in the order of its layers: one behind each convolution of `deep`.

    >>> rectifiers(sweeps.network(sweeps.Settings(net="deep", depth=3)))
    ['relu', 'block1.relu1', 'block1.relu2']
    """
    return [name for name, part in model.named_modules() if isinstance(part, torch.nn.ReLU)]


def _charts(first: Sequence[Note], now: Sequence[Note], steps: int) -> str:
    """Four charts over the layers, as they stand now and as they stood at the start."""
    x = plots.Axis(1, max(len(now), 2), "layer")
    positions, found = list(range(1, len(now) + 1)), []
    for name, y in _CHARTS:
        lines = {
            "now": (positions, [getattr(note, name) for note in now]),
            "start": (positions, [getattr(note, name) for note in first]),
        }
        last = lines["now"][1][-1]
        drawn = plots.curves(lines, x, y, dashed=["start"], **_SIZE)
        found.append(
            html_image.picture(drawn, f"{y.name} in each layer at step {steps}; in the last {last:.2g}")
        )
    rows = [" ".join(found[k : k + 2]) for k in (0, 2)]
    return "<br>".join(rows)


def _choice(name: str, values: Sequence[float], start: float) -> ipywidgets.SelectionSlider:
    options = [(f"{value:g}", value) for value in values]
    return ipywidgets.SelectionSlider(options=options, value=start, description=name, **control_layout())
