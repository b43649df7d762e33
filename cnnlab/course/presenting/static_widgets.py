"""Widgets as they stand, as plain HTML: for a page that is opened without a kernel, or printed.

Type: ipywidget -> HTML. Texts and images stay, settings become "name: value", buttons are left out.
"""

import html
from collections.abc import Iterator

import ipywidgets

from cnnlab.course.predict import Prediction
from cnnlab.course.quiz import Quiz

MIME = "application/vnd.cnnlab.still+json"


def still(widget: ipywidgets.Widget) -> str:
    """A widget without its life.

    Args:
        widget: any ipywidget; boxes are walked through.

    Returns:
        HTML. Nothing of it is code, and every image keeps its alt text.
    """
    if getattr(widget.layout, "display", None) == "none":  # for screen readers of the live page alone
        return ""
    if isinstance(widget, ipywidgets.HTML):
        return f"<div>{widget.value}</div>" if widget.value else ""
    if isinstance(widget, Prediction | Quiz):
        inside = "".join(map(still, widget.children))
        return f'<div>{inside}<aside class="notes">{html.escape(widget.solution())}</aside></div>'
    if isinstance(widget, ipywidgets.Box):
        kind = "row" if isinstance(widget, ipywidgets.HBox) else "column"
        inside = "".join(map(still, widget.children))
        own = " ".join(name for name in widget._dom_classes if name.startswith("cnnlab-"))
        return f'<div class="{kind} {own}">{inside}</div>' if inside else ""
    if isinstance(widget, ipywidgets.Button | ipywidgets.FileUpload):
        return ""
    if isinstance(widget, ipywidgets.RadioButtons):  # a question: the options without the answer
        return f"<ul>{''.join(f'<li>{html.escape(str(label))}</li>' for label in _labels(widget))}</ul>"
    if hasattr(widget, "value"):
        value = getattr(widget, "label", None) or widget.value
        name = html.escape(getattr(widget, "description", "") or "")
        return f'<div class="setting">{name}: {html.escape(str(value))}</div>'
    return ""


def collect() -> None:
    """Display all widgets of this process that are not part of another, as JSON: model id -> HTML."""
    from IPython.display import display

    found = {widget.model_id: still(widget) for widget in _outermost()}
    display({MIME: found, "text/plain": f"{len(found)} widgets"}, raw=True)


def _outermost() -> Iterator[ipywidgets.Widget]:
    widgets = [each for each in _all() if isinstance(each, ipywidgets.DOMWidget)]
    inside = {child for each in widgets if isinstance(each, ipywidgets.Box) for child in each.children}
    return (each for each in widgets if each not in inside)


def _all() -> list[ipywidgets.Widget]:
    from ipywidgets.widgets import widget as registry

    return list(registry._instances.values())


def _labels(radio: ipywidgets.RadioButtons) -> list:
    return [option[0] if isinstance(option, tuple) else option for option in radio.options]
