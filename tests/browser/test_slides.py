"""Every lecture as live slides: nothing cut off at 1280 x 720, no notes, no code, and sliders that work."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from cnnlab.course.presenting import present
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


@pytest.fixture(scope="module", params=NAMES)
def deck(browser, request, root, tmp_path_factory):
    """Each lecture in turn, as slides."""
    fast = {"FAST": True}  # what is tested is the page, not the numbers
    with present.deck(root / "solutions" / request.param, tmp_path_factory.mktemp("deck"), fast) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        outside = []
        page.on("request", lambda asked: outside.append(asked.url) if "127.0.0.1" not in asked.url else None)
        page.goto(address)
        page.wait_for_selector("body[data-jp-deck-mode=presenting]", state="attached", timeout=60_000)
        page.wait_for_timeout(3000)
        yield page, request.param, outside
        context.close()


def test_going_through_all_slides(deck, root):
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
        seen = page.locator(VISIBLE).evaluate_all(LOOK)
        words = [text for _, text in seen]
        assert page.locator(f"{VISIBLE} [role=alert]").all_inner_texts() == []  # a widget's error
        assert words != former, f"the key before slide {k + 1} of {wanted} did nothing"
        former = words
        cut += [(k + 1, text[:40], parts) for parts, text in seen if parts]
        assert not [note for note in hidden if any(note in text for text in words)]
        assert page.locator(f"{VISIBLE} .jp-InputArea-editor:visible").count() == 0
        moved += _slider_moves(page)
        locked += _guess_is_locked(page)
        _live_leaves_the_keys(page)
        former = [text for _, text in page.locator(VISIBLE).evaluate_all(LOOK)]  # a guess adds its answer
        page.keyboard.press(
            "PageDown" if k % 2 else "Space"
        )  # one key, one slide; whatever was clicked before
        page.wait_for_timeout(250)
    assert [text for _, text in page.locator(VISIBLE).evaluate_all(LOOK)] == former  # that was the last one
    page.keyboard.press("PageUp")
    page.wait_for_timeout(250)
    assert [text for _, text in page.locator(VISIBLE).evaluate_all(LOOK)] != former
    page.evaluate("document.activeElement.blur()")  # as after a click beside everything
    page.keyboard.press("PageDown")
    page.wait_for_timeout(250)
    assert [text for _, text in page.locator(VISIBLE).evaluate_all(LOOK)] == former
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


def _live_leaves_the_keys(page) -> None:
    """Train (or Draw) has the focus after a click, then Stop: the keys turn the slide all the same."""
    live = page.locator(f"{VISIBLE} .cnnlab-live:not([data-pressed])")
    if not live.count():
        return
    live.first.evaluate("one => one.dataset.pressed = 'now'")
    widget = page.locator("[data-pressed=now]")

    def slide():
        shown = page.locator(VISIBLE)
        return shown.count(), shown.locator("[data-pressed=now]").count()

    here, go = slide(), widget.get_by_role("button").first
    go.click()
    widget.locator("button .fa-hourglass").wait_for(timeout=10_000)
    assert go.evaluate("one => one === document.activeElement")
    for key, there in (("PageDown", False), ("PageUp", True)):
        page.keyboard.press(key)
        page.wait_for_timeout(250)
        assert (slide() == here) is there, f"{key} after a click on {go.inner_text()}"
    go.focus()
    widget.get_by_role("button", name="Stop").click()
    widget.locator("button .fa-play").wait_for(timeout=30_000)
    # Space on a button is a press of it elsewhere; here it turns the slide, and starts nothing.
    for key, there in (("PageDown", False), ("PageUp", True), ("Space", False), ("PageUp", True)):
        if key == "Space":
            go.focus()
        page.keyboard.press(key)
        page.wait_for_timeout(250)
        assert (slide() == here) is there, f"{key} after Stop"
    assert widget.locator("button .fa-play").count() == 1
    widget.evaluate("one => one.dataset.pressed = 'done'")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle")
def test_a_closed_terminal_leaves_no_server_behind(root, tmp_path):
    command = [sys.executable, "-u", "-m", "cnnlab", "present", "00"]
    environment = {**os.environ, "BROWSER": "true"}  # a program that opens nothing
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while "the slides:" not in (tmp_path / "log").read_text():
            assert process.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2  # the server and the kernel
        process.terminate()
        assert process.wait(40) == 0
    gone, alive = psutil.wait_procs(family, timeout=15)
    assert not alive


def _slider_moves(page) -> int:
    """1 if a slider of this slide, or else a choice, changes a picture (the deck takes the arrow keys)."""
    fresh = page.locator(f"{VISIBLE} .cnnlab-explore:not([data-moved])")
    if not fresh.count():
        return 0
    fresh.first.evaluate("one => one.dataset.moved = 'now'")  # a slide of several steps shows it again
    widget = page.locator("[data-moved=now]")

    def pictures():
        return widget.locator("img").evaluate_all("found => found.map(one => one.src)")

    before = pictures()
    if widget.locator(".noUi-target").count():
        track = widget.locator(".noUi-target").first.bounding_box()
        page.mouse.click(track["x"] + 0.7 * track["width"], track["y"] + track["height"] / 2)
    else:
        widget.locator("select").first.select_option(index=1)
    for _ in range(200):
        page.wait_for_timeout(50)
        if pictures() != before:
            break
    changed = pictures() != before
    assert changed, widget.inner_text()[:80]
    widget.evaluate("one => one.dataset.moved = 'done'")
    return 1
