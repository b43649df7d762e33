"""`explore(view, **ranges)`: a plain function from values to images gets a control for every value.

The view is called with the values and returns what to show. It knows nothing of widgets, so it is tested
without a browser. Images are updated in place, without a figure: that is what makes a slider feel live. A
view that raises shows its message in the cell; the last image stays.
"""

import html
import secrets
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing.raster import html_image
from cnnlab.errors import unknown
from cnnlab.widgets import panels
from cnnlab.widgets.controls import ImageInput, control

_SLOW = 0.05  # seconds: a redraw that takes longer waits until the slider is let go
_created: "weakref.WeakSet[Explorer]" = weakref.WeakSet()


def explore(
    view: Callable,
    *,
    title: str | None = None,
    alt: str | None = None,
    start: Mapping[str, Any] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    upload: str | None = None,
    continuous: bool | None = None,
    tops: Callable[[dict[str, Any]], dict[str, int]] | None = None,
    **ranges,
) -> "Explorer":
    """Give every parameter of a view a control, and redraw when one changes.

    Args:
        view: `view(**values)` returns an image (tensor (H, W) or (C, H, W) in [0, 1], or uint8 (H, W, 3)), a
            matplotlib Figure, a text, or a dict caption -> any of these, drawn side by side.
        title: stands above the controls.
        alt: what the images show, in a few words. Captions are added to it; the values are said by a hidden
            text to which every image refers (aria-describedby), which is renewed at every redraw.
        start: values at the start, where they are not the lowest or the first.
        presets: name -> values; a button each.
        upload: the parameter that gets an image, embedded or the reader's own: short for a range
            `ImageInput`. Its range, where it has one, is a list of photos' names.
        continuous: redraw while a slider moves? Left out: yes, as long as a redraw takes less than 50 ms.
        tops: what the controls hold -> how far some sliders go then, as a layer has only so many channels.
        **ranges: one for each parameter; see `controls.control`.

    Returns:
        The widget. `.render(**values)` is the plain call: it draws nothing and raises what the view raises.

    Raises:
        LookupError: `start` or a preset names a parameter that has no range.
        ValueError: a value of `start` or of a preset lies outside its range.
        Anything that the view raises for the values at the start: a broken view should not wait for a reader.
    """
    if upload is not None and not isinstance(ranges.get(upload), ImageInput):
        ranges[upload] = ImageInput(tuple(ranges.get(upload, photos.names())))
    return Explorer(view, ranges, title, alt, dict(start or {}), dict(presets or {}), continuous, tops)


def created() -> list["Explorer"]:
    """All explorers of this process that still exist: for tests that try every slider of a notebook."""
    return list(_created)


class Explorer(ipywidgets.VBox):
    """What `explore` returns: controls above, images below."""

    def __init__(self, view, ranges, title, alt, start, presets, continuous=None, tops=None):
        for name in [*start, *(name for values in presets.values() for name in values)]:
            if name not in ranges:
                raise unknown("parameter", name, ranges)
        self.view, self.presets, self.alt = view, presets, alt or title or panels.called(view)
        self.controls = {name: control(name, range_, start.get(name)) for name, range_ in ranges.items()}
        self.panels: dict[str, ipywidgets.Widget] = {}
        self.stage = ipywidgets.HBox(layout={"flex_flow": "row wrap", "align_items": "flex-end"})
        self.message = ipywidgets.HTML()
        # What the settings are, for screen readers: images refer to it, so none is sent for its words.
        # The id is unlike that of every other kernel: two notebooks may share one page.
        self.spoken, self._id = ipywidgets.HTML(layout={"display": "none"}), f"cnnlab-{secrets.token_hex(4)}"
        self._shown: dict[str, Any] = {}
        self._quiet, self._continuous, self._last, self._tops = False, continuous, float("inf"), tops
        at_start = self._held()
        for values in ({}, *presets.values()):
            self._check({**at_start, **values})
        for name, top in self._limit().items():
            self.controls[name].ends = [self.controls[name].ends[0], top]
        self._draw()
        for each in self.controls.values():
            each.widget.observe(lambda _: self._redraw(), "value")
        heading = ipywidgets.HTML(f"<b>{html.escape(title)}</b>" if title else "")
        widgets = [each.widget for each in self.controls.values()]
        self.settings = ipywidgets.VBox([self._buttons(), *widgets, self.message])
        super().__init__([heading, self.settings, self.stage, self.spoken])
        # The names by which a live slide puts the settings beside the images.
        for part, name in ((self, "explore"), (self.settings, "settings"), (self.stage, "stage")):
            part.add_class(f"cnnlab-{name}")
        _created.add(self)

    @property
    def values(self) -> dict[str, Any]:
        """What the view gets now."""
        return {name: each.value for name, each in self.controls.items()}

    def render(self, **values) -> Any:
        """Call the view, with the controls' values for all that is not given; nothing is drawn.

        Raises:
            LookupError: there is no such parameter.
            Anything that the view raises.
        """
        for name in values:
            if name not in self.controls:
                raise unknown("parameter", name, self.controls)
        given = {name: self.controls[name].given(value) for name, value in values.items()}
        return self.view(
            **{name: given[name] if name in given else each.value for name, each in self.controls.items()}
        )

    def put(self, **values) -> None:
        """Set several controls and redraw once.

        Raises:
            LookupError: there is no such parameter.
            ValueError: a value lies outside its range; then no control has moved.
        """
        for name in values:
            if name not in self.controls:
                raise unknown("parameter", name, self.controls)
        tops = self._check(values)
        self._quiet = True
        try:
            for name in sorted(
                values, key=lambda name: name in tops
            ):  # first those that say how far others go
                if name in tops:
                    self._limit()
                self.controls[name].put(values[name])
        finally:
            self._quiet = False
        self._redraw()

    def reset(self) -> None:
        """Back to the values at the start."""
        self.put(**{name: each.start for name, each in self.controls.items()})

    def ends(self) -> Iterator[dict[str, Any]]:
        """What a test should `put`: each control at each end, the others at the start; then each preset.

        Sliders with a top of their own (`tops`) go as far as the others let them, and once to that top.
        """
        start = {name: each.start for name, each in self.controls.items()}
        for name, each in self.controls.items():
            for end in each.ends:
                tops = self._top_of({**start, name: end})
                held = {other: min(start[other], top) for other, top in tops.items()}
                if name in tops:
                    yield {**start, **held, name: min(end, tops[name])}
                    continue
                yield {**start, **held, name: end}
                if tops:
                    yield {**start, name: end, **tops}
        for values in self.presets.values():
            yield {**start, **values}

    def _buttons(self):
        reset = ipywidgets.Button(description="Reset", icon="undo", tooltip="back to the values at the start")
        reset.on_click(lambda _: self.reset())
        buttons = [reset]
        for name, values in self.presets.items():
            button = ipywidgets.Button(description=name, tooltip=f"preset: {name}", layout={"width": "auto"})
            button.on_click(lambda _, values=values: self.put(**values))
            buttons.append(button)
        return ipywidgets.HBox(buttons, layout={"flex_flow": "row wrap"})

    def _redraw(self):
        if self._quiet:
            return
        try:
            self._limit()
            self._draw()
        except Exception as error:  # whatever it is: the reader must see it, and the image stays
            text = html.escape(f"{type(error).__name__}: {error}")
            style = "border-left: 4px solid #D55E00; padding: 4px 10px"
            self.message.value = f'<div role="alert" style="{style}">{text}</div>'
        else:
            self.message.value = ""

    def _held(self) -> dict[str, Any]:
        return {name: each.widget.value for name, each in self.controls.items()}

    def _top_of(self, held: dict[str, Any]) -> dict[str, int]:
        """How far some sliders go if the controls hold this."""
        tops = self._tops(held) if self._tops else {}
        for name in tops:
            if name not in self.controls:
                raise unknown("parameter", name, self.controls)
        return tops

    def _check(self, values: dict[str, Any]) -> dict[str, int]:
        """Refuse values that the controls cannot hold together; returns the tops that hold then."""
        own = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        tops = self._top_of({**self._held(), **own})
        for name, value in values.items():
            self.controls[name].check(value, tops.get(name))
        return tops

    def _limit(self) -> dict[str, int]:
        """Let the sliders end where `tops` says; one that stood beyond moves back, and nothing is drawn."""
        tops = self._top_of(self._held())
        before, self._quiet = self._quiet, True
        try:
            for name, top in tops.items():
                self.controls[name].widget.max = top
        finally:
            self._quiet = before
        return tops

    def _draw(self):
        """Draw, and let the sliders redraw while they move only if that is fast enough to follow.

        One slow redraw says little: the first loads what later ones find loaded. Two in a row say it.
        """
        began = time.perf_counter()
        self._show(self.render())
        took = time.perf_counter() - began
        follow = min(took, self._last) <= _SLOW if self._continuous is None else self._continuous
        self._last = took
        for each in self.controls.values():
            if hasattr(each.widget, "readout"):  # the sliders
                each.widget.continuous_update = follow

    def _show(self, result):
        parts = result if isinstance(result, dict) else {"": result}
        # All of it is made before any of it is shown: if one part cannot be drawn, the last images stay.
        made = {
            caption: panels.text(part)
            if isinstance(part, str)
            else html_image.picture(part, self._words(caption), described_by=self._id)
            for caption, part in parts.items()
            if not self._is_shown(caption, part)
        }
        if list(parts) != list(self.panels):
            fresh = {caption: ipywidgets.HTML(layout={"max_width": "100%"}) for caption in parts}
            self.panels = {caption: self.panels.get(caption, panel) for caption, panel in fresh.items()}
            self.stage.children = [panels.captioned(caption, panel) for caption, panel in self.panels.items()]
        for caption, content in made.items():
            self.panels[caption].value = content
            if isinstance(parts[caption], str) and not caption:
                self.panels[caption].add_class("cnnlab-note")
        # Last: the images are what somebody waits for.
        self.spoken.value = f'<span id="{self._id}">{html.escape(self._said())}</span>'
        # Copies: a view may draw into the same array again.
        self._shown = {caption: panels.copy(part) for caption, part in parts.items()}

    def _is_shown(self, caption: str, part) -> bool:
        """Does the page show this already? To encode and to send it again would be the slowest part."""
        old = self._shown.get(caption)
        if isinstance(part, np.ndarray) and isinstance(old, np.ndarray):
            return np.array_equal(part, old)
        return isinstance(part, Tensor) and isinstance(old, Tensor) and torch.equal(part, old)

    def _words(self, caption: str) -> str:
        return f"{self.alt}: {caption}" if caption else self.alt

    def _said(self) -> str:
        return ", ".join(
            f"{each.widget.description} {panels.short(each.widget.value)}" for each in self.controls.values()
        )
