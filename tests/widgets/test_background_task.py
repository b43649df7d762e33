"""Work in a thread of its own: two buttons that never swallow the keyboard, one Stop, and no lost error."""

import threading

import pytest

from cnnlab.widgets.background_task import Background


class Work(Background):
    """Waits until it is stopped, or fails where it is told to."""

    def __init__(self, fails=""):
        super().__init__("Train", "begin", "end")
        self.fails, self.done, self.began = fails, 0, threading.Event()

    def _prepare(self):
        if self.fails == "before":
            raise ValueError("no <such> setting")
        return self._work

    def _work(self):
        self.began.set()
        if self.fails == "inside":
            raise ValueError("no <memory>")
        self._stop.wait(180)
        self.done += 1


def looks(widget):
    return widget.go.icon, widget.halt.button_style


def test_both_buttons_stay_enabled_and_say_whether_it_is_at_work():
    """A disabled button that has the focus swallows every key: the slide could not be turned."""
    widget = Work()
    for _ in range(2):
        assert not widget.go.disabled and not widget.halt.disabled and looks(widget) == ("play", "")
        widget.go.click()
        thread = widget._thread
        assert widget.running and looks(widget) == ("hourglass", "danger")
        assert not widget.go.disabled and not widget.halt.disabled
        widget.go.click()  # a second press does nothing
        assert widget._thread is thread
        widget.halt.click()
        widget.wait(180)
    assert widget.done == 2 and looks(widget) == ("play", "")


def test_stop_before_and_after_does_nothing():
    widget = Work()
    widget.halt.click()
    widget.go.click()
    widget.wait(0.1)
    assert widget.running  # the stop of before is forgotten
    widget.halt.click()
    widget.wait(180)
    widget.halt.click()
    assert widget.done == 1 and not widget.running


@pytest.mark.parametrize("where", ("before", "inside"))
def test_an_error_is_shown_and_raised_wherever_it_happens(where):
    widget = Work(where)
    if where == "before":
        with pytest.raises(ValueError, match="setting"):
            widget.start()
        assert widget._thread is None
    else:
        widget.start()
    with pytest.raises(ValueError, match="no <"):
        widget.wait(180)
    assert '<div role="alert">ValueError: no &lt;' in widget.status.value and looks(widget) == ("play", "")
    widget.fails = ""
    widget.start()
    widget.stop()
    widget.wait(180)
    assert widget.error is None and widget.done == 1


def test_two_at_once_stop_one_by_one():
    one, other = Work(), Work()
    one.start()
    other.start()
    assert one.began.wait(180) and other.began.wait(180)
    one.stop()
    one.wait(180)
    assert one.done == 1 and other.running
    other.stop()
    other.wait(180)
    assert other.done == 1
