"""Draw a picture for a unit or a class while you watch, and stop when you like it: the studio of lecture 07.

The drawing runs in a thread of its own, with a network of its own, so that the page answers meanwhile.
"""

import functools
from collections.abc import Callable

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from cnnlab.drawing.raster import html_image, pixels
from cnnlab.methods import dream
from cnnlab.nets import icons, models
from cnnlab.probing import representative_layers, shapes
from cnnlab.widgets import cached
from cnnlab.widgets.background_task import Background
from cnnlab.widgets.style import control_layout

_CHANNEL = 37  # at the start: an arc, easy to see
_FILM, _FRAME, _STAGE = 6, 128, 256  # pictures of the filmstrip; pixels of each, and of the large one
_KINDS = ("channel", "neuron", "layer", "logit", "probability")


def studio(*, net: str = "photonet", seed: int = 0) -> "Studio":
    """Draw a picture for a unit or a class; watch it come, and stop when you like.

    Args:
        net: an embedded network.
        seed: of the noise at the start.
    """
    return Studio(net, seed)


class Studio(Background):
    """What `studio` returns: what to ask for, Draw and Stop, and the filmstrip."""

    def __init__(self, net: str, seed: int):
        super().__init__("Draw", "start from noise", "keep the picture so far")
        self._net = net
        self.model = models.load(net)  # its own: it is frozen while a picture is drawn
        layers = representative_layers(self.model, torch.zeros(1, *self.model.input_size))
        # Asked now: while a picture is drawn, the network belongs to the thread.
        there = shapes(self.model, torch.zeros(1, *self.model.input_size))
        self._channels = {name: there[name][1] for name in layers}
        self.kind = ipywidgets.Dropdown(options=_KINDS, description="ask for", **control_layout())
        self.layer = ipywidgets.Dropdown(
            options=layers, value=layers[len(layers) // 2], description="layer", **control_layout()
        )
        self.number = ipywidgets.IntSlider(
            value=_CHANNEL, min=0, max=_CHANNEL, description="channel", **control_layout()
        )
        classes = [(str(name), k) for k, name in enumerate(getattr(self.model, "classes", ()))]
        self.target = ipywidgets.Dropdown(options=classes, description="class", **control_layout())
        # Each step counts about three times as much: a fine slider has no place where it does something.
        self.rough, self.large, self.soft = (
            ipywidgets.SelectionSlider(options=steps, value=0, description=name, **control_layout())
            for name, steps in (
                ("total variation", (0, 1, 3, 10, 30, 100)),
                ("L2", (0, 1, 10, 100, 1000)),
                ("blur", (0, 10, 100, 1000)),
            )
        )
        self.waves = ipywidgets.Checkbox(
            value=True, description="waves instead of pixels", **control_layout()
        )
        self.moved = ipywidgets.Checkbox(value=True, description="moved before each look", **control_layout())
        self.steps = ipywidgets.IntSlider(value=96, min=8, max=256, description="steps", **control_layout())
        self.seed = ipywidgets.IntSlider(
            value=seed, min=0, max=max(9, seed), description="seed", **control_layout()
        )
        self.stage = ipywidgets.HTML()
        self.rendered: dream.Rendered | None = None
        self._wish: dream.Objective | None = None
        self._film: list[tuple[int, np.ndarray]] = []
        for control in (self.kind, self.layer):
            control.observe(lambda _: self._limit(), "value")
        for control in (self.kind, self.layer, self.number):
            control.observe(lambda _: self._before(), "value")
        settings = [self.kind, self.layer, self.number, self.target]
        settings += [self.rough, self.large, self.soft, self.waves, self.moved]
        left = ipywidgets.VBox(
            [*settings, self.steps, self.seed, self.buttons],
            layout={"flex": "1 1 340px", "padding": "0 12px 0 0"},
        )
        right = ipywidgets.VBox([self.status, self.stage], layout={"flex": "2 1 420px"})
        self.children = [ipywidgets.HBox([left, right], layout={"flex_flow": "row wrap"})]
        self._limit()
        self._before()

    def objective(self) -> dream.Objective:
        """What is asked for now."""
        kind, layer = self.kind.value, self.layer.value
        if kind in ("channel", "neuron"):
            wish = getattr(dream, kind)(layer, self.number.value)
        else:
            wish = dream.layer(layer) if kind == "layer" else getattr(dream, kind)(self.target.label)
        terms = ((self.rough, dream.total_variation()), (self.large, dream.l2()), (self.soft, dream.blur()))
        for slider, term in terms:
            wish = wish - slider.value * term if slider.value else wish
        return wish

    def _prepare(self) -> Callable[[], None]:
        self.rendered, self._film = None, []
        options = {
            "parametrisation": "fourier" if self.waves.value else "pixel",
            "transforms": "standard" if self.moved.value else (),
            "steps": self.steps.value,
            "seed": self.seed.value,
        }
        self._wish = self.objective()
        return functools.partial(self._work, self._wish, options)

    def _work(self, wish: dream.Objective, options: dict) -> None:
        self.rendered = dream.render(self.model, wish, learning_rate=0.1, progress=self._watch, **options)
        end = {"finished": "Done", "stopped": "Stopped", "interrupted": "Stopped"}[self.rendered.stopped]
        done = len(self.rendered.history)
        self._show(self.rendered.images[0], done, keep=True)
        self._say(f"{end} after {done} steps: {wish} = {self.rendered.history[-1, 0].item():.3g}")

    def _watch(self, done: int, steps: int, images: Tensor, value: float) -> bool:
        part = _FILM - 1  # the strip: the first picture, and one at the end of each fifth of the climb
        keep = done == 1 or done * part // steps > (done - 1) * part // steps
        if keep or done % max(1, steps // 24) == 0:
            self._show(images[0], done, keep=keep)
            self._say(f"step {done} of {steps}: {self._wish} = {value:.3g}")
        return self._stop.is_set()

    def _before(self) -> None:
        """What was drawn for this channel before, until somebody presses Draw."""
        if self.running:
            return
        known = self.layer.value in icons.layers(self._net)
        if self.kind.value != "channel" or not known:
            self.stage.value = ""
            self._say("Press Draw. The picture starts as soft clouds.")
            return
        icon = cached.icons(self._net, self.layer.value)[self.number.value]
        large = pixels.enlarge(pixels.grey(icon), max(1, _STAGE // icon.shape[-1]))
        words = f"{self.layer.value}, channel {self.number.value}, drawn before"
        self.stage.value = html_image.picture(large, words)
        self._say(f"{words}, and shipped with the course. Press Draw, and see a new one come.")

    def _show(self, image: Tensor, done: int, keep: bool = False) -> None:
        small = pixels.grey(image)
        if keep and (not self._film or self._film[-1][0] < done):
            self._film.append((done, small))
        large = pixels.enlarge(small, max(1, _STAGE // small.shape[0]))
        strip = "".join(
            f'<div style="text-align: center">{html_image.picture(_frame(frame), f"after step {step}")}'
            f"<div>step {step}</div></div>"
            for step, frame in self._film
        )
        self.stage.value = (
            html_image.picture(large, f"the picture after step {done}")
            + f'<div style="display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px">{strip}</div>'
        )

    def _limit(self) -> None:
        """How far the channels go, and which controls count."""
        of_a_class = self.kind.value in ("logit", "probability")
        self.number.max = self._channels[self.layer.value] - 1
        self.number.disabled = of_a_class or self.kind.value == "layer"
        self.layer.disabled = of_a_class
        self.target.disabled = not of_a_class


def _frame(small):
    """One picture of the filmstrip."""
    return pixels.enlarge(small, max(1, _FRAME // small.shape[0]))
