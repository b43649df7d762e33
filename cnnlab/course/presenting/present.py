"""A lecture as live slides: the answered notebook, run once, then opened as a deck whose sliders work.

The notebook is run before the browser opens, in the very kernel to which the browser then connects. So the
deck starts on its first slide, every image is there, and every slider answers. (Run in the browser, its
last cell would be active in the end, and the deck would open on the last slide.)

The deck's own keys work only while something in the notebook has the focus, and its start takes that away for
a while: the slower the machine, the longer. So the keys are bound once more, to the whole page (in the folder
lab/present/user): as soon as the first slide is seen, the first key turns it.
"""

import contextlib
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary

from cnnlab.course.presenting.jupyter_server import SETTINGS, ask, server
from cnnlab.course.presenting.slides import given, slides

_PATIENCE = 180  # seconds for the kernel to answer

# What jupyterlab-slideshow's companion jupyterlab-fonts puts into the page while the deck runs. A slide is
# wider than high: settings stand beside the images; above them, in columns, only where those fill it.
STYLE = {
    f"body[data-jp-deck-mode='presenting'] & {part}".rstrip(): rules
    for part, rules in {
        "": {
            "--jp-content-font-size1": "22px",
            "--jp-code-font-size": "18px",
            "--jp-widgets-font-size": "17px",
            "--jp-widgets-inline-width": "375px",
        },
        ".jp-InputPlaceholder": {"display": "none"},
        ".jp-Collapser": {"visibility": "hidden"},
        # An invisible sheet over the left edge of outputs: it would take the clicks meant for a question.
        ".jp-OutputArea-promptOverlay": {"display": "none"},
        ".cnnlab-explore": {"flex-flow": "row wrap", "align-items": "center"},
        ".cnnlab-explore > *": {"flex": "1 0 100%"},
        ".cnnlab-explore > .cnnlab-settings": {"flex": "1 1 350px", "flex-flow": "row wrap"},
        ".cnnlab-settings > *": {"flex": "0 1 auto", "max-width": "385px"},
        ".cnnlab-settings > *:first-child": {"flex": "1 0 100%", "max-width": "100%"},
        ".cnnlab-explore > .cnnlab-stage": {"flex": "0 1 max-content"},
        ".cnnlab-stage > .cnnlab-note": {"width": "0", "min-width": "100%"},  # a line as wide as the images
    }.items()
}


def present(
    notebook: Path,
    folder: Path,
    parameters: Mapping[str, object] | None = None,
    *,
    opened: Callable[[str], object] = webbrowser.open,
) -> int:
    """Show a notebook as slides until Ctrl+C.

    Args:
        notebook: an answered lecture.
        folder: where the copy that is run lies; made if it is not there.
        parameters: other values for those of the lecture.
        opened: gets the address of the deck when it is ready.

    Returns:
        The exit code.

    Raises:
        ValueError: a cell of the notebook failed.
        OSError: JupyterLab did not start, or the folder cannot be written.
    """
    with _ended_by_signals(), deck(notebook, folder, parameters) as position:
        print(
            f"the slides: {position}\nSpace or Page down goes on, Shift+Space or Page up back, Esc stops the "
            "deck; Ctrl+C here ends all"
        )
        opened(position)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a closed terminal or `kill` end the block as Ctrl+C does, so that no server stays behind."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")  # the second is not known to Windows
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deck(notebook: Path, folder: Path, parameters: Mapping[str, object] | None = None) -> Iterator[str]:
    """The address of a notebook as live slides, as long as the block lasts. Arguments as for `present`."""
    copy = copied(notebook, folder, parameters)
    # The deck notes in the settings that it is active: those of the server, which nobody else uses.
    with server(folder, SETTINGS / "present") as (address, token):
        yield shown(copy, address, token)


def copied(notebook: Path, folder: Path, parameters: Mapping[str, object] | None = None) -> Path:
    """Write a lecture as slides into a folder. Arguments as for `present`. Returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / notebook.name
    made = slides(given(nbformat.read(notebook, as_version=4), parameters or {}))
    made.metadata["@deathbeds/jupyterlab-fonts"] = {"styles": {"": STYLE}}
    nbformat.write(made, copy)
    return copy


def shown(copy: Path, address: str, token: str) -> str:
    """Run slides in a kernel of a server that shows their folder.

    Args:
        copy: from `copied`, in the folder of that server.
        address, token: of the server, which has the settings for decks.

    Returns:
        The address at which they are seen.
    """
    _run(copy, address, token)
    return f"{address}/lab/tree/{copy.name}?token={token}&reset"


def _run(path: Path, address: str, token: str) -> None:
    """Run the notebook in a kernel of that server, and keep the outputs in the file."""
    from jupyter_client import BlockingKernelClient
    from jupyter_core.paths import jupyter_runtime_dir

    wanted = {"path": path.name, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    session = ask(f"{address}/api/sessions?token={token}", wanted)
    file = Path(jupyter_runtime_dir()) / f"kernel-{session['kernel']['id']}.json"
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    try:
        _wait(client)
        for k, cell in enumerate(code, 1):
            print(f"\rcell {k} of {len(code)}", end="", file=sys.stderr, flush=True)
            cell.outputs, cell.execution_count = [], k
            client.execute_interactive(
                cell.source, output_hook=lambda message, cell=cell: _keep(message, cell), timeout=300
            )
            failed = [output for output in cell.outputs if output.output_type == "error"]
            if failed and "raises-exception" not in cell.metadata.get("tags", ()):
                raise ValueError(f"{path.name}: cell {k} failed: {failed[0].ename}: {failed[0].evalue}")
    finally:
        print(file=sys.stderr)
        client.stop_channels()
    nbformat.write(notebook, path)
    NotebookNotary().sign(notebook)  # JupyterLab shows widgets only in notebooks that it trusts


def _wait(client) -> None:
    """Until the kernel answers. On a busy machine it misses a heartbeat at first, and is not dead."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            client.wait_for_ready(_PATIENCE)
            return
        except RuntimeError:
            if time.monotonic() > until:
                raise


def _keep(message: dict, cell: nbformat.NotebookNode) -> None:
    if message["msg_type"] == "clear_output":
        cell.outputs.clear()
    elif message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
        cell.outputs.append(nbformat.v4.output_from_msg(message))
