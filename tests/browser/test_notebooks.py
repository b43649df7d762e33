"""Every student notebook in a real browser: it runs, its sliders move by the keyboard, its pictures follow.

New lectures are covered as soon as their notebook is there.
"""

import re

from PIL import Image

# What Chromium or JupyterLab say of themselves: a missing favicon, a setting that is not stored yet.
NOT_OURS = re.compile(r"favicon|Failed to load resource|workspaces|ResizeObserver|the server responded")
NAME = """control => control.getAttribute('aria-label') || control.getAttribute('title')
    || (control.labels && [...control.labels].map(label => label.innerText).join(' '))
    || document.getElementById(control.getAttribute('aria-labelledby'))?.innerText
    || control.closest('.jupyter-widgets')?.querySelector('.widget-label')?.innerText"""


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
        slider = widget.get_by_role("slider").first
        assert seen.changed(widget, lambda slider=slider: slider.press("ArrowRight")), f"widget {k}"
        assert widget.get_by_role("alert").count() == 0
        assert widget.locator("img:not([alt]), img[alt='']").count() == 0


def test_every_control_has_a_name_and_every_picture_its_words(seen):
    for role in ("slider", "combobox", "spinbutton", "checkbox"):
        for control in seen.page.locator(".cnnlab-explore, .cnnlab-live").get_by_role(role).all():
            name = control.evaluate(NAME)
            assert name and name.strip(), control.evaluate("control => control.outerHTML")
    outputs = seen.page.locator(".jp-OutputArea")
    assert outputs.locator("img:not([alt]), img[alt=''], svg[role=img]:not([aria-label])").count() == 0


def test_an_own_picture_is_shown_and_a_broken_one_refused(seen, tmp_path):
    button = seen.page.get_by_role("button", name="your picture")
    widget = seen.page.locator(".cnnlab-explore", has=button).first
    if not widget.count():
        assert not seen.notebook.startswith(("00", "01", "03"))
        return
    widget.scroll_into_view_if_needed()
    good, bad = tmp_path / "red.jpg", tmp_path / "bad.png"
    Image.new("RGB", (300, 200), (200, 30, 30)).save(good)
    bad.write_bytes(b"no picture at all")

    def upload(file):
        with seen.page.expect_file_chooser() as chooser:
            widget.get_by_role("button", name="your picture").click()
        chooser.value.set_files(file)

    assert seen.changed(widget, lambda: upload(good)) and widget.get_by_role("alert").count() == 0
    assert not seen.changed(widget, lambda: upload(bad), seconds=1.5)  # the former picture stays
    assert "picture" in widget.get_by_role("alert").inner_text()
    assert seen.changed(widget, widget.get_by_role("button", name="Reset").click)


def test_a_live_training_runs_draws_and_stops(seen):
    widget = seen.page.locator(".cnnlab-live")
    if not widget.count():
        assert not seen.notebook.startswith("02")
        return
    widget.scroll_into_view_if_needed()
    train, stop = (widget.get_by_role("button", name=name) for name in ("Train", "Stop"))
    assert stop.is_disabled() and seen.changed(widget, train.click)
    if stop.is_enabled():
        stop.click()
    widget.get_by_text(re.compile("(Done|Stopped) at epoch")).wait_for()
    assert train.is_enabled() and widget.get_by_role("alert").count() == 0


def test_a_guess_is_locked_and_a_quiz_replies(seen):
    asked = seen.page.locator(".widget-vbox", has=seen.page.get_by_role("button", name="Lock my guess")).last
    asked.scroll_into_view_if_needed()
    asked.get_by_role("radio").nth(1).check()
    asked.get_by_role("button", name="Lock my guess").click()
    asked.locator("input[type=radio]:disabled").first.wait_for()
    quiz = seen.page.locator(".widget-vbox", has_text="my answer").last
    quiz.scroll_into_view_if_needed()
    quiz.get_by_role("radio").first.check()
    quiz.get_by_role("status").get_by_text(re.compile("Right|Not this one")).wait_for()


def test_the_browser_has_nothing_to_complain_about(seen):
    """Stands last: after everything that the other tests did to the page."""
    assert [text for text in seen.complaints if not NOT_OURS.search(text)] == []
