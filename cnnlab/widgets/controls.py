"""A range becomes a control: (0, 1, 0.05) a slider, a list a choice, a bool a box, Matrix a table of numbers.

Every control has a `value`, a label that screen readers find, and works with the keyboard alone. What a view
gets is not always what a control holds: a `Picture` control holds a name and gives a tensor. So each control
is wrapped as a `Control` that knows both, and all values that a test must try (`ends`).
"""

import html
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets
import torch
import traitlets
from torch import Tensor

from cnnlab.data import photos, uploads
from cnnlab.names import unknown

YOURS = "your picture"
_WIDE = ipywidgets.Layout(width="min(520px, 100%)")
_STYLE = {"description_width": "130px"}


@dataclass(frozen=True)
class Matrix:
    """Ask for a square table of numbers that can be edited; the view gets a (k, k) tensor.

    Attributes:
        value: the (k, k) table at the start.
        min_size, max_size: the sides to choose from, odd.
    """

    value: Tensor
    min_size: int = 3
    max_size: int = 7


@dataclass(frozen=True)
class Picture:
    """Ask for a picture, embedded or the reader's own; the view gets a (1, 3, size, size) tensor.

    Attributes:
        names: the photos to choose from.
        size: side in pixels, for an upload too.
        value: the name at the start; the first if left out.
    """

    names: tuple[str, ...]
    size: int = 224
    value: str | None = None


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

    def check(self, value: Any) -> None:
        """Refuse what the widget cannot hold, which a slider would move to its end without a word.

        Raises:
            ValueError: the value is not between the ends, none of the options, or no table that fits.
            LookupError: there is no such picture.
        """
        low, high = getattr(self.widget, "min", None), getattr(self.widget, "max", None)
        if low is not None and not low <= value <= high:
            raise ValueError(f"'{self.widget.description}' goes from {low} to {high}, not to {value}")
        if isinstance(self.widget, ipywidgets.Dropdown) and value not in self.ends:
            raise ValueError(f"'{self.widget.description}' is one of {self.ends}, not {value!r}")
        if isinstance(self.widget, MatrixEditor):
            self.widget.rows(value)
        if isinstance(self.widget, PictureChooser) and value not in self.widget.choice.options:
            raise unknown("picture", value, self.widget.choice.options)

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
            str, a `Matrix` or a `Picture`.
        start: the value at the start. Left out: the lowest, the first, or the range itself.

    Raises:
        TypeError: no control fits such a range.
        ValueError: the range is empty, or the start lies outside it.
        LookupError: a `Picture` starts with a name that it does not offer.
    """
    label = {"description": name.replace("_", " "), "style": _STYLE, "layout": _WIDE}
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
    if isinstance(range_, Picture):
        widget = PictureChooser(range_ if start is None else replace(range_, value=start), label)
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
        "Matrix(...) or Picture(...)."
    )


def _slider(name: str, range_: tuple, start: float | None, label: dict) -> Control:
    low, high = range_[:2]
    start = low if start is None else start
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
        digits = len(f"{step:.6f}".rstrip("0").split(".")[1])
        form = f".{digits}f" if step >= 1e-6 else ".3g"
        widget = ipywidgets.FloatSlider(
            value=start, min=low, max=high, step=step, readout_format=form, **label
        )
    return Control(widget, [low, high])


class MatrixEditor(ipywidgets.VBox):
    """A k x k table of number fields, with a choice of k. `value` is a tuple of rows."""

    value = traitlets.Any()

    def __init__(self, spec: Matrix, name: str):
        self.description = name
        self._quiet = False
        sides = list(range(spec.min_size, spec.max_size + 1, 2))
        self.side = ipywidgets.Dropdown(
            options=[(f"{k} x {k}", k) for k in sides], description=f"{name} size", style=_STYLE, layout=_WIDE
        )
        self.cells = [
            [self._cell(row, column) for column in range(spec.max_size)] for row in range(spec.max_size)
        ]
        self.table = ipywidgets.GridBox()
        super().__init__([self.side, self.table])
        self.observe(self._show, "value")
        self.side.observe(lambda change: self._resize(change["new"]), "value")
        self.value = spec.value

    def _cell(self, row: int, column: int):
        layout = ipywidgets.Layout(width="62px", margin="1px")
        cell = ipywidgets.FloatText(layout=layout, step=0.5, tooltip=f"row {row + 1}, column {column + 1}")
        cell.observe(lambda _: self._read(), "value")
        return cell

    @traitlets.validate("value")
    def _table(self, proposal):
        return self.rows(proposal["value"])

    def rows(self, value: Any) -> tuple[tuple[float, ...], ...]:
        """A tensor or nested list as the rows that the editor holds.

        Raises:
            ValueError: not square, a side that is not offered, or a number that is not finite.
        """
        table = torch.as_tensor(value, dtype=torch.float32)
        sides = [k for _, k in self.side.options]
        if table.dim() != 2 or table.shape[0] != table.shape[1] or len(table) not in sides:
            raise ValueError(f"a table of {' or '.join(map(str, sides))} rows is expected, square")
        if not table.isfinite().all():
            raise ValueError("every cell of the table needs a finite number")
        # Rounded, so that 1/9 fits into its field; seven digits are as many as float32 holds.
        return tuple(tuple(round(number, 7) for number in row) for row in table.tolist())

    def _show(self, _=None):
        k = len(self.value)
        self._quiet = True
        try:
            self.side.value = k
            for row, numbers in zip(self.cells, self.value, strict=False):
                for cell, number in zip(row, numbers, strict=False):
                    cell.value = number
        finally:
            self._quiet = False
        self.table.children = [cell for row in self.cells[:k] for cell in row[:k]]
        self.table.layout = ipywidgets.Layout(
            grid_template_columns=f"repeat({k}, 64px)", margin="0 0 0 134px"
        )

    def _read(self):
        if not self._quiet:
            k = self.side.value
            self.value = tuple(tuple(cell.value for cell in row[:k]) for row in self.cells[:k])

    def _resize(self, k: int):
        """Keep the middle: grow with zeros around it, or cut the border off."""
        if self._quiet:
            return
        old = torch.tensor(self.value)
        border = (k - len(old)) // 2
        self.value = torch.nn.functional.pad(old, (border,) * 4)  # a negative border cuts


class PictureChooser(ipywidgets.VBox):
    """A choice of photos and a button for the reader's own. `value` is a name, `tensor(name)` a picture."""

    value = traitlets.Unicode()

    def __init__(self, spec: Picture, label: dict):
        self._size, self.description = spec.size, label["description"]
        self._pictures: dict[str, Tensor] = {}
        if not spec.names:
            raise ValueError(f"'{self.description}' has no pictures to choose from")
        if spec.value is not None and spec.value not in spec.names:
            raise unknown("picture", spec.value, spec.names)
        self.choice = ipywidgets.Dropdown(options=list(spec.names), **label)
        self.upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description=YOURS)
        self.message = ipywidgets.HTML()
        own = ipywidgets.HBox([self.upload, self.message], layout={"margin": "0 0 0 134px"})
        super().__init__([self.choice, own])
        self.choice.value = spec.value if spec.value is not None else spec.names[0]
        traitlets.link((self.choice, "value"), (self, "value"))
        self.upload.observe(self._uploaded, "value")

    def tensor(self, name: str | Tensor) -> Tensor:
        """The picture of that name, (1, 3, size, size), a fresh copy; a tensor is given back as it is."""
        if isinstance(name, Tensor):
            return name
        if name not in self._pictures:
            self._pictures[name] = photos.load(name, size=self._size)
        return self._pictures[name].clone()

    def _uploaded(self, change):
        if not change["new"]:
            return
        file = change["new"][0]
        try:
            picture = uploads.read(bytes(file["content"]), self._size)
        except ValueError as error:
            # The former picture stays; the reader sees why.
            self.message.value = f'<span role="alert">\u26a0 {html.escape(str(error))}</span>'
            return
        finally:
            self.upload.value = ()  # the bytes need not be kept, and the same file can be chosen again
        self.message.value = f"\u2713 {html.escape(file['name'])}"
        self._pictures[YOURS] = picture
        with self.hold_trait_notifications():  # whoever watches hears of one change
            if self.choice.value == YOURS:
                self.choice.value = self.choice.options[0]  # leave and come back, so that the change is seen
            if YOURS not in self.choice.options:
                self.choice.options = [*self.choice.options, YOURS]
            self.choice.value = YOURS
