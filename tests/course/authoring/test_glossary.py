"""The glossary: all words of the lectures, each explained once, on a page that the build writes."""

import re

import pytest

from cnnlab.course import syllabus
from cnnlab.course.authoring import build, glossary
from cnnlab.course.authoring.glossary import Word
from cnnlab.course.authoring.source_lint import Cell, Source

ROWS = "## New words\n\n| word | meaning |\n|---|---|\n"


def source(rows, file="01_convolution.py"):
    return Source(file, [Cell(1, "markdown", f"{ROWS}{rows}\n\n## References\n\n| a | b |\n", (), None)])


@pytest.fixture(scope="module")
def found(root):
    """All words of the course, lecture by lecture."""
    return [
        word
        for path in sorted((root / "solutions").glob(f"{syllabus.FILES}.py"))
        for word in glossary.words(build.read(path))
    ]


def test_the_rows_of_a_table_are_read_and_nothing_else():
    (one, other) = glossary.words(source("| ReLU | max(0, x) |\n| to fold | two in one |"))
    assert one == Word("ReLU", "max(0, x)", "01_convolution.py")
    assert (other.word, other.meaning) == ("to fold", "two in one")
    assert list(glossary.words(Source("00_a.py", [Cell(1, "code", ROWS, (), None)]))) == []


def test_the_page_goes_from_a_to_z_and_links_each_lecture():
    page = glossary.page([*glossary.words(source("| ReLU | x |\n| to fold | y |\n| bias | z |"))])
    assert re.findall(r"^(?:## |- \*\*)([\w ]+)", page, re.M) == ["B", "bias", "F", "to fold", "R", "ReLU"]
    assert "- **bias**: z ([01](01_convolution.ipynb))" in page


@pytest.mark.parametrize(
    ("second", "complaint"),
    (
        ("| Bias | another |", "'Bias' is explained in 00_a.py already, as 'a number'"),
        ("| bias | a number |", "'bias' is explained in 00_a.py already"),
        ("| bias, weight | two |", "one word, one row"),
        ("| weight | |", "has no meaning"),
        ("| bias (of a class) | another |", None),
    ),
)
def test_a_word_is_explained_once(second, complaint):
    words = [*glossary.words(source("| bias | a number |", "00_a.py")), *glossary.words(source(second))]
    said = "\n".join(glossary.complaints(words))
    assert (said == "") if complaint is None else (complaint in said and "01_convolution.py" in said)


def test_a_word_that_is_told_twice_in_one_lecture_is_seen():
    assert glossary.complaints(glossary.words(source("| bias | a |\n| bias | b |")))


def test_the_build_refuses_a_word_that_is_told_twice_and_writes_nothing(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("00_a.py", "01_b.py"):
        text = "# %% [markdown]\n" + "".join(f"# {line}\n" for line in f"{ROWS}| bias | {name} |".split("\n"))
        (tmp_path / "solutions" / name).write_text(text)
    with pytest.raises(build.BuildError, match="01_b.py, New words: 'bias' is explained in 00_a.py"):
        build._glossary(tmp_path)
    assert not (tmp_path / "notebooks").exists()


def test_all_words_of_the_course_are_on_the_page_once(root, found):
    assert len(found) > 100 and glossary.complaints(found) == []
    page = (root / "notebooks" / "glossary.md").read_text(encoding="utf-8")
    assert page == glossary.page(found)
    assert page.count("\n- **") == len(found)
    for file in re.findall(r"\]\((\S+?)\)", page):
        assert (root / "notebooks" / file).is_file(), file


def test_every_lecture_explains_its_words(root, found):
    lectures = {path.name for path in (root / "solutions").glob(f"{syllabus.FILES}.py")}
    assert {word.file for word in found} == lectures


def test_the_readme_and_lecture_00_lead_to_the_glossary(root):
    assert "(notebooks/glossary.md)" in (root / "README.md").read_text()
    assert "(../notebooks/glossary.md)" in (root / "notebooks" / "00_start_here.ipynb").read_text()
