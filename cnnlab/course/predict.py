"""Predict, then run: a guess is locked before the truth is shown."""

import html
import math
import re
from collections.abc import Sequence

import ipywidgets

from cnnlab.course.message import ask
from cnnlab.course.progress import guess, lock, note

ID = re.compile(r"\d\d[a-z]?\.p\w+")


def predict(id: str, question: str, *, options: Sequence | None = None, truth) -> "Prediction":
    """Ask for a guess, lock it, and only then show the truth beside it.

    Args:
        id: "01.p1": lecture and number.
        question: what is asked.
        options: the answers to choose from; a number is asked for if left out.
        truth: the right answer, or a function that computes it when the guess is locked.

    Returns:
        A widget. In a kernel that has seen a guess for this id, it is shown as locked.

    Raises:
        ValueError: the id is not a lecture and a number, "01.p1".
    """
    if not ID.fullmatch(str(id)):
        raise ValueError(f"a prediction's id is a lecture and a number, as '01.p1', not {id!r}")
    return Prediction(id, question, options, truth)


def _number(text: str) -> float | None:
    """A number as people type it; None for what is none, or could mean two.

    >>> _number("1,000"), _number("0,25"), _number("12 000"), _number("nan")
    (None, 0.25, 12000.0, None)
    """
    plain = re.sub(r"(?<=\d)[ _'\u2009\u202f](?=\d{3}\b)", "", text.strip())
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", plain):  # a thousand, or one with three decimals?
        return None
    try:
        value = float(plain.replace(",", ".") if plain.count(",") == 1 and "." not in plain else plain)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class Prediction(ipywidgets.VBox):
    """The question, the choice, and after `lock` the truth."""

    def __init__(self, id: str, question: str, options: Sequence | None, truth):
        self._id, self._truth = id, truth
        asked = ask("Predict", question)
        if options is None:
            # A text field, since a number field cannot be empty: it would lock a 0 that nobody guessed.
            self.choice = ipywidgets.Text(placeholder="a number", description="my guess")
        else:
            shown = [(str(option), option) for option in options]
            self.choice = ipywidgets.RadioButtons(
                options=shown, value=None, description="my guess", layout={"width": "max-content"}
            )
        self.button = ipywidgets.Button(
            description="Lock my guess",
            icon="lock",
            tooltip="lock the guess and show the truth",
            layout={"width": "max-content"},
        )
        self.answer = ipywidgets.HTML()
        self.button.on_click(lambda _: self.lock(self._chosen()))
        super().__init__([asked, self.choice, self.button, self.answer])
        if guess(id) is None:
            note(id, False)
        else:
            self._reveal(guess(id))

    def lock(self, value) -> None:
        """Lock a guess. Without one, ask for it; after the first, nothing changes any more."""
        if guess(self._id) is None:
            if value is None:
                first = "Type a number first, as 1200 or 0.25" if self._typed() else "Choose first"
                self.answer.value = f"{first}: a wrong guess teaches more than none."
                return
            lock(self._id, value)
        self._reveal(guess(self._id))

    def solution(self) -> str:
        """The truth in words: for the teacher's notes."""
        return f"It is {self._found()}."

    def _found(self):
        truth = self._truth() if callable(self._truth) else self._truth
        return truth.item() if hasattr(truth, "item") else truth

    def _typed(self) -> bool:
        return isinstance(self.choice, ipywidgets.Text)

    def _chosen(self):
        if not self._typed():
            return self.choice.value
        return _number(self.choice.value)

    def _reveal(self, guess) -> None:
        if self._typed():
            self.choice.value = f"{guess:.12g}"
        elif guess in [value for _, value in self.choice.options]:
            self.choice.value = guess
        # The button stays enabled, though it does nothing any more: a disabled one would drop the keyboard's
        # focus, and on a slide Space would no longer go on.
        self.choice.disabled, self.button.description = True, "Locked"
        try:
            truth = self._found()
            # 0.3 is right where the truth is 0.1 + 0.2.
            numbers = all(isinstance(each, int | float) for each in (guess, truth))
            right = math.isclose(guess, truth, rel_tol=1e-6, abs_tol=1e-9) if numbers else guess == truth
        except Exception as error:  # the guess is kept; the reader sees what went wrong
            self.answer.value = html.escape(f"Your guess {guess} is locked. The truth failed: {error!r}")
            return
        said = f"{guess:.12g}" if self._typed() else str(guess)  # 50, not 50.0
        verdict = "\u2713 As you said" if right else "\u2717 A surprise: find out why"
        self.answer.value = (
            f'<div role="status">You guessed <b>{html.escape(said)}</b>. '
            f"It is <b>{html.escape(str(truth))}</b>. {verdict}.</div>"
        )
