"""A slider that is pulled faster than its view can draw: one redraw in flight, and the newest value wins."""

import nbformat
import pytest

# It goes on only when all keys are pressed: as a view that takes longer, on a machine of any speed.
VIEW = """
import time
from pathlib import Path
from cnnlab.widgets import explore
calls = []
def view(n):
    calls.append(n)
    while n and not Path("pressed").exists():
        time.sleep(0.01)
    return f"n is {n}, drawn {len(calls)} times"
explore(view, n=(0, 60))
"""


@pytest.fixture
def page(lab, window, run_whole):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(VIEW.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, lab.folder / "slow.ipynb")
    page, context = window(1280, 900)
    page.goto(lab("slow.ipynb"))
    run_whole(page)
    page.wait_for_selector(".cnnlab-explore .noUi-handle")
    yield page
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()
    for name in ("slow.ipynb", "pressed"):
        (lab.folder / name).unlink()


def test_the_newest_value_wins_and_those_between_are_left_out(page, lab):
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(40):  # the redraw for the first of them lasts until the last is pressed
        handle.press("ArrowRight", no_wait_after=True)
    (lab.folder / "pressed").touch()
    said = page.locator(".cnnlab-explore").get_by_role("status")
    said.get_by_text("n is 40").wait_for()
    drawn = int(said.inner_text().split("drawn ")[1].split()[0])
    assert 2 <= drawn <= 20
