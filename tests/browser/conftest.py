"""A real JupyterLab and a real Chromium. Skipped, with the reason, where there is no Chromium."""

import shutil
import time
from pathlib import Path

import pytest

from cnnlab.course.presenting.jupyter_server import server

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
READY = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session;
    return session?.kernel?.connectionStatus === 'connected' && session.kernel.status === 'idle';
}"""
DONE = """() => {
    const panel = jupyterapp.shell.currentWidget;
    const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code');
    return cells.every(cell => cell.executionCount !== null || !cell.sharedModel.getSource().trim())
        && panel.sessionContext.session.kernel.status === 'idle';
}"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab on a copy of the notebooks: notebook -> its address."""
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on this machine; on Debian: apt-get install chromium")
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for path in (folder / "notebooks").glob("*.ipynb"):  # here the page is tested, not the numbers
        path.write_text(path.read_text().replace('"FAST = False', '"FAST = True'))
    # Settings and histories of whoever runs the tests are neither seen nor changed.
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    with server(folder / "notebooks", environment=own) as (address, token):
        yield lambda notebook: f"{address}/lab/tree/{notebook}?token={token}&reset"


@pytest.fixture(scope="session")
def browser(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield made
        made.close()


class Opened:
    """A notebook in the browser, run whole."""

    def __init__(self, page, notebook: str):
        self.page, self.notebook, self.complaints = page, notebook, []
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def run(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_function(READY, timeout=90_000)
        self.page.evaluate("() => { void jupyterapp.commands.execute('application:toggle-left-area') }")
        self.page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells') }")
        self.page.wait_for_function(DONE, timeout=180_000)
        # Widgets are drawn after the cell that made them is done.
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.cnnlab-explore')].every(w => w.querySelector('img'))"
        )

    def changed(self, widget, act, seconds: float = 10) -> bool:
        """Do any of a widget's pictures change after something was done to it?"""
        before = self.settled(widget)
        act()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if pictures(widget) != before:
                return True
            self.page.wait_for_timeout(50)
        return False

    def settled(self, widget, seconds: float = 30) -> list[str]:
        """A widget's pictures at rest: they come one by one, and some of a redraw may be on their way."""
        until, before = time.monotonic() + seconds, None
        while time.monotonic() < until:
            now = pictures(widget) if self.page.evaluate(READY) else None
            if now is not None and now == before:
                return now
            before = now
            self.page.wait_for_timeout(100)
        raise AssertionError(f"the pictures of a widget of {self.notebook} do not come to rest")


def pictures(widget) -> list[str]:
    """The bytes of all pictures of a widget, and its curves."""
    return widget.locator("img, svg polyline").evaluate_all(
        "found => found.map(one => one.getAttribute('src') || one.getAttribute('points'))"
    )


@pytest.fixture(scope="module", params=NOTEBOOKS)
def seen(lab, browser, request):
    """Each notebook in turn, opened and run once for all tests that look at it."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    found = Opened(context.new_page(), request.param)
    found.run(lab(request.param))
    yield found
    # Or sixteen kernels would be alive in the end.
    found.page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture(autouse=True)
def picture_on_failure(request):
    """What the page looked like when a test failed, in runs/browser."""
    yield
    if getattr(request.node, "failed", False) and "seen" in request.node.funcargs:
        found, folder = request.node.funcargs["seen"], ROOT / "runs" / "browser"
        folder.mkdir(parents=True, exist_ok=True)
        found.page.set_viewport_size({"width": 1280, "height": 8000})
        found.page.screenshot(path=folder / f"{Path(found.notebook).stem}.png")
        found.page.set_viewport_size({"width": 1280, "height": 1000})


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed
