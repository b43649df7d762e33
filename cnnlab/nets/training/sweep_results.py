"""What a sweep says: the trainings of one setting, their mean, and how many of them came to nothing.

Type: (sweep, setting) -> Runs. A training whose loss became no number has fewer epochs, or none: it must not
drop out of a mean without a word, so it is counted.
"""

import functools
from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

from cnnlab.errors import unknown
from cnnlab.nets.training import sweeps


class Runs(NamedTuple):
    """The trainings of one setting that differ by their seed alone.

    Attributes:
        finished: for each that reached its end, its rows in the order of the epochs.
        diverged: how many did not.
    """

    finished: list[list[Mapping[str, Any]]]
    diverged: int

    def curve(self, column: str) -> list[float]:
        """The mean of a column, epoch by epoch, as far as all that finished go; empty if none did.

        (Early stopping ends one training before another. A mean of those that are left would jump there.)
        """
        self._known(column)
        return [fmean(row[column] for row in rows) for rows in zip(*self.finished, strict=False)]

    def ends(self, column: str) -> list[float]:
        """The last number of each that finished."""
        self._known(column)
        return [rows[-1][column] for rows in self.finished]

    def end(self, column: str) -> float:
        """The mean of `ends`; nan if none finished."""
        return fmean(self.ends(column)) if self.finished else float("nan")

    def _known(self, column: str) -> None:
        if self.finished and column not in self.finished[0][0]:
            raise unknown("column", column, self.finished[0][0])


def runs(name: str, **setting: Any) -> Runs:
    """The shipped trainings of a sweep with this setting, one for each seed.

    Args:
        name: of `sweeps.SWEEPS`.
        **setting: a value for every name of its grid but the seed.

    Raises:
        LookupError: no such sweep, or no such name in its grid.
        ValueError: a value that is not in the grid, or a name without one.

    >>> len(runs("depth", residual=True, depth=5).curve("loss"))
    8
    """
    if name not in sweeps.SWEEPS:
        raise unknown("sweep", name, sweeps.SWEEPS)
    grid = {key: values for key, values in sweeps.SWEEPS[name].grid.items() if key != "seed"}
    for key, value in setting.items():
        if key not in grid:
            raise unknown("setting", key, grid)
        if value not in grid[key]:
            raise ValueError(f"{key} is one of {', '.join(map(str, grid[key]))}, not {value!r}")
    if missing := [key for key in grid if key not in setting]:
        raise ValueError(f"say which {missing[0]}: one of {', '.join(map(str, grid[missing[0]]))}")
    finished, seeds = [], sweeps.SWEEPS[name].grid["seed"]
    these = [row for row in _rows(name) if all(row[key] == value for key, value in setting.items())]
    for seed in seeds:
        rows = [row for row in these if row["seed"] == seed]
        if rows and rows[-1]["stopped"] != "diverged":
            finished.append(sorted(rows, key=lambda row: row["epoch"]))
    return Runs(finished, len(seeds) - len(finished))


@functools.cache
def _rows(name: str) -> list[dict[str, Any]]:
    return sweeps.load(name)
