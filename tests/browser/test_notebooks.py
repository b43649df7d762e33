"""Every student notebook in a real browser: it runs, its sliders move by the keyboard, its images follow.

New lectures are covered as soon as their notebook is there.
"""

import os
import re

import psutil
import pytest
from PIL import Image

# What Chromium or JupyterLab say of themselves: a missing favicon, a setting that is not stored yet.
NOT_OURS = re.compile(r"favicon|Failed to load resource|workspaces|ResizeObserver|the server responded")
NAME = """control => control.getAttribute('aria-label') || control.getAttribute('title')
    || (control.labels && [...control.labels].map(label => label.innerText).join(' '))
    || document.getElementById(control.getAttribute('aria-labelledby'))?.innerText
    || control.closest('.jupyter-widgets')?.querySelector('.widget-label')?.innerText"""

# The colours of a theme have faded over: two frames later, none is on its way.
FADED = """() => new Promise(seen => requestAnimationFrame(() => requestAnimationFrame(() => seen(
    !document.getAnimations().some(one => one instanceof CSSTransition)))))"""

# Every visible text of ours: the words, its colour as it is mixed with what is behind it, and that colour.
TEXTS = """() => {
    const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
    const mixed = (element, [r, g, b, a = 1], ground) => {
        let share = a;
        for (let one = element; one; one = one.parentElement) share *= Number(getComputedStyle(one).opacity);
        return [r, g, b].map((part, k) => part * share + ground[k] * (1 - share));
    };
    const behind = element => {
        for (let one = element; one; one = one.parentElement) {
            const [r, g, b, a] = rgb(getComputedStyle(one).backgroundColor);
            if (a !== 0) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const found = [];
    const ours = ".cnnlab-explore, .cnnlab-live, .jp-OutputArea [role=status], .jp-OutputArea [role=alert]";
    for (const area of document.querySelectorAll(ours)) {
        const walker = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const words = walker.currentNode.nodeValue.trim(), one = walker.currentNode.parentElement;
            if (!words || !one.getClientRects().length || one.closest("title, option, [disabled]")) continue;
            const style = getComputedStyle(one);
            const colour = one.closest("svg") ? style.fill : style.color;
            const ground = behind(one);
            if (colour !== "none") found.push([words.slice(0, 40), mixed(one, rgb(colour), ground), ground]);
        }
    }
    return found;
}"""


def test_it_ran_without_an_error(seen):
    for kind in ("stderr", "error"):
        outputs = seen.page.locator(f".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.{kind}']")
        assert outputs.all_inner_texts() == []
    assert seen.page.locator(".cnnlab-explore, .cnnlab-live").count() >= 2


def test_every_widget_answers_to_the_keyboard_and_its_picture_follows(seen):
    widgets = seen.page.locator(".cnnlab-explore")
    for k in range(widgets.count()):
        widget = widgets.nth(k)
        widget.scroll_into_view_if_needed()
        assert seen.changed(widget, lambda widget=widget: _turn(widget)), f"widget {k}"
        assert widget.get_by_role("alert").count() == 0
        assert widget.locator("img:not([alt]), img[alt='']").count() == 0


def _turn(widget) -> None:
    """Move the first slider; a widget of choices alone takes the next (the browser's own keys for a list)."""
    sliders = widget.get_by_role("slider")
    if sliders.count():
        sliders.first.press("ArrowRight")
        return
    choice = widget.get_by_role("combobox").first
    index = choice.evaluate("one => (one.selectedIndex + 1) % one.options.length")
    choice.select_option(index=index)


def test_every_control_has_a_name_and_every_picture_its_words(seen):
    for role in ("slider", "combobox", "spinbutton", "checkbox"):
        for control in seen.page.locator(".cnnlab-explore, .cnnlab-live").get_by_role(role).all():
            name = control.evaluate(NAME)
            assert name and name.strip(), control.evaluate("control => control.outerHTML")
    outputs = seen.page.locator(".jp-OutputArea")
    assert outputs.locator("img:not([alt]), img[alt=''], svg[role=img]:not([aria-label])").count() == 0


def test_an_own_picture_is_shown_and_a_broken_one_refused(seen, tmp_path):
    button = seen.page.get_by_role("button", name="your image")
    widget = seen.page.locator(".cnnlab-explore", has=button).first
    if not widget.count():
        assert not seen.notebook.startswith(("00", "01", "03"))
        return
    widget.scroll_into_view_if_needed()
    good, bad = tmp_path / "red.jpg", tmp_path / "bad.png"
    Image.new("RGB", (300, 200), (200, 30, 30)).save(good)
    bad.write_bytes(b"no image at all")

    def upload(file):
        with seen.page.expect_file_chooser() as chooser:
            widget.get_by_role("button", name="your image").click()
        chooser.value.set_files(file)

    assert seen.changed(widget, lambda: upload(good)) and widget.get_by_role("alert").count() == 0
    before = seen.settled(widget)
    upload(bad)
    widget.get_by_role("alert").get_by_text("image").wait_for()
    assert seen.settled(widget) == before  # the former image stays
    if seen.notebook.startswith("00"):  # a file larger than JupyterLab's own limit must get an answer, too
        large = tmp_path / "large.png"
        Image.frombytes("RGB", (2200, 2200), os.urandom(2200 * 2200 * 3)).save(large)
        assert large.stat().st_size > 12e6
        upload(large)
        widget.get_by_role("alert").get_by_text("at most 10 MB are read").wait_for()
    assert seen.changed(widget, widget.get_by_role("button", name="Reset").click)


def test_a_live_training_or_drawing_runs_draws_and_stops(seen):
    widget = seen.page.locator(".cnnlab-live")
    if not widget.count():
        assert not seen.notebook.startswith(("02", "07", "09"))
        return
    widget.scroll_into_view_if_needed()
    start = widget.get_by_role("button", name=re.compile("Train|Draw"))
    stop = widget.get_by_role("button", name="Stop")
    assert seen.changed(widget, start.click)
    stop.click()  # if it has ended by now, this does nothing
    widget.get_by_text(re.compile("(Done|Stopped) (at epoch|after)")).wait_for()
    widget.locator(".fa-play").wait_for()  # at work it is an hourglass
    assert start.is_enabled() and stop.is_enabled() and widget.get_by_role("alert").count() == 0


def test_a_guess_is_locked_and_a_quiz_replies(seen):
    asked = seen.page.locator(".widget-vbox", has=seen.page.get_by_role("button", name="Lock my guess")).last
    asked.scroll_into_view_if_needed()
    if asked.get_by_role("radio").count():
        asked.get_by_role("radio").nth(1).check()
    else:
        asked.get_by_role("textbox").fill("7")
    asked.get_by_role("button", name="Lock my guess").click()
    seen.page.get_by_role("status").get_by_text("You guessed").wait_for()
    seen.page.get_by_role("button", name="Locked").wait_for()
    quiz = seen.page.locator(".widget-vbox", has_text="my answer").last
    quiz.scroll_into_view_if_needed()
    quiz.get_by_role("radio").first.check()
    quiz.get_by_role("status").get_by_text(re.compile("Right|Not this one")).wait_for()


@pytest.mark.parametrize("theme", ("JupyterLab Dark", "JupyterLab Light"))
def test_our_words_can_be_read_in_both_themes(seen, theme):
    """Contrast of at least 4.5 to 1 (WCAG 2.1 AA) for every text of widgets, boxes and curves."""
    seen.page.evaluate(
        "theme => { void jupyterapp.commands.execute('apputils:change-theme', {theme}) }", theme
    )
    light = str(theme.endswith("Light")).lower()
    seen.page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
    seen.page.wait_for_function(FADED)
    texts = seen.page.evaluate(TEXTS)
    assert len(texts) > 20
    faint = {(text, ratio) for text, *colours in texts if (ratio := contrast(*colours)) < 4.5}
    assert faint == set()


def test_the_known_contrasts():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


def test_one_server_and_one_kernel_fit_into_binder(seen):
    """Binder gives 2 GB. After the lecture, every widget moved; torch with CUDA, larger than Binder's."""
    mine = [process for process in psutil.Process().children(recursive=True) if process.is_running()]
    lines = {process: " ".join(process.cmdline()) for process in mine}
    memory = {
        kind: sum(process.memory_info().rss for process, line in lines.items() if word in line) / 2**20
        for kind, word in (("server", "-m jupyterlab"), ("kernel", "ipykernel"))
    }
    print(f"{seen.notebook}: {memory['server']:.0f} MB server, {memory['kernel']:.0f} MB kernel")
    assert 20 < memory["server"] < 500 and 100 < memory["kernel"] < 1400, memory


def contrast(text, ground) -> float:
    """Of two colours (R, G, B) from 0 to 255: 1 for the same, 21 for black on white."""

    def luminance(colour):
        parts = [c / 255 for c in colour]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(text), luminance(ground)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_browser_has_nothing_to_complain_about(seen):
    """Stands last: after everything that the other tests did to the page."""
    assert [text for text in seen.complaints if not NOT_OURS.search(text)] == []
