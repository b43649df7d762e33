"""A square table of numbers that a reader can edit: a convolution kernel, for one."""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch
import traitlets
from torch import Tensor

from cnnlab.widgets.style import beside_labels, control_layout


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


class MatrixEditor(ipywidgets.VBox):
    """A k x k table of number fields, with a choice of k. `value` is a tuple of rows."""

    value = traitlets.Any()

    def __init__(self, spec: Matrix, name: str):
        self.description = name
        self._quiet = False
        sides = list(range(spec.min_size, spec.max_size + 1, 2))
        self.side = ipywidgets.Dropdown(
            options=[(f"{k} x {k}", k) for k in sides], description=f"{name} size", **control_layout()
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
        # A label of no width: nothing to see in a table, but screen readers say it.
        name, style = f"row {row + 1}, column {column + 1}", {"description_width": "0px"}
        layout = {"width": "66px", "margin": "1px"}
        cell = ipywidgets.FloatText(step=0.5, description=name, style=style, layout=layout)
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
        self.table.layout = {"grid_template_columns": f"repeat({k}, 70px)", **beside_labels()}

    def _read(self):
        if not self._quiet:
            k = self.side.value
            try:
                self.value = tuple(tuple(cell.value for cell in row[:k]) for row in self.cells[:k])
            except (ValueError, traitlets.TraitError):  # too large for float32: the last number comes back
                self._show()

    def _resize(self, k: int):
        """Keep the middle: grow with zeros around it, or cut the border off."""
        if self._quiet:
            return
        old = torch.tensor(self.value)
        border = (k - len(old)) // 2
        self.value = torch.nn.functional.pad(old, (border,) * 4)  # a negative border cuts
