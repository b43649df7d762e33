"""What the benchmarks share: running several ways in turns, and a row of the table of them all."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """One comparison.

    Attributes:
        what: the work.
        ours: seconds of our way.
        peer: with what it is compared, at its best setting, or the raw passes that the work needs.
        theirs: seconds of that.
        asked: what ours / theirs may be at most; None where nothing was asked.
    """

    what: str
    ours: float
    peer: str
    theirs: float
    asked: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def kept(self) -> bool:
        return self.asked is None or self.ratio <= self.asked


def in_turns(ways: Mapping[str, Callable], rounds: int, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of each way in each round: all of them in every round, so that noise hits all.

    Args:
        ways: name -> what to run.
        rounds: that count.
        warm: run all once before.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for count in range(rounds + warm):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            if count >= warm:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Name -> the middle of its times."""
    return {name: statistics.median(times) for name, times in seconds.items()}
