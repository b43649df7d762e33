"""A small table of words and numbers on the page: real text, so it can be read aloud, copied and enlarged."""

import html
import math
import statistics
from collections.abc import Sequence


class Table:
    """Jupyter shows a table; a terminal prints columns.

    >>> Table(["method", "sum"], [["gradient", 1.23456], ["occlusion", None]])
    method       sum
    gradient    1.23
    occlusion      -

    Args:
        header: one word or two for each column.
        rows: as many entries each as the header; None is a dash. The middle one of a column's floats is shown
            with three digits, the others with as many decimals; each with three digits of its own, where
            they differ by more than a thousand times.
        caption: what the table shows, in a sentence; stands above it.

    Raises:
        ValueError: a row that is not as long as the header, or no rows.
    """

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence], caption: str | None = None):
        if not rows or any(len(row) != len(header) for row in rows):
            raise ValueError(
                f"rows have {len(header)} entries, as the header; not {[len(row) for row in rows]}"
            )
        rows = [[_plain(entry) for entry in row] for row in rows]
        self.header, self.caption = list(header), caption
        columns = [_column(column) for column in zip(*rows, strict=True)]
        self.rows = [list(row) for row in zip(*columns, strict=True)]
        # A column of numbers is read from its right end.
        self._right = [
            all(entry is None or isinstance(entry, int | float) for entry in column)
            for column in zip(*rows, strict=True)
        ]

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="{_cell(right)}">{html.escape(word)}</th>'
            for word, right in zip(self.header, self._right, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<{tag} style="{_cell(right)}; font-weight: normal">{html.escape(entry)}</{tag.split()[0]}>'
                for tag, entry, right in zip(
                    ['th scope="row"', *["td"] * (len(row) - 1)], row, self._right, strict=True
                )
            )
            + "</tr>"
            for row in self.rows
        )
        said = "" if self.caption is None else f"<caption>{html.escape(self.caption)}</caption>"
        style = "font-size: 15px; border-collapse: collapse"
        return f'<table style="{style}">{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                entry.rjust(width) if right else entry.ljust(width)
                for entry, width, right in zip(line, widths, self._right, strict=True)
            ).rstrip()
            for line in lines
        )


def _plain(entry):
    """A number of numpy or torch as one of Python."""
    return entry.item() if hasattr(entry, "item") and getattr(entry, "ndim", 1) == 0 else entry


def _column(entries: Sequence) -> list[str]:
    """The words of a column: 4.10 stands above 3.95, not 4.1."""
    sizes = [abs(entry) for entry in entries if isinstance(entry, float) and math.isfinite(entry) and entry]
    shape = ".3g"
    if sizes and max(sizes) <= 1000 * min(sizes):
        most = max(0, 2 - math.floor(math.log10(statistics.median_high(sizes))))
        digits = [f"{size:.{most}f}".partition(".")[2].rstrip("0") for size in sizes]
        shape = f".{max(map(len, digits))}f"
    said = {float: lambda entry: format(entry, shape), type(None): lambda _: "-"}
    return [said.get(type(entry), str)(entry) for entry in entries]


def _cell(right: bool) -> str:
    return f"text-align: {'right' if right else 'left'}; padding: 3px 14px"
