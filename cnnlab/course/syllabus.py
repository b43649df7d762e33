"""The sixteen lectures, one in two notebooks: number, name, question, minutes; for README and lecture 00."""

import re
from pathlib import Path
from typing import NamedTuple

from cnnlab.course import timings

# Who publishes the course writes the name of the account here, then `python -m cnnlab build`: every Binder
# link in the README follows.
REPOSITORY = "OWNER/cnnlab"
BRANCH = "main"


FILES = "[0-9][0-9]*_*"  # how the files of lectures are called, without what follows the dot


class Markdown(str):
    """A text that a notebook shows as what it is: markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


class Lecture(NamedTuple):
    """One lecture of the course.

    Attributes:
        number: two digits, and a letter where a lecture has two notebooks; it never changes once it exists.
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
    Lecture(*row)
    for row in (
        ("00", "start_here", "Does it run here, and what will we find out?", 25),
        ("01", "convolution", "What does one convolution do to a picture?", 90),
        ("02", "filters", "What do the learned weights look like, and did training go well?", 75),
        ("03", "activations", "What does the picture become, layer by layer?", 75),
        ("04", "top9_patches", "Which pictures make one unit fire most?", 75),
        ("05", "deconvnet", "Which pixels of that picture made it fire?", 90),
        ("06a", "saliency", "Which pixels decided the class?", 105),
        ("06b", "believing_maps", "Can we believe a saliency map?", 90),
        ("07", "deep_dream", "Which picture would the network itself draw?", 90),
        ("08", "dropout", "Why does it fit the training set and fail elsewhere, and what helps?", 75),
        ("09", "batchnorm", "Why do deep networks not train, and what made them train?", 90),
        ("10", "adversarial_noise", "How little must a picture change to change the answer?", 90),
        (
            "11",
            "code_vectors",
            "What is in the vector before the classifier, and does it know translation?",
            90,
        ),
        ("12", "dissection", "Can we explain a whole small ConvNet, and then build one by hand?", 120),
        ("13", "network_dissection", "Does a unit stand for a concept we have a word for?", 75),
        ("14", "transfer", "What can a trained network give to another problem?", 75),
        ("15", "text", "Do the same explanations work for sentences?", 75),
    )
)


def root() -> Path:
    """The folder of the course: where this package is installed from, or the current folder or one above it.

    Raises:
        FileNotFoundError: the notebooks are not there: only the package was installed.
    """
    for folder in (Path(__file__).resolve().parents[2], Path.cwd(), *Path.cwd().parents):
        if (folder / "solutions").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(
        "the notebooks are not here: the package is installed without them. Go to the folder of the course "
        "(where README.md and notebooks/ lie) and try again."
    )


def number(file: str) -> str:
    """The number of a lecture, from the name of one of its files.

    >>> number("06a_saliency.ipynb")
    '06a'
    """
    return file.split("_")[0]


def binder(file: str) -> str:
    """The address that opens a student's notebook on Binder."""
    return f"https://mybinder.org/v2/gh/{REPOSITORY}/{BRANCH}?urlpath=lab/tree/notebooks/{file}"


def table(notebooks: Path | None = None, link: str = "", online: bool = False) -> "Markdown":
    """The course as a markdown table.

    Args:
        notebooks: the folder of the student's notebooks; the one of this installation if left out.
        link: what to put before a file name to make a link of it ("notebooks/" in the README).
        online: columns more: what each lecture costs, and links that open it on Binder.

    Returns:
        One row for each lecture; a lecture that is not there yet has no link and says "to come".
    """
    if notebooks is None:
        notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    rows = ["| no | lecture | question | minutes |", "|---|---|---|---|"]
    costs = timings.read() if online else {}
    if online:
        rows = [
            f"{row} {more}"
            for row, more in zip(rows, ("seconds | MB | online |", "---|---|---|"), strict=True)
        ]
    for lecture in LECTURES:
        title = lecture.name.replace("_", " ")
        there = lecture.exists(notebooks)
        cells = [
            lecture.number,
            f"[{title}]({link}{lecture.file})" if there else f"{title} (to come)",
            lecture.question,
            str(lecture.minutes) if there else f"about {lecture.minutes}",
        ]
        if online:
            cells += [str(cost) for cost in costs.get(lecture.number, ("", ""))]
            cells.append(f"[Binder]({binder(lecture.file)})" if there else "")
        rows.append(f"| {' | '.join(cells)} |")
    return Markdown("\n".join(rows))


def readme(text: str, notebooks: Path) -> str:
    """A README whose parts from `<!-- syllabus -->`, `measured` or `binder` to `<!-- end -->` are renewed."""
    badge = f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder(LECTURES[0].file)})"
    parts = {"binder": badge, "syllabus": table(notebooks, link="notebooks/", online=True)}
    parts["measured"] = timings.sentence()
    for name, part in parts.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = between.sub(lambda found, part=part: found[1] + part + found[2], text)
    return text
