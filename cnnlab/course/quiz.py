"""Quizzes: a question with options, and a reply to each; in quizzes/NN.toml, one file per lecture."""

import html
import tomllib
from pathlib import Path

import ipywidgets

from cnnlab.course.message import ask
from cnnlab.course.progress import note
from cnnlab.errors import unknown

FOLDER = Path(__file__).with_name("quizzes")


def quiz(id: str) -> "Quiz":
    """Show a quiz.

    Args:
        id: "01.q3": lecture and key.

    Returns:
        A widget that replies to every choice; another try is always possible.

    Raises:
        LookupError: there is no such quiz.
        ValueError: its file is not as it should be.
    """
    lecture, _, key = str(id).partition(".")
    questions = load(lecture)
    if key not in questions:
        raise unknown("quiz", id, (f"{lecture}.{other}" for other in questions), plural="quizzes")
    return Quiz(id, questions[key])


def load(lecture: str) -> dict[str, dict]:
    """All quizzes of a lecture, "01", checked; an empty dict if it has none.

    Raises:
        ValueError: a question without text, fewer than two options, not exactly one right option, or an
            option without feedback.
    """
    file = FOLDER / f"{lecture}.toml"
    if not file.is_file():
        return {}
    questions = tomllib.loads(file.read_text(encoding="utf-8"))
    for key, question in questions.items():
        options = question.get("options", [])
        problems = {
            "has no question": not question.get("question"),
            "needs two options or more": len(options) < 2,
            "needs exactly one right option": sum(bool(option.get("right")) for option in options) != 1,
            "needs a text and a feedback for each option": not all(
                option.get("text") and option.get("feedback") for option in options
            ),
        }
        for problem, there in problems.items():
            if there:
                raise ValueError(f"{file.name}: quiz '{key}' {problem}")
    return questions


class Quiz(ipywidgets.VBox):
    """A question, its options, and the reply to the one that was chosen."""

    def __init__(self, id: str, question: dict):
        self._id, self._options = id, question["options"]
        asked = ask("Quiz", question["question"])
        self.choice = ipywidgets.RadioButtons(
            options=[(option["text"], k) for k, option in enumerate(self._options)],
            value=None,
            description="my answer",
            layout={"width": "max-content", "max_width": "100%"},
        )
        self.reply = ipywidgets.HTML(layout={"max_width": "700px"})
        self.choice.observe(lambda change: self._answer(change["new"]), "value")
        super().__init__([asked, self.choice, self.reply])
        note(id, False)

    def solution(self) -> str:
        """The right option in words: for the teacher's notes."""
        return next(f"Right is: {each['text']}" for each in self._options if each.get("right"))

    def choose(self, index: int) -> None:
        """Choose an option, as a click does."""
        self.choice.value = index

    def _answer(self, index: int | None) -> None:
        if index is None:
            return
        option = self._options[index]
        right = bool(option.get("right"))
        note(self._id, right)
        word = "\u2713 Right." if right else "\u2717 Not this one."
        self.reply.value = f'<div role="status"><b>{word}</b> {html.escape(option["feedback"])}</div>'
