"""The glossary: the tables "New words" of all lectures on one page, from A to Z.

A word is explained once, in the lecture that teaches it, and there only. The page is written by the build;
so nobody copies a meaning, and no two lectures can tell it in two ways.

Type: the sources of all lectures -> the text of notebooks/glossary.md.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from cnnlab.course import syllabus
from cnnlab.course.authoring.source_lint import Source

FILE = "glossary.md"  # in notebooks, beside the lectures to which it links
_TABLE = re.compile(r"^## New words\n(.*?)(?=^## |\Z)", re.M | re.S)
_ABOVE = (
    "# Glossary\n\nEvery new word of the course, from A to Z, and the lecture that teaches it. "
    "This page is built from the tables at the end of the lectures.\n"
)


class Word(NamedTuple):
    """One row of a table: the word, what it means, and the file of the lecture that teaches it."""

    word: str
    meaning: str
    file: str

    def key(self) -> str:
        """By what it is sorted: without "to", brackets and capitals.

        >>> Word("to fold", "", "").key(), Word("bias (of a class)", "", "").key()
        ('fold', 'bias of a class')
        """
        return re.sub(r"[^\w\s]", "", self.word).lower().removeprefix("to ")


def words(source: Source) -> Iterator[Word]:
    """The rows of a lecture's table "New words", in its order; none if it has no such table.

    Args:
        source: a lecture, as `build.read` gives it.
    """
    for cell in source.cells:
        table = _TABLE.search(cell.text) if cell.kind == "markdown" else None
        rows = [line for line in table[1].split("\n") if line.startswith("|")] if table else []
        for row in rows[2:]:  # below "word | meaning" and the line of dashes
            word, _, meaning = row.strip("| ").partition("|")
            yield Word(word.strip(), meaning.strip(), source.file)


def complaints(found: Iterable[Word]) -> list[str]:
    """What is wrong with the tables, each with the next step: told twice, told as several, or not told."""
    said, first = [], {}
    for word in found:
        if not word.meaning:
            said.append(f"{word.file}, New words: '{word.word}' has no meaning")
        if "," in word.word:
            said.append(f"{word.file}, New words: '{word.word}': one word, one row")
        before = first.setdefault(word.key(), word)
        if before is not word:
            said.append(
                f"{word.file}, New words: '{word.word}' is explained in {before.file} already, as "
                f"'{before.meaning}'. Leave the row out; or, if it means something else here, say so in "
                f"the word, as '{word.word} (of a map)'"
            )
    return said


def page(found: Iterable[Word]) -> str:
    """The glossary as markdown: a heading for each letter, and a link for each word."""
    parts = [_ABOVE]
    for letter, those in groupby(sorted(found, key=Word.key), key=lambda word: word.key()[0].upper()):
        lines = [f"- **{each.word}**: {each.meaning} ({_link(each.file)})" for each in those]
        parts.append(f"## {letter}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _link(file: str) -> str:
    """The lecture by its number, as a link to the student's notebook beside the page."""
    return f"[{syllabus.number(file)}]({file.removesuffix('.py')}.ipynb)"
