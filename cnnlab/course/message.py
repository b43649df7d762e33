"""A box on the page: a symbol, a word, and a text. In a terminal, the same as plain text."""

import html

# Symbol, word and colour of the border. The word says it all; the colour only helps.
_KINDS = {
    "right": ("\u2713", "right", "#009E73"),
    "wrong": ("\u2717", "not yet", "#D55E00"),
    "open": ("\u25cb", "not started", "#767676"),
    "note": ("\u2139", "", "#0072B2"),
}


class Box:
    """Something to tell the reader."""

    def __init__(self, kind: str, title: str, text: str = ""):
        self.symbol, self.word, self.colour = _KINDS[kind]
        self.heading = f"{self.symbol} {self.word}: {title}" if self.word else f"{self.symbol} {title}"
        self.text = text

    def _repr_html_(self) -> str:
        # No colours for text and background: those of the page, so that it reads well in the dark theme too.
        style = "white-space: pre-wrap; word-break: normal; margin: 4px 0 0 0"
        body = f'<pre style="{style}">{html.escape(self.text)}</pre>'
        return (
            f'<div role="status" style="border-left: 5px solid {self.colour}; padding: 6px 12px">'
            f"<b>{html.escape(self.heading)}</b>{body if self.text else ''}</div>"
        )

    def __repr__(self) -> str:
        return self.heading + (f"\n{self.text}" if self.text else "")


def tell(kind: str, title: str, text: str = "") -> None:
    """Display a box: in a notebook as a box, elsewhere as text."""
    from IPython.display import display

    display(Box(kind, title, text))


def ask(kind: str, question: str):
    """A question as a widget: "Predict: how many?"."""
    import ipywidgets

    # Widgets inherit a line as high as a button; a question of two lines needs its own.
    text = f"<div style='line-height: 1.5'><b>{kind}:</b> {html.escape(question)}</div>"
    return ipywidgets.HTML(text, layout={"max_width": "700px"})
