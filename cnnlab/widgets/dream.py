"""The widgets of lecture 07: draw a picture while you watch, dream on a photo, read a place by icons."""

import functools
import html
import threading

import ipywidgets
import torch
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing import element, pixels, sheets
from cnnlab.methods import dream
from cnnlab.nets import icons, models
from cnnlab.probing import stages
from cnnlab.widgets import Picture, embedded, explore
from cnnlab.widgets.look import look

_NET = "photonet"
_SIDE, _LARGE = 64, 3  # pixels of a picture, and by how much it is enlarged
_ICONS = 6  # in a place's row
_KINDS = ("channel", "neuron", "layer", "logit", "probability")


def studio(*, net: str = _NET, seed: int = 0) -> "Studio":
    """Draw a picture for a unit or a class; watch it come, and stop when you like.

    Args:
        net: an embedded network.
        seed: of the noise at the start.
    """
    return Studio(net, seed)


class Studio(ipywidgets.VBox):
    """What `studio` returns: what to ask for, Draw and Stop, and the filmstrip."""

    def __init__(self, net: str, seed: int):
        self.model = models.load(net)  # its own: it is frozen while a picture is drawn
        layers = stages(self.model, torch.zeros(1, *self.model.input_size))
        self.kind = ipywidgets.Dropdown(options=_KINDS, description="ask for", **look())
        self.layer = ipywidgets.Dropdown(
            options=layers, value=layers[len(layers) // 2], description="layer", **look()
        )
        self.number = ipywidgets.IntSlider(value=0, min=0, max=1, description="channel", **look())
        self.rough = ipywidgets.FloatSlider(
            value=0, min=0, max=10, step=0.5, description="total variation", **look()
        )
        self.large = ipywidgets.FloatSlider(value=0, min=0, max=1, step=0.05, description="L2", **look())
        self.waves = ipywidgets.Checkbox(value=True, description="waves instead of pixels", **look())
        self.moved = ipywidgets.Checkbox(value=True, description="moved before each look", **look())
        self.steps = ipywidgets.IntSlider(value=96, min=8, max=256, description="steps", **look())
        self.seed = ipywidgets.IntSlider(value=seed, min=0, max=max(9, seed), description="seed", **look())
        self.draw = ipywidgets.Button(description="Draw", icon="play", tooltip="start from noise")
        self.halt = ipywidgets.Button(
            description="Stop", icon="stop", disabled=True, tooltip="keep the picture so far"
        )
        self.draw.on_click(lambda _: self.start())
        self.halt.on_click(lambda _: self.stop())
        self.status, self.stage = ipywidgets.HTML(), ipywidgets.HTML()
        self.rendered: dream.Rendered | None = None
        self.error: BaseException | None = None
        self._stop, self._thread, self._film = threading.Event(), None, []
        for control in (self.kind, self.layer):
            control.observe(lambda _: self._limit(), "value")
        self._limit()
        settings = [self.kind, self.layer, self.number, self.rough, self.large, self.waves, self.moved]
        buttons = ipywidgets.HBox([self.draw, self.halt])
        super().__init__([*settings, self.steps, self.seed, buttons, self.status, self.stage])
        self.add_class("cnnlab-live")
        self._say("Press Draw. The picture starts as grey noise.")

    @property
    def running(self) -> bool:
        """Is it drawing now?"""
        return self._thread is not None and self._thread.is_alive()

    def objective(self) -> dream.Objective:
        """What is asked for now."""
        kind, layer, number = self.kind.value, self.layer.value, self.number.value
        if kind in ("channel", "neuron"):
            wish = getattr(dream, kind)(layer, number)
        else:
            wish = dream.layer(layer) if kind == "layer" else getattr(dream, kind)(number)
        if self.rough.value:
            wish = wish - self.rough.value * dream.total_variation()
        return wish - self.large.value * dream.l2() if self.large.value else wish

    def start(self) -> None:
        """Start from noise; does nothing while it is drawing."""
        if self.running:
            return
        self.error, self.rendered, self._film = None, None, []
        self._stop.clear()
        self.draw.disabled, self.halt.disabled = True, False
        options = {
            "parametrise": "fourier" if self.waves.value else "pixel",
            "transforms": "standard" if self.moved.value else (),
            "steps": self.steps.value,
            "seed": self.seed.value,
        }
        self._thread = threading.Thread(target=self._run, args=(self.objective(), options), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step that it is at; the picture stays."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Until it has ended. Raises what ended it, if that was an error."""
        if self._thread is not None:
            self._thread.join(seconds)
        if self.error is not None:
            raise self.error

    def _run(self, wish: dream.Objective, options: dict) -> None:
        try:
            self.rendered = dream.render(self.model, wish, rate=0.1, progress=self._watch, **options)
            end = {"finished": "Done", "stopped": "Stopped", "interrupted": "Stopped"}[self.rendered.stopped]
            self._show(self.rendered.pictures[0])
            done = len(self.rendered.history)
            self._say(f"{end} after {done} steps: {wish} = {self.rendered.history[-1, 0].item():.3g}")
        except BaseException as error:  # it must not vanish with the thread
            self.error = error
            text = html.escape(f"{type(error).__name__}: {error}")
            self.status.value = f'<div role="alert">{text}</div>'
        finally:
            self.draw.disabled, self.halt.disabled = False, True

    def _watch(self, done: int, steps: int, pictures: Tensor, value: float) -> bool:
        every = max(1, steps // 24)
        if done % every == 0 or done == 1:
            self._show(pictures[0], keep=done % (every * 4) == 0 or done == 1)
            self._say(f"step {done} of {steps}: {value:.3g}")
        return self._stop.is_set()

    def _show(self, picture: Tensor, keep: bool = False) -> None:
        small = pixels.grey(picture)
        if keep:
            self._film.append(small)
        strip = pixels.tile(self._film[-6:], columns=6) if self._film else None
        words = "the picture so far" + (", and how it came about" if strip is not None else "")
        large = pixels.enlarge(small, max(1, 256 // small.shape[0]))
        shown = element.picture(large, words)
        if strip is not None:
            shown += "<br>" + element.picture(strip, "the picture at earlier steps")
        self.stage.value = shown

    def _limit(self) -> None:
        """How far the number goes, and what it is called."""
        kind = self.kind.value
        classes = getattr(self.model, "classes", ())
        most = len(classes) if kind in ("logit", "probability") else self._channels(self.layer.value)
        self.number.max = most - 1
        self.number.description = "class" if kind in ("logit", "probability") else "channel"
        self.number.disabled = kind == "layer"
        self.layer.disabled = kind in ("logit", "probability")

    def _channels(self, layer: str) -> int:
        from cnnlab.probing import shapes

        return shapes(self.model, torch.zeros(1, *self.model.input_size))[layer][1]

    def _say(self, text: str) -> None:
        self.status.value = f'<div role="status">{html.escape(text)}</div>'


def octaves():
    """Deep dream on a photo: which layer, how many octaves and steps."""
    return explore(
        octaves_view,
        title="More of whatever you see",
        picture=Picture(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=list(embedded.stage_names(_NET)),
        octaves=(1, 4),
        steps=(0, 20),
        start={"layer": "relu4", "octaves": 2, "steps": 6},
        presets={"the photo": {"steps": 0}, "one octave": {"octaves": 1}, "much": {"steps": 20}},
        alt="a photo, and what a layer makes of it",
    )


def octaves_view(picture: Tensor, layer: str, octaves: int, steps: int) -> dict:
    """A photo with more of what a layer sees in it.

    Args:
        picture: (1, 3, S, S).
        layer: of photonet.
        octaves: sizes at which is dreamt.
        steps: at each octave.

    Returns:
        The photo, the dream, and how much more the layer answers.
    """
    found = dream.deep_dream(
        embedded.net(_NET), picture, dream.layer(layer), octaves=octaves, steps=steps, film=False
    )
    before, after = (
        embedded.record(_NET, layer, each).square().mean().item() for each in (picture, found.pictures)
    )
    return {
        "the photo": pixels.enlarge(pixels.grey(picture[0]), _LARGE),
        "the dream": pixels.enlarge(pixels.grey(found.pictures[0]), _LARGE),
        "": f"mean square of {layer}: {before:.3g} for the photo, {after:.3g} for the dream\n"
        f"{octaves * steps} steps",
    }


def dictionary():
    """Choose a place of a map: which channels answer there, and what does each of them ask for?"""
    layers = icons.layers(_NET)
    return explore(
        dictionary_view,
        title="A place, read by icons",
        picture=Picture(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=layers,
        row=(0, _SIDE - 1),
        column=(0, _SIDE - 1),
        tops=lambda held: dict.fromkeys(("row", "column"), embedded.field(_NET, held["layer"]).grid[0] - 1),
        start={"layer": layers[-2], "row": 3, "column": 4},
        alt="a picture with a framed place, and the icons of the channels that answer there",
    )


def dictionary_view(picture: Tensor, layer: str, row: int, column: int) -> dict:
    """The strongest channels at one place, as icons that are the larger the stronger the channel answers.

    Args:
        picture: (1, 3, S, S).
        layer: of photonet, one with a sheet of icons.
        row, column: the place on its maps.

    Returns:
        The picture with what the place sees framed, the icons, and numbers.
    """
    found = dream.spelled(embedded.net(_NET), picture, layer, row, column, k=_ICONS)
    box = embedded.field(_NET, layer).rectangle(row, column)
    shown = {"what the place sees": pixels.boxed(pixels.grey(picture[0]), box, _LARGE)}
    if not len(found.channels):
        return {**shown, "": f"{layer} is silent at this place"}
    # As icons whose areas are in proportion to the answers; where fewer channels answer, places stay empty.
    row_of_icons = torch.ones(_ICONS, *_sheet(layer).shape[1:])
    row_of_icons[: len(found.channels)] = _sheet(layer)[found.channels]
    strength = torch.zeros(_ICONS)
    strength[: len(found.values)] = found.values
    page = sheets.mosaic(row_of_icons.unflatten(0, (2, -1)), strength.view(2, -1))
    names = ", ".join(
        f"{channel} ({value:.2f})"
        for channel, value in zip(found.channels.tolist(), found.values.tolist(), strict=True)
    )
    return {
        **shown,
        "the strongest first, each as large as its answer": pixels.enlarge(pixels.grey(page), 2),
        "": f"channels {names}\ntogether {found.share.sum().item():.0%} of all that is positive there",
    }


@functools.cache
def _sheet(layer: str) -> Tensor:
    return icons.load(_NET, layer)
