"""The sixteen lectures, one in two notebooks: number, name, question, minutes; for README and lecture 00."""

import re
from pathlib import Path
from typing import NamedTuple

from cnnlab.course import timings

# Where the course is published on GitHub, as "account/name"; then `python -m cnnlab build`. The README gets
# the addresses of the files and the links to Binder. While it is empty, there is no such link anywhere.
REPOSITORY = ""
BRANCH = "main"
_ACCOUNT_AND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")

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


def repository() -> str:
    """Where the course is published, "account/name"; empty as long as it is not.

    Raises:
        ValueError: REPOSITORY is something else.
    """
    if REPOSITORY != "" and not _ACCOUNT_AND_NAME.fullmatch(str(REPOSITORY)):
        raise ValueError(
            f"REPOSITORY in {__name__} is {REPOSITORY!r}. Write 'account/name', as in 'somebody/course', "
            "without an address around it; or leave it empty, '', as long as the course is not published."
        )
    return REPOSITORY


def binder(file: str) -> str:
    """The address that opens a student's notebook on Binder; empty as long as the course is not published."""
    if not repository():
        return ""
    return f"https://mybinder.org/v2/gh/{repository()}/{BRANCH}?urlpath=lab/tree/notebooks/{file}"


def table(notebooks: Path | None = None, link: str = "", costs: bool = False) -> "Markdown":
    """The course as a markdown table.

    Args:
        notebooks: the folder of the student's notebooks; the one of this installation if left out.
        link: what to put before a file name to make a link of it ("notebooks/" in the README).
        costs: more columns: what each lecture costs and, for a published course, its link to Binder.

    Returns:
        One row for each lecture; a lecture that is not there yet has no link and says "to come".
    """
    if notebooks is None:
        notebooks = Path(__file__).resolve().parents[2] / "notebooks"
    columns = ["no", "lecture", "question", "minutes"]
    columns += ["seconds", "MB"] if costs else []
    columns += ["online"] if costs and repository() else []
    rows = [columns, ["---"] * len(columns)]
    cost = timings.read() if costs else {}
    for lecture in LECTURES:
        title = lecture.name.replace("_", " ")
        there = lecture.exists(notebooks)
        cells = [
            lecture.number,
            f"[{title}]({link}{lecture.file})" if there else f"{title} (to come)",
            lecture.question,
            str(lecture.minutes) if there else f"about {lecture.minutes}",
            *map(str, cost.get(lecture.number, ("", ""))),
            f"[Binder]({binder(lecture.file)})" if there else "",
        ]
        rows.append(cells[: len(columns)])
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in rows))


def readme(text: str, notebooks: Path) -> str:
    """A README whose parts from `<!-- NAME -->` to `<!-- end -->` are renewed.

    The names are `binder` (a button), `files` (where to get them), `syllabus` and `measured`.

    Raises:
        ValueError: REPOSITORY is not "account/name".
    """
    parts = {
        "binder": _button(),
        "files": _where_the_files_are(),
        "syllabus": table(notebooks, link="notebooks/", costs=True),
        "measured": timings.sentence(),
    }
    for name, part in parts.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        lines = f"{part}\n" if part else ""
        text = between.sub(lambda found, lines=lines: found[1] + lines + found[2], text)
    return text


def _button() -> str:
    if not repository():
        return ""
    return f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder(LECTURES[0].file)})"


def _where_the_files_are() -> str:
    if not repository():
        return "Your lecturer gives you the ZIP file, or the address that `git clone` needs."
    page = f"https://github.com/{repository()}"
    return (
        f"The ZIP file is [here]({page}/archive/refs/heads/{BRANCH}.zip). With git: `git clone {page}`. "
        "Without an installation, the Binder links below open a lecture in the browser (slower, and nothing "
        "that you write there is kept)."
    )
