"""A range becomes a control: (0, 1, 0.05) a slider, a list a choice, a bool a box, Matrix a table of numbers.

Every control has a `value`, a label that screen readers find, and works with the keyboard alone. What a view
gets is not always what a control holds: a `ImageInput` control holds a name and gives a tensor. So each
control is wrapped as a `Control` that knows both, and all values that a test must try (`ends`).
"""

import math
from dataclasses import replace
from typing import Any

import ipywidgets
import torch

from cnnlab.errors import unknown
from cnnlab.widgets.image_chooser import ImageChooser, ImageInput
from cnnlab.widgets.matrix_editor import Matrix, MatrixEditor
from cnnlab.widgets.style import control_layout

__all__ = ["Control", "Matrix", "ImageInput", "control"]


class Control:
    """A widget, the value that the view gets from it, and the values at its ends."""

    def __init__(self, widget, ends: list, given=lambda value: value):
        self.widget, self.ends, self._given = widget, ends, given
        self.start = widget.value

    @property
    def value(self) -> Any:
        """What the view gets."""
        return self.given(self.widget.value)

    def given(self, value: Any) -> Any:
        """What the view gets for a value of the widget: for the name of a photo, its tensor."""
        return self._given(value)

    def check(self, value: Any, top: float | None = None) -> None:
        """Refuse what the widget cannot hold, which a slider would move to its end without a word.

        Args:
            value: to be checked.
            top: where a slider will end, if not where it ends now.

        Raises:
            ValueError: the value is not between the ends, none of the options, or no table that fits.
            LookupError: there is no such image.
        """
        low, high = (
            getattr(self.widget, "min", None),
            getattr(self.widget, "max", None) if top is None else top,
        )
        called, given = self.widget.description, f"{type(value).__name__} {value!r}"
        if isinstance(self.widget, ipywidgets.Checkbox) and not isinstance(value, bool):
            raise ValueError(f"'{called}' is True or False, not {given}")
        if isinstance(self.widget, ipywidgets.Text) and not isinstance(value, str):
            raise ValueError(f"'{called}' is a text, not {given}")
        if low is not None:
            whole = isinstance(self.widget, ipywidgets.IntSlider)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise ValueError(f"'{called}' is a {'whole ' if whole else ''}number, not {given}")
            if not low <= value <= high:
                raise ValueError(f"'{called}' goes from {low} to {high}, not to {value}")
        if isinstance(self.widget, ipywidgets.Dropdown) and value not in self.ends:
            raise ValueError(f"'{self.widget.description}' is one of {self.ends}, not {value!r}")
        if isinstance(self.widget, MatrixEditor):
            self.widget.rows(value)
        if isinstance(self.widget, ImageChooser) and value not in self.widget.choice.options:
            raise unknown("image", value, self.widget.choice.options)

    def put(self, value: Any) -> None:
        """Set the widget, as a preset does.

        Raises:
            ValueError: as for `check`.
        """
        self.check(value)
        self.widget.value = value


def control(name: str, range_: Any, start: Any = None) -> Control:
    """The control for a range.

    Args:
        name: of the parameter; "window_size" is labelled "window size".
        range_: (low, high) of ints, (low, high, step), a list of options, a dict label -> option, a bool, a
            str, a `Matrix` or a `ImageInput`.
        start: the value at the start. Left out: the lowest, the first, or the range itself.

    Raises:
        TypeError: no control fits such a range.
        ValueError: the range is empty, or the start lies outside it.
        LookupError: a `ImageInput` starts with a name that it does not offer.
    """
    label = {"description": name.replace("_", " "), **control_layout()}
    if isinstance(range_, bool):
        widget = ipywidgets.Checkbox(value=range_ if start is None else start, indent=True, **label)
        return Control(widget, [False, True])
    if isinstance(range_, str):
        widget = ipywidgets.Text(value=range_ if start is None else start, continuous_update=False, **label)
        return Control(widget, ["", range_])
    if isinstance(range_, Matrix):
        widget = MatrixEditor(
            range_ if start is None else replace(range_, value=start), name.replace("_", " ")
        )
        ends = [torch.zeros(range_.min_size, range_.min_size), torch.ones(range_.max_size, range_.max_size)]
        return Control(widget, ends, lambda table: torch.as_tensor(table, dtype=torch.float32))
    if isinstance(range_, ImageInput):
        widget = ImageChooser(range_ if start is None else replace(range_, value=start), label)
        return Control(widget, list(range_.names), widget.tensor)
    if isinstance(range_, list | dict):
        options = list(range_.values()) if isinstance(range_, dict) else range_
        if not options:
            raise ValueError(f"'{name}' has no options to choose from")
        if start is not None and start not in options:
            raise ValueError(f"'{name}' cannot start at {start!r}: the options are {options}")
        shown = (
            list(range_.items())
            if isinstance(range_, dict)
            else [(str(option), option) for option in options]
        )
        widget = ipywidgets.Dropdown(options=shown, value=options[0] if start is None else start, **label)
        return Control(widget, options)
    if (
        isinstance(range_, tuple)
        and len(range_) in (2, 3)
        and all(isinstance(n, int | float) for n in range_)
    ):
        return _slider(name, range_, start, label)
    raise TypeError(
        f"no control for {name}={range_!r}. Give (low, high), (low, high, step), a list, a bool, a text, "
        "Matrix(...) or Image(...)."
    )


def _slider(name: str, range_: tuple, start: float | None, label: dict) -> Control:
    low, high = range_[:2]
    start = low if start is None else start
    if not all(math.isfinite(number) for number in range_):
        raise ValueError(f"a slider for '{name}' needs finite numbers, not {range_}")
    if not low <= start <= high or low == high:
        raise ValueError(
            f"'{name}' should run from {low} to a larger {high}, and start between, not at {start}"
        )
    if len(range_) == 3 and not range_[2] > 0:
        raise ValueError(f"the step of '{name}' must be above zero, but it is {range_[2]}")
    if all(isinstance(number, int) for number in range_):
        step = range_[2] if len(range_) == 3 else 1
        widget = ipywidgets.IntSlider(value=start, min=low, max=high, step=step, **label)
    else:
        step = range_[2] if len(range_) == 3 else (high - low) / 100
        # As many digits as the step and the ends have: what is read is what the view gets.
        digits = max(len(f"{number:.6f}".rstrip("0").split(".")[1]) for number in (step, low, high))
        form = f".{digits}f" if step >= 1e-6 else ".3g"
        widget = ipywidgets.FloatSlider(
            value=start, min=low, max=high, step=step, readout_format=form, **label
        )
    return Control(widget, [low, high])
