"""From the key press to the changed image, in a real browser: `explore` against `interact`.

Run `python tests/benchmarks/slider_browser.py`. A notebook with both is opened in JupyterLab and Chromium:
the same photo, blurred by the same slider; once drawn by `explore`, once as a matplotlib figure inside of
ipywidgets' `interact`, which is how most courses do it. Key presses alternate between the two, so that noise
hits both. Each time ends when the new image is painted. It prints medians and their ratio; it is no test.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright
from side_by_side import Row

from cnnlab.course.presenting.jupyter_server import server

PRESSES = 25
CELLS = (
    """
import ipywidgets, matplotlib.pyplot as plt
from cnnlab.data import photos
from cnnlab.widgets import explore
from cnnlab.widgets.lessons import convolution
photo = photos.load("cat", size=256)
explore(lambda sigma: convolution.blur_view(sigma, photo), sigma=(0.3, 6.0, 0.1))
""",
    """
def figure(sigma):
    images = [part for part in convolution.blur_view(sigma, photo).values() if not isinstance(part, str)]
    fig, axes = plt.subplots(1, 4, figsize=(11, 3))
    for ax, image in zip(axes, images):
        ax.imshow(image)
        ax.axis("off")
    plt.show()
slider = ipywidgets.FloatSlider(0.3, min=0.3, max=6.0, step=0.1, description="sigma")
ipywidgets.interact(figure, sigma=slider)
""",
)
READY = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session;
    return session?.kernel?.connectionStatus === 'connected' && session.kernel.status === 'idle';
}"""
# One key press; the milliseconds until the last image that changed is decoded and the browser has painted.
PRESS = """async ([k, key]) => {
    const area = document.querySelectorAll('.jp-CodeCell')[k].querySelector('.jp-Cell-outputWrapper');
    const began = performance.now();
    const changed = new Promise((go, fail) => {
        const watch = new MutationObserver(found => {
            const images = found.flatMap(one => [...one.addedNodes, one.target])
                .filter(node => node.nodeType === 1)
                .flatMap(node => node.matches('img') ? [node] : [...node.querySelectorAll('img')]);
            if (images.length) { watch.disconnect(); go(); }
        });
        watch.observe(area, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
        setTimeout(() => fail(new Error('no change in 5 s')), 5000);
    });
    area.querySelector('.noUi-handle').dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    await changed;
    await Promise.all([...area.querySelectorAll('img')].map(image => image.decode().catch(() => {})));
    await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""


def rows(quick: bool = False) -> Iterator[Row]:
    """For the table of all benchmarks."""
    told = milliseconds(9 if quick else PRESSES)
    ours, theirs = (statistics.median(told[name]) / 1000 for name in ("explore", "interact"))
    yield Row("key press to painted image, in Chromium", ours, "interact + matplotlib", theirs, 0.35)
    yield Row("key press to painted image, in Chromium", ours, "what was asked", 0.1, 1.0)


def milliseconds(presses: int = PRESSES) -> dict[str, list[float]]:
    """Name -> the milliseconds of each key press."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    options = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split()
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(notebook, Path(folder) / "both.ipynb")
        with server(Path(folder)) as (address, token), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
            page = browser.new_page(viewport={"width": 1280, "height": 1600})
            page.goto(f"{address}/lab/tree/both.ipynb?token={token}&reset")
            page.wait_for_function(READY, timeout=90_000)
            page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells') }")
            page.wait_for_function("() => document.querySelectorAll('.noUi-handle').length === 2")
            page.wait_for_function(
                "() => [...document.querySelectorAll('.jp-CodeCell')].every(c => c.querySelector('img'))"
            )
            page.wait_for_timeout(2000)
            names = ("explore", "interact")
            found: dict[str, list[float]] = {name: [] for name in names}
            for press in range(presses):
                for k, name in enumerate(names):
                    key = "ArrowLeft" if press % 8 > 5 else "ArrowRight"
                    found[name].append(page.evaluate(PRESS, [k, key]))
                    page.wait_for_timeout(150)  # the kernel rests before the next one
            browser.close()
    return found


def main() -> None:
    told = milliseconds()
    median = {name: statistics.median(times) for name, times in told.items()}
    for name in told:
        print(f"{name:10} median {median[name]:6.1f} ms   slowest {max(told[name]):6.1f} ms")
    print(f"ratio {median['explore'] / median['interact']:.2f}")


if __name__ == "__main__":
    main()
