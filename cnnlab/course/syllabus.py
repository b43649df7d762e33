"""The sixteen lectures: number, name, question and minutes. README and lecture 00 show this table."""

from pathlib import Path
from typing import NamedTuple


class Lecture(NamedTuple):
    """One lecture of the course.

    Attributes:
        number: two digits; it never changes once the lecture exists.
        name: as in the file name, "01_convolution" without the number.
        question: what the lecture answers.
        minutes: for the lecture and its exercises together; planned as long as the lecture is to come.
    """

    number: str
    name: str
    question: str
    minutes: int

    @property
    def file(self) -> str:
        """The name of its notebook."""
        return f"{self.number}_{self.name}.ipynb"

    def exists(self, notebooks: Path) -> bool:
        """Whether it is there, or still to come."""
        return (notebooks / self.file).is_file()


LECTURES = tuple(
    Lecture(f"{number:02d}", *rest)
    for number, rest in enumerate(
        (
            ("start_here", "Does it run here, and what will we find out?", 25),
            ("convolution", "What does one convolution do to a picture?", 90),
            ("filters", "What do the learned weights look like, and did training go well?", 75),
            ("activations", "What does the picture become, layer by layer?", 75),
            ("top9_patches", "Which pictures make one unit fire most?", 75),
            ("deconvnet", "Which pixels of that picture made it fire?", 90),
            ("saliency", "Which pixels decided the class, and can we believe the answer?", 120),
            ("deep_dream", "Which picture would the network itself draw?", 90),
            ("dropout", "Why does it fit the training set and fail elsewhere, and what helps?", 75),
            ("batchnorm", "Why do deep networks not train, and what made them train?", 90),
            ("adversarial_noise", "How little must a picture change to change the answer?", 90),
            (
                "code_vectors",
                "What is in the vector before the classifier, and does it know translation?",
                90,
            ),
            ("dissection", "Can we explain a whole small ConvNet, and then build one by hand?", 120),
            ("network_dissection", "Does a unit stand for a concept we have a word for?", 75),
            ("transfer", "What can a trained network give to another problem?", 75),
            ("text", "Do the same explanations work for sentences?", 75),
        )
    )
)


def table(notebooks: Path | None = None, link: str = "") -> str:
    """The course as a markdown table.

    Args:
        notebooks: the folder of the student's notebooks; the one of this installation if left out.
        link: what to put before a file name to make a link of it ("notebooks/" in the README).

    Returns:
        One row for each lecture; a lecture that is not there yet has no link and says "to come".
    """
    if notebooks is None:
        notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    rows = ["| no | lecture | question | minutes |", "|---|---|---|---|"]
    for lecture in LECTURES:
        title = lecture.name.replace("_", " ")
        if lecture.exists(notebooks):
            rows.append(
                f"| {lecture.number} | [{title}]({link}{lecture.file}) "
                f"| {lecture.question} | {lecture.minutes} |"
            )
        else:
            planned = f"about {lecture.minutes}"
            rows.append(f"| {lecture.number} | {title} (to come) | {lecture.question} | {planned} |")
    return "\n".join(rows)
