"""A real JupyterLab and a real Chromium. Skipped, with the reason, where there is no Chromium."""

import shutil
from pathlib import Path

import pytest

from cnnlab.course.presenting.jupyter_server import server

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
MINUTES = 180_000  # milliseconds
READY = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session;
    return session?.kernel?.connectionStatus === 'connected' && session.kernel.status === 'idle';
}"""
SHUT = "() => jupyterapp.serviceManager.sessions.shutdownAll()"
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

        def position(notebook):
            return f"{address}/lab/tree/{notebook}?token={token}&reset"

        position.folder = folder / "notebooks"
        yield position


@pytest.fixture(scope="session")
def browser(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        yield made
        made.close()


@pytest.fixture(scope="session")
def window(browser):
    """Open a window of its own: (page, context). On a slow machine, everything in it may take minutes."""

    def opened(width: int, height: int, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(MINUTES)
        return context.new_page(), context

    return opened


@pytest.fixture(scope="session")
def run_whole():
    """Wait for the kernel of an opened notebook, and let it run all cells."""

    def run(page) -> None:
        page.wait_for_function(READY)
        page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells') }")
        page.wait_for_function(DONE, timeout=3 * MINUTES)

    return run


class Opened:
    """A notebook in the browser, run whole."""

    def __init__(self, page, notebook: str, until):
        self.page, self.notebook, self.complaints = page, notebook, []
        self.until = lambda condition, words: until(condition, words, pause=lambda: page.wait_for_timeout(50))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def run(self, address: str, run_whole) -> None:
        self.page.goto(address)
        self.page.wait_for_function(READY)
        self.page.evaluate("() => { void jupyterapp.commands.execute('application:toggle-left-area') }")
        run_whole(self.page)
        # Widgets are drawn after the cell that made them is done.
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.cnnlab-explore')].every(w => w.querySelector('img'))"
        )

    def changed(self, widget, act) -> bool:
        """Do any of a widget's images change after something was done to it?"""
        before = self.settled(widget)
        act()
        return self.until(lambda: images(widget) != before, f"{self.notebook}: no image changes")

    def settled(self, widget) -> list[str]:
        """A widget's images at rest: they come one by one, and some of a redraw may be on their way."""
        last = [None]

        def rests():
            before, last[0] = last[0], images(widget) if self.page.evaluate(READY) else None
            self.page.wait_for_timeout(100)  # between two looks
            return last[0] is not None and last[0] == before

        self.until(rests, f"the images of a widget of {self.notebook} do not come to rest")
        return last[0]


def images(widget) -> list[str]:
    """The bytes of all images of a widget, and its curves."""
    return widget.locator("img, svg polyline").evaluate_all(
        "found => found.map(one => one.getAttribute('src') || one.getAttribute('points'))"
    )


@pytest.fixture(scope="module", params=NOTEBOOKS)
def seen(lab, window, run_whole, until, request):
    """Each notebook in turn, opened and run once for all tests that look at it."""
    page, context = window(1280, 1000)
    found = Opened(page, request.param, until)
    found.run(lab(request.param), run_whole)
    yield found
    # Or sixteen kernels would be alive in the end.
    found.page.evaluate(SHUT)
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
