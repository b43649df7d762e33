"""A slider that is pulled faster than its view can draw: one redraw in flight, and the newest value wins."""

import nbformat
import pytest

from cnnlab.course.presenting.jupyter_server import server

VIEW = """
import time
from cnnlab.widgets import explore
calls = []
def view(n):
    calls.append(n)
    time.sleep(0.15)
    return f"n is {n}, drawn {len(calls)} times"
explore(view, n=(0, 60))
"""
READY = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session;
    return session?.kernel?.connectionStatus === 'connected' && session.kernel.status === 'idle';
}"""


@pytest.fixture
def page(browser, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(VIEW.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "slow.ipynb")
    with server(tmp_path) as (address, token):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(f"{address}/lab/tree/slow.ipynb?token={token}&reset")
        page.wait_for_function(READY, timeout=90_000)
        page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells') }")
        page.wait_for_selector(".cnnlab-explore .noUi-handle")
        yield page
        context.close()


def test_the_newest_value_wins_and_those_between_are_left_out(page):
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(40):  # far faster than one redraw each: all of them would take six seconds
        handle.press("ArrowRight", no_wait_after=True)
    said = page.locator(".cnnlab-explore").get_by_role("status")
    said.get_by_text("n is 40").wait_for(timeout=4000)
    drawn = int(said.inner_text().split("drawn ")[1].split()[0])
    assert 2 <= drawn <= 20
