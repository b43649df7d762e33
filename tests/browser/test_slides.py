"""Every lecture as live slides: nothing cut off at 1280 x 720, no notes, no code, and sliders that work."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from cnnlab.course.presenting import present
from cnnlab.course.presenting.jupyter_server import SETTINGS, server
from cnnlab.course.presenting.slides import slides as slides_of

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (ROOT / "solutions").glob("[0-9][0-9]*_*.ipynb"))
VISIBLE = ".jp-Cell.jp-deck-mod-onscreen.jp-deck-mod-visible"
# What a visible cell shows: what of it is cut off, by the window or by a box around it, and its words.
LOOK = """cells => cells.map(cell => {
    const parts = [...cell.querySelectorAll('p, li, h1, h2, h3, img, svg, table, pre, .jupyter-widgets')]
        .filter(part => part.getClientRects().length && part.offsetHeight !== 0);
    const cut = [];
    for (const part of parts) {
        const own = part.getBoundingClientRect();
        const outside = (box, slack) => own.top < box.top - slack || own.left < box.left - slack
            || own.bottom > box.bottom + slack || own.right > box.right + slack;
        let by = outside({top: 0, left: 0, bottom: 720, right: 1280}, 0.5) ? 'window' : null;
        for (let one = part.parentElement; one && cell.contains(one) && !by; one = one.parentElement)
            if (getComputedStyle(one).overflow !== 'visible' && outside(one.getBoundingClientRect(), 2))
                by = one.className;
        if (by) cut.push([part.tagName, part.className.toString().slice(0, 60), by.slice(0, 60),
                          [own.top, own.left, own.bottom, own.right].map(Math.round)]);
    }
    return [cut, cell.innerText];
})"""


# Its first slide can be read. (Before, JupyterLab shows a notebook of one empty cell while it loads.)
FIRST = """title => [...document.querySelectorAll('.jp-Cell.jp-deck-mod-onscreen.jp-deck-mod-visible')]
    .some(one => one.innerText.startsWith(title))"""
SHUT = "() => jupyterapp.serviceManager.sessions.shutdownAll()"


@pytest.fixture(scope="module")
def decks(root, tmp_path_factory):
    """What shows slides: name of a lecture -> the address of its deck. One JupyterLab serves them all."""
    folder = tmp_path_factory.mktemp("decks")
    with server(folder, SETTINGS / "present") as (address, token):

        @functools.cache
        def shown(name, position=root / "solutions"):
            fast = (
                {"FAST": True} if position == root / "solutions" else {}
            )  # the page is tested, not the numbers
            return present.shown(present.copied(position / name, folder, fast), address, token)

        yield shown


@pytest.fixture(scope="module", params=NAMES)
def deck(window, decks, request):
    """Each lecture in turn, as slides, when the first can be read."""
    address = decks(request.param)
    page, context = window(1280, 720)
    outside = []
    page.on("request", lambda asked: outside.append(asked.url) if "127.0.0.1" not in asked.url else None)
    page.goto(address)
    page.wait_for_function(FIRST, arg=request.param.split("_")[0])
    yield page, request.param, outside
    page.evaluate(SHUT)
    context.close()


def words(page) -> list[str]:
    return [text for _, text in page.locator(VISIBLE).evaluate_all(LOOK)]


@pytest.fixture
def turned(until):
    """Wait until the slide is another than that of these words, and at rest; what it shows then."""

    def look(page, former, problem):
        last = [None]

        def rests():
            before, last[0] = last[0], page.locator(VISIBLE).evaluate_all(LOOK)
            page.wait_for_timeout(100)  # between two looks
            return last[0] and last[0] == before and [text for _, text in last[0]] != former

        until(rests, problem)
        return last[0]

    return look


@pytest.mark.parametrize(("key", "back"), (("Space", "Shift+Space"), ("PageDown", "PageUp")))
def test_the_first_key_turns_the_slide_however_slow_the_machine(decks, window, key, back):
    """Pressed as soon as the first slide can be read, on a page that has a quarter of the speed.

    The deck's start takes the focus from the notebook for a while, and its own keys need that.
    """
    page, context = window(1280, 720)
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.goto(decks(NAMES[0]))
    page.wait_for_function(FIRST, arg="00", polling=5)
    page.keyboard.press(key)
    page.wait_for_function(f"title => !({FIRST})(title)", arg="00")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press(back)
    page.wait_for_function(FIRST, arg="00")
    context.close()


def test_going_through_all_slides(deck, root, turned, until):
    page, name, outside = deck
    notebook = nbformat.read(root / "solutions" / name, as_version=4)
    hidden = [
        cell.source.splitlines()[0].lstrip("# ")[:40]
        for cell in notebook.cells
        if "teacher" in cell.metadata.get("tags", ())
    ]
    wanted = len(slides_of(notebook).cells)
    assert page.locator(VISIBLE).first.inner_text().startswith(name.split("_")[0])  # the title comes first
    former, moved, locked, cut = None, 0, 0, []
    for k in range(wanted):
        seen = turned(page, former, f"the key before slide {k + 1} of {wanted} did nothing")
        assert page.locator(f"{VISIBLE} [role=alert]").all_inner_texts() == []  # a widget's error
        cut += [(k + 1, text[:40], parts) for parts, text in seen if parts]
        assert not [note for note in hidden if any(note in text for _, text in seen)]
        assert page.locator(f"{VISIBLE} .jp-InputArea-editor:visible").count() == 0
        moved += _slider_moves(page, until)
        locked += _guess_is_locked(page)
        _live_leaves_the_keys(page, until)
        former = words(page)  # a guess adds its answer
        page.keyboard.press(
            "PageDown" if k % 2 else "Space"
        )  # one key, one slide; whatever was clicked before
    # That was the last one: two keys later one key back leads to the last but one, and one on to the last.
    page.keyboard.press("PageDown")
    assert words(page) == former
    page.keyboard.press("PageUp")
    before = [text for _, text in turned(page, former, "PageUp did nothing")]
    page.evaluate("document.activeElement.blur()")  # as after a click beside everything
    page.keyboard.press("PageDown")
    assert [text for _, text in turned(page, before, "PageDown without a focus did nothing")] == former
    assert moved >= 1 and locked >= 1 and outside == []
    assert cut == []


def _guess_is_locked(page) -> int:
    """1 if this slide asks for a guess that can be chosen and locked with the mouse, where people click."""
    asked = page.locator(f"{VISIBLE} .widget-vbox", has=page.get_by_role("button", name="Lock my guess")).last
    if not asked.count():
        return 0
    choice = (
        asked.get_by_role("radio").nth(1)
        if asked.get_by_role("radio").count()
        else asked.get_by_role("textbox")
    )
    box = choice.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    if choice.get_attribute("type") != "radio":
        page.keyboard.type("7")
    box = asked.get_by_role("button", name="Lock my guess").bounding_box()
    page.mouse.click(box["x"] + 6, box["y"] + box["height"] / 2)
    page.locator(VISIBLE).get_by_role("status").get_by_text("You guessed").wait_for()
    return 1


def _live_leaves_the_keys(page, until) -> None:
    """Train (or Draw) has the focus after a click, then Stop: the keys turn the slide all the same."""
    live = page.locator(f"{VISIBLE} .cnnlab-live:not([data-pressed])")
    if not live.count():
        return
    live.first.evaluate("one => one.dataset.pressed = 'now'")
    widget = page.locator("[data-pressed=now]")

    def slide():
        shown = page.locator(VISIBLE)
        return shown.count(), shown.locator("[data-pressed=now]").count()

    def pressed(key, there, words):
        page.keyboard.press(key)
        until(lambda: (slide() == here) is there, words, pause=lambda: page.wait_for_timeout(50))

    here, go = slide(), widget.get_by_role("button").first
    name = go.inner_text()
    go.click()
    widget.locator("button .fa-hourglass").wait_for()
    assert go.evaluate("one => one === document.activeElement")
    for key, there in (("PageDown", False), ("PageUp", True)):
        pressed(key, there, f"{key} after a click on {name}")
    go.focus()
    widget.get_by_role("button", name="Stop").click()
    widget.locator("button .fa-play").wait_for()
    # Space on a button is a press of it elsewhere; here it turns the slide, and starts nothing.
    for key, there in (("PageDown", False), ("PageUp", True), ("Space", False), ("PageUp", True)):
        if key == "Space":
            go.focus()
        pressed(key, there, f"{key} after Stop")
    assert widget.locator("button .fa-play").count() == 1
    widget.evaluate("one => one.dataset.pressed = 'done'")


def test_letters_stay_in_their_field_and_escape_ends_the_deck(decks, window, tmp_path):
    """Stands behind all lectures: the server remembers that the deck was ended."""
    cells = [nbformat.v4.new_markdown_cell("99 first"), nbformat.v4.new_markdown_cell("99 last")]
    for cell in cells:
        cell.metadata["slideshow"] = {"slide_type": "slide"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_small.ipynb")
    page, context = window(1280, 720)
    page.goto(decks("99_small.ipynb", tmp_path))
    page.wait_for_function(FIRST, arg="99 first")
    page.evaluate("() => { document.body.append(document.createElement('textarea')) }")
    field = page.locator("body > textarea")
    field.focus()
    page.keyboard.type("a b")
    assert field.input_value() == "a b"
    field.evaluate("one => one.remove()")
    page.wait_for_function(FIRST, arg="99 first")  # none of the letters turned it
    for key, there in (("ArrowRight", "99 last"), ("ArrowLeft", "99 first"), ("Space", "99 last")):
        page.evaluate("() => document.activeElement.blur()")
        page.keyboard.press(key)
        page.wait_for_function(FIRST, arg=there)
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not([data-jp-deck-mode])", state="attached")
    context.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle")
def test_a_closed_terminal_leaves_no_server_behind(root, tmp_path, until):
    command = [sys.executable, "-u", "-m", "cnnlab", "present", "00"]
    environment = {**os.environ, "BROWSER": "true"}  # a program that opens nothing
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
        until(lambda: process.poll() is not None or "the slides:" in (tmp_path / "log").read_text())
        assert process.poll() is None, (tmp_path / "log").read_text()
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2  # the server and the kernel
        process.terminate()
        assert process.wait(120) == 0
    gone, alive = psutil.wait_procs(family, timeout=120)
    assert not alive


def _slider_moves(page, until) -> int:
    """1 if a slider of this slide, or else a choice, changes an image (the deck takes the arrow keys)."""
    fresh = page.locator(f"{VISIBLE} .cnnlab-explore:not([data-moved])")
    if not fresh.count():
        return 0
    fresh.first.evaluate("one => one.dataset.moved = 'now'")  # a slide of several steps shows it again
    widget = page.locator("[data-moved=now]")

    def images():
        return widget.locator("img").evaluate_all("found => found.map(one => one.src)")

    before = images()
    if widget.locator(".noUi-target").count():
        track = widget.locator(".noUi-target").first.bounding_box()
        page.mouse.click(track["x"] + 0.7 * track["width"], track["y"] + track["height"] / 2)
    else:
        widget.locator("select").first.select_option(index=1)
    until(lambda: images() != before, widget.inner_text()[:80], pause=lambda: page.wait_for_timeout(50))
    widget.evaluate("one => one.dataset.moved = 'done'")
    return 1
