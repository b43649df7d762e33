"""Lectures as one HTML file each: it opens from the disk with the network off, and the keys work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The first lecture and the newest: test_slides runs them all, and a page is made of the same slides.
NAMES = sorted(path.name for path in (ROOT / "solutions").glob("[0-9][0-9]*_*.ipynb"))
NAMES = sorted({NAMES[0], NAMES[-1]})


@pytest.mark.parametrize("name", NAMES)
def test_a_handout_needs_nothing_but_itself(window, root, name, tmp_path):
    file = tmp_path / "page.html"
    command = [sys.executable, "-m", "cnnlab", "handout", name.split("_")[0], "--output", str(file)]
    command += ["-p", "FAST", "true"]  # the page is tested, not the numbers
    made = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert made.returncode == 0 and str(file) in made.stdout, made.stderr
    assert file.stat().st_size < 12e6
    (page, context), asked, errors = window(1280, 720, offline=True), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == [] == errors
    assert page.locator("h1").first.inner_text().startswith(name.split("_")[0])
    slides = page.locator("section").count()
    assert page.locator("#where").inner_text().startswith(f"1 of {slides}")
    for _ in range(slides + 2):
        page.keyboard.press("Space")
    assert page.locator("#where").inner_text().startswith(f"{slides} of {slides}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**#{slides - 1}")  # the browser writes the address a moment later
    assert page.locator(".notes").count() and page.locator(".notes:visible").count() == 0
    page.keyboard.press("n")
    assert page.locator(".notes:visible").count() == page.locator(".notes").count()
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    # No code, no formula that was left as it was typed, no widget without its image, nothing wider than it.
    assert not re.search(r"\$[^$\n]+\$|TODO\(|Explorer\(|VBox\(|\\[a-z]+", page.locator("main").inner_text())
    explorers = page.locator(".widget .cnnlab-explore")
    assert explorers.count() == page.locator(".cnnlab-explore:has(.cnnlab-stage img)").count() >= 1
    assert page.locator(".widget:empty").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280
    context.close()
