"""The setting REPOSITORY: empty, nothing links to a published course; set, all links are there."""

import re
import shutil

import pytest

from cnnlab.__main__ import main
from cnnlab.course import syllabus
from cnnlab.course.authoring import build, links
from cnnlab.course.running import commands

BINDER = re.compile(r"https://mybinder\.org/v2/gh/(\S+?)/main\?urlpath=lab/tree/notebooks/(\S+?)\)")


def set_to(monkeypatch, value):
    monkeypatch.setattr(syllabus, "REPOSITORY", value)


@pytest.fixture
def course(root, tmp_path, monkeypatch):
    """A course with the README and the notebooks of this one, and no sources: only the README is built."""
    (tmp_path / "notebooks").mkdir()
    for notebook in (root / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, tmp_path / "notebooks")
    shutil.copy(root / "README.md", tmp_path)
    monkeypatch.setattr(commands, "root", lambda: tmp_path)
    monkeypatch.setattr(build, "_texts", lambda root, chosen: {})
    set_to(monkeypatch, "")
    assert main(["build"]) == 0
    return tmp_path


def test_while_it_is_empty_nothing_leads_to_a_published_course(root, course):
    pages = [*root.glob("*.md"), *(root / "notebooks").glob("*"), *(root / "solutions").rglob("*.*")]
    pages = [page for page in pages if page.suffix in (".md", ".py", ".ipynb")]
    assert len(pages) > 30
    # Other pages never have such a link. The README in the root may, once the course is published.
    for page in [course / "README.md", *(page for page in pages if page != root / "README.md")]:
        text = page.read_text(encoding="utf-8")
        assert "mybinder.org" not in text and "OWNER" not in text and "| online |" not in text, page
    assert "github.com" not in (course / "README.md").read_text(encoding="utf-8")


def test_set_it_and_build_and_the_links_are_there(course, monkeypatch):
    set_to(monkeypatch, "somebody/course")
    assert main(["build"]) == 0
    text = (course / "README.md").read_text(encoding="utf-8")
    found = BINDER.findall(text)
    files = sorted(path.name for path in (course / "notebooks").glob(f"{syllabus.FILES}.ipynb"))
    assert {account for account, _ in found} == {"somebody/course"}
    assert sorted(file for _, file in found) == sorted([syllabus.LECTURES[0].file, *files])
    assert "[![Binder](" in text and "| MB | online |" in text
    assert "git clone https://github.com/somebody/course`" in text
    assert "(https://github.com/somebody/course/archive/refs/heads/main.zip)" in text
    assert len({line.count("|") for line in text.splitlines() if re.match(r"\| (no \||\d\d)", line)}) == 1
    outside = links.external(course)  # `python -m cnnlab links` asks them, too
    assert any("mybinder.org/v2/gh/somebody/course" in address for address in outside)


def test_empty_set_and_empty_again_gives_the_same_bytes(course, monkeypatch):
    before = (course / "README.md").read_bytes()
    for value in ("somebody/course", "", "another-one/my.course_2", ""):
        set_to(monkeypatch, value)
        assert main(["build"]) == 0
        assert ((course / "README.md").read_bytes() == before) == (value == "")


@pytest.mark.parametrize(
    "value",
    (
        "course",
        "https://github.com/somebody/course",
        "somebody/course/",
        "/course",
        "a b/c",
        "a/b\n",
        None,
        3,
    ),
)
def test_what_is_not_account_and_name_is_refused_and_nothing_written(course, monkeypatch, capsys, value):
    before = (course / "README.md").read_bytes()
    set_to(monkeypatch, value)
    assert main(["build"]) == 2
    said = capsys.readouterr().err
    assert (
        "REPOSITORY" in said and repr(value) in said and "'account/name'" in said and "leave it empty" in said
    )
    assert (course / "README.md").read_bytes() == before


def test_the_table_of_lecture_00_has_neither_costs_nor_links(course, monkeypatch):
    for value in ("", "somebody/course"):
        set_to(monkeypatch, value)
        assert "online" not in (table := syllabus.table(course / "notebooks")) and "Binder" not in table
        assert table.splitlines()[0] == "| no | lecture | question | minutes |"
