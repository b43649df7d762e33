"""The teacher's pages and plans: they are there, they are whole, and what they name exists."""

import re
from pathlib import Path

import pytest

from cnnlab.__main__ import main
from cnnlab.course import references, syllabus
from cnnlab.course.authoring import build
from cnnlab.course.quiz import load as load_quizzes
from cnnlab.data.loading import downloads
from cnnlab.nets import models, pretrained
from cnnlab.nets.training import recipes, sweeps

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "solutions" / "teacher"
PAGES = sorted(FOLDER.glob(f"{syllabus.FILES}.md"))
ALL = sorted(FOLDER.glob("*.md"))
SECTIONS = [
    "Minutes",
    "Ask",
    "Wrong answers, and what to reply",
    "Before class",
    "Plan B",
    "Hands on",
    "When time is short",
]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|$", re.M)
TAUGHT = [path for path in PAGES if (ROOT / "solutions" / f"{path.stem}.py").is_file()]


def lecture(page):
    """The source of the lecture to which a page belongs."""
    return build.read(ROOT / "solutions" / f"{page.stem}.py")


def parts(source):
    """(minutes of the lecture, minutes of the exercises), as its first cell says."""
    return tuple(
        int(n) for n in re.search(r"(\d+) for the lecture, (\d+) for", source.cells[0].text).groups()
    )


def minutes(number):
    """The minutes of a lecture by part; "whole" alone while it is to come."""
    listed = next(each for each in syllabus.LECTURES if each.number == number)
    path = ROOT / "solutions" / listed.file.replace(".ipynb", ".py")
    if not path.is_file():
        return {"whole": listed.minutes}
    taught, done = parts(build.read(path))
    return {"lecture": taught, "exercises": done, "whole": listed.minutes}


def headings(source):
    """The headings on the slides, in their order."""
    texts = [
        cell.text for cell in source.cells if cell.kind == "markdown" and cell.slide in ("slide", "subslide")
    ]
    return [found[1] for text in texts if (found := re.match(r"#+ (.+)", text))]


def commands(text):
    """Every command that a page names, as words after `python -m cnnlab`."""
    return [found.split() for found in re.findall(r"python -m cnnlab([^`]*?)(?:`|\n\n)", text)]


def ids(text):
    return set(re.findall(r"`(\d\d[a-z]?\.(?:\d|[pq]\w+|bug\d?))`", text))


@pytest.fixture(scope="module")
def known():
    """The ids of all exercises, quizzes and predictions, and the names of the lectures' parameters."""
    there, parameters = set(references.all_ids()), {}
    for path in (ROOT / "solutions").glob(f"{syllabus.FILES}.py"):
        number, source = syllabus.number(path.name), build.read(path)
        there |= {f"{number}.{key}" for key in load_quizzes(number)}
        there |= {found for cell in source.cells for found in re.findall(r'"(\d\d[a-z]?\.p\d)"', cell.text)}
        cell = next(cell for cell in source.cells if "parameters" in cell.tags)
        parameters[number] = set(re.findall(r"^(\w+) =", cell.text, re.M))
    return there, parameters


def test_every_lecture_has_its_page_and_every_page_is_listed():
    taught = {path.stem for path in (ROOT / "solutions").glob(f"{syllabus.FILES}.py")}
    assert taught <= {page.stem for page in PAGES}
    index = (FOLDER / "README.md").read_text()
    assert all(f"]({page.name})" in index for page in [*PAGES, FOLDER / "plans.md"])
    assert all("The lecture is to come" not in page.read_text() for page in TAUGHT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_whole_and_short(page):
    text = page.read_text()
    assert re.findall(r"^## (.+)$", text, re.M) == SECTIONS
    bodies = re.split(r"^## .+$", text, flags=re.M)[1:]
    assert all(len(body.split()) > 25 for body in bodies)
    assert 50 <= text.count("\n") <= 110
    assert max(map(len, text.split("\n"))) <= 120


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: page.stem)
def test_the_minutes_of_a_page_are_those_of_its_lecture(page):
    text, source, number = page.read_text(), lecture(page), syllabus.number(page.name)
    both = parts(source)
    told = f"{sum(both)} minutes: {both[0]} for the lecture, {both[1]} for the exercises."
    assert told in text and minutes(number)["whole"] == sum(both)
    rows = [(int(n), what) for n, what, _ in ROW.findall(text)]
    done = {id: n for n, what in rows for id in ids(what)}
    slides = [(n, what) for n, what in rows if not ids(what)]
    assert (sum(n for n, _ in slides), sum(done.values())) == both
    assert set(done) == {exercise.id for exercise in references.of_lecture(number)}
    there = headings(source)
    positions = [there.index(what) for _, what in slides]  # ValueError: no such slide
    assert positions[0] == 0 and positions == sorted(positions)


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: page.stem)
def test_a_slide_has_the_minutes_that_its_teacher_cells_ask_for(page):
    rows = {what: int(n) for n, what, _ in ROW.findall(page.read_text()) if not ids(what)}
    asked, current = dict.fromkeys(rows, 0), None
    for cell in lecture(page).cells:
        heading = re.match(r"#+ (.+)", cell.text) if cell.kind == "markdown" else None
        if heading and heading[1] in rows:
            current = heading[1]
        if "teacher" in cell.tags and (wanted := re.match(r"(\d+) minutes", cell.text)):
            asked[current] += int(wanted[1])
    assert {what: n for what, n in asked.items() if n > rows[what]} == {}


@pytest.mark.parametrize("page", [*TAUGHT, FOLDER / "plans.md"], ids=lambda page: page.stem)
def test_the_exercises_quizzes_and_predictions_that_a_page_names_exist(page, known):
    assert ids(page.read_text()) <= known[0]


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: page.stem)
def test_a_page_replies_to_every_prediction_and_names_slides_that_exist(page, known):
    text, number, there = page.read_text(), syllabus.number(page.name), headings(lecture(page))
    assert {id for id in known[0] if id.startswith(f"{number}.p")} <= ids(text)
    for name in re.findall(r"(?<!\*)\*([A-Z][^*\n]+ [^*\n]+)\*(?!\*)", text):
        assert any(heading.startswith(name) for heading in there), name


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_the_commands_of_a_page_can_be_typed(page, known, capsys):
    names = {
        "train": recipes.RECIPES,
        "sweep": sweeps.SWEEPS,
        "fetch": [*downloads.NAMES, *pretrained.NAMES],
        "icons": models.names(),
        "top": models.names(),
        **dict.fromkeys(("present", "handout", "run"), known[1]),
    }
    for command in commands(page.read_text()):
        name, *rest = command
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0, command  # 2: no such command
        usage = capsys.readouterr().out
        assert all(word in usage for word in rest if word.startswith("-")), command
        if name in names:
            assert rest[0] in names[name], command
        for k, word in enumerate(rest):
            if word == "-p":
                assert rest[k + 1] in known[1][rest[0]], command


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        assert (page.parent / file).is_file(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", (page.parent / file).read_text(), re.M)
            assert anchor in {re.sub(r"[^\w ]", "", title).lower().replace(" ", "-") for title in titles}


def clock(text):
    hours, _, rest = text.partition(":")
    return 60 * int(hours) + int(rest)


def tables():
    """Every table of the plans that has a clock: rows of (start, minutes, what)."""
    text = (FOLDER / "plans.md").read_text()
    for table in re.findall(r"\| clock \|.*?\n\n", text, re.S):
        found = re.findall(r"^\| (\d+:\d\d) \| (\d+) \| (.+?) \|$", table, re.M)
        assert len(found) == table.strip().count("\n") - 1  # no row is overlooked
        yield [(clock(start), int(n), what) for start, n, what in found]


def test_the_clock_of_the_plans_goes_on_and_the_minutes_are_those_of_the_lectures():
    named = 0
    for rows in tables():
        for (start, n, what), after in zip(rows, [*rows[1:], None], strict=True):
            assert after is None or after[0] == start + n, (what, "does not end when the next begins")
            if given := re.fullmatch(r"`(\d\d[a-z]?)` (whole|lecture|exercises)", what):
                assert n == minutes(given[1])[given[2]], what
                named += 1
        assert sum(n for _, n, what in rows if what == "break") >= 15
    assert named >= 15


def test_the_plans_are_one_day_and_four_weeks_of_two_classes():
    day, *weeks = tables()
    assert day[0][0] == clock("9:00") and day[-1][0] + day[-1][1] == clock("17:00")
    assert len(weeks) == 8 and all(sum(n for _, n, _ in rows) <= 180 for rows in weeks)
    taught = {
        found for rows in weeks for *_, what in rows for found in re.findall(r"`(\d\d[a-z]?)` [wl]", what)
    }
    here = {syllabus.number(path.name) for path in (ROOT / "solutions").glob(f"{syllabus.FILES}.py")}
    assert taught >= here - {"10", "11", "12", "13", "14", "15"}


def test_plans_say_what_they_must():
    text = (FOLDER / "plans.md").read_text()
    for wanted in ("For whom", "They need", "Homework", "CNNLAB_STRICT=1", "exercises", "break"):
        assert wanted in text


def test_no_number_that_was_trained_stands_in_the_pages():
    for page in ALL:
        for number in re.findall(r"\b0\.\d\d+|\d\.\d+ ?%", page.read_text()):
            raise AssertionError(
                f"{page.name}: {number}: numbers with two decimals change with every training"
            )
