"""A widget whose work runs in a thread of its own, so that the page answers meanwhile and Stop works.

The live trainings and the studio of lecture 07 are made of it: each says what to do, and draws how far it is.
"""

import html
import threading
from collections.abc import Callable

import ipywidgets


class Background(ipywidgets.VBox):
    """A button that starts the work, Stop, and a line that says how far it is.

    Neither button is ever disabled: one that is, and has the keyboard's focus, swallows all keys, so that
    nothing could turn the slide. A press that makes no sense now does nothing; the icon and a red Stop say
    that it is at work.

    Args:
        go: the name of the button that starts.
        begins, keeps: what the two buttons do, for who points at them.
    """

    def __init__(self, go: str, begins: str, keeps: str):
        super().__init__()
        self.go = ipywidgets.Button(description=go, icon="play", tooltip=begins)
        self.halt = ipywidgets.Button(description="Stop", icon="stop", tooltip=keeps)
        self.go.on_click(lambda _: self.start())
        self.halt.on_click(lambda _: self.stop())
        self.buttons, self.status = ipywidgets.HBox([self.go, self.halt]), ipywidgets.HTML()
        self.error: BaseException | None = None
        self._stop, self._thread = threading.Event(), None
        self.add_class("cnnlab-live")

    @property
    def running(self) -> bool:
        """Is it at work now?"""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start anew; does nothing while it is at work."""
        if self.running:
            return
        self.error = None
        self._stop.clear()
        try:
            work = self._prepare()  # here, so that the controls are read as they stand now
        except Exception as error:  # of a press of the button, ipywidgets would only write it into a log
            self._alert(error)
            raise
        self._busy(True)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step that it is at; what there is so far stays."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Until the work has ended. Raises what ended it, if that was an error."""
        if self._thread is not None:
            self._thread.join(seconds)
        if self.error is not None:
            raise self.error

    def _prepare(self) -> Callable[[], None]:
        """What to do in the thread, with the settings of this moment."""
        raise NotImplementedError

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # it must not vanish with the thread
            self._alert(error)
        finally:
            self._busy(False)

    def _busy(self, now: bool) -> None:
        self.go.icon, self.halt.button_style = ("hourglass", "danger") if now else ("play", "")

    def _alert(self, error: BaseException) -> None:
        self.error = error
        text = html.escape(f"{type(error).__name__}: {error}")
        self.status.value = f'<div role="alert">{text}</div>'

    def _say(self, text: str) -> None:
        self.status.value = f'<div role="status">{html.escape(text)}</div>'
