"""All lectures, one after the other, before the class comes: seconds, memory, widgets, and what failed.

`python -m cnnlab doctor --full`. Memory is the most that the kernel and all that it started held at once:
their resident memory, looked at ten times a second, so a shorter peak may be missed. The libraries that the
others share with the largest of them count once (Linux tells; elsewhere they count for each). JupyterLab and
the browser are not in it.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnlab.course import syllabus, timings
from cnnlab.course.running import doctor, run_notebook

SECONDS, MEGABYTES = 60, 1024  # what a lecture may take, on two cores
_HEAD = f"{'lecture':24} {'seconds':>7} {'MB':>6} {'widgets':>7}  state"


class Rehearsed(NamedTuple):
    """What one lecture took. `failed` as in `run_notebook.Ran`."""

    lecture: str
    seconds: float
    megabytes: float
    widgets: int
    failed: list[str]

    @property
    def over(self) -> list[str]:
        """The limits that it did not keep."""
        limits = [(self.seconds > SECONDS, f"over {SECONDS} s")]
        limits += [(self.megabytes > MEGABYTES, f"over {MEGABYTES} MB")]
        return [text for broken, text in limits if broken]

    def __str__(self) -> str:
        state = "problem" if self.failed else "note" if self.over else "ok"
        label = f"{doctor.SYMBOLS[state]} {'; '.join([*self.failed, *self.over]) or 'ok'}"
        numbers = f"{self.seconds:7.1f} {self.megabytes:6.0f} {self.widgets:7}"
        return f"{self.lecture:24} {numbers}  {' '.join(label.split())}"


class Rehearsal:
    """A run of several lectures.

    Args:
        lectures: notebooks.
        folder: for the notebooks with their outputs.
        parameters: names and values as they were typed; a lecture without such a parameter runs without it.
        keep: write the figures of lectures without a fault to timings.json.

    Raises:
        LookupError: no lecture at all has such a parameter.
        ValueError: such figures are not for the README.
    """

    def __init__(
        self, lectures: list[Path], folder: Path, parameters: Sequence[tuple[str, str]] = (), keep=False
    ):
        self._values = {path: run_notebook.values(path, parameters, others=True) for path in lectures}
        for name, text in parameters:
            if not any(name in values for values in self._values.values()):
                run_notebook.values(lectures[0], [(name, text)])  # says which names there are
        if keep and (parameters or any(path.parent.name != "notebooks" for path in lectures)):
            raise ValueError("--keep is for the student's notebooks as they are: leave out -p and --answered")
        self._folder, self._keep = folder, keep

    def main(self) -> int:
        """Run all, print a line for each. Returns 0, or 1 if one failed; Ctrl+C ends with what there is."""
        found: list[Rehearsed] = []
        print(f"\n{_HEAD}", flush=True)
        try:
            for each in self._all():
                print(each, flush=True)
                found.append(each)
        finally:  # also after Ctrl+C
            total = sum(each.seconds for each in found)
            print(
                f"{len(found)} of {len(self._values)} lectures, {total:.0f} s on {timings.cores()} cores; "
                f"MB: kernel and all that it started, at most; the notebooks as they ran: {self._folder}"
            )
        return int(any(each.failed for each in found))

    def _all(self) -> Iterator[Rehearsed]:
        for path, values in self._values.items():
            with Watch(
                lambda seconds, mb, path=path: _show(f"{path.stem}: {seconds:.0f} s, {mb:.0f} MB")
            ) as w:
                try:
                    ran = run_notebook.run(path, self._folder / path.name, values)
                except OSError as error:  # the next one may be smaller
                    ran = run_notebook.Ran(w.seconds, 0, [str(error)])
            if self._keep and not ran.failed:
                timings.keep(syllabus.number(path.name), ran.seconds, w.megabytes)
            yield Rehearsed(path.stem, ran.seconds, w.megabytes, ran.widgets, ran.failed)


class Watch:
    """Looks at the memory of every process that this one starts in a block, ten times a second.

    Attributes:
        megabytes: the most that they held together so far.
        seconds: since the block began.
    """

    def __init__(self, tell: Callable[[float, float], None] | None = None):
        self.megabytes, self.seconds, self._tell = 0.0, 0.0, tell
        self._end, self._thread = threading.Event(), threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        import psutil

        self._me, self._began = psutil.Process(), time.monotonic()
        self._before = set(self._me.children(recursive=True))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        _show("")

    def _watch(self) -> None:
        import psutil

        while not self._end.wait(0.1):
            held = []
            for process in set(self._me.children(recursive=True)) - self._before:
                with contextlib.suppress(psutil.Error):  # it has just ended
                    memory = process.memory_info()
                    held.append((memory.rss, getattr(memory, "shared", 0)))
            largest, *others = sorted(held, reverse=True) or [(0, 0)]
            total = largest[0] + sum(rss - shared for rss, shared in others)
            self.megabytes = max(self.megabytes, total / 2**20)
            self.seconds = time.monotonic() - self._began
            if self._tell is not None:
                self._tell(self.seconds, self.megabytes)


def _show(text: str) -> None:
    """One line that is written over, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)
