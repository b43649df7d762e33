"""A JupyterLab for this machine alone, for as long as a block lasts: to present, to test, to measure."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

SETTINGS = Path(__file__).with_name("lab")  # JupyterLab's settings for the course
_PATIENCE = 180  # seconds for JupyterLab to start
_FAREWELL = 20  # seconds for it to end by itself


def limits() -> list[str]:
    """JupyterLab's options without which an uploaded image of over 10 MiB cuts the connection.

    It should reach the kernel, which says that it is too large. Binder gets the same from server.json.
    """
    settings = json.loads((SETTINGS / "server.json").read_text(encoding="utf-8"))
    return [f"--ServerApp.tornado_settings={settings['ServerApp']['tornado_settings']}"]


@contextlib.contextmanager
def server(
    folder: Path, settings: Path = SETTINGS, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """Start JupyterLab on a free port of 127.0.0.1, and stop it after the block.

    Args:
        folder: what it shows.
        settings: the folder with overrides.json; what lies in its folder `user` are settings of the user.
        environment: variables for it, besides those of this process.

    Returns:
        (address, token). The reader's own settings and workspaces are neither seen nor changed.

    Raises:
        OSError: it did not start; says what it printed.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token, address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--expose-app-in-browser", f"--LabApp.app_settings_dir={settings}", *limits()]
    command += ["--ServerApp.base_url=/", "--ServerApp.port_retries=0"]  # there, or nowhere
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with tempfile.TemporaryDirectory() as own:
        kept = {name: own for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
        log = Path(own) / "lab.log"
        if (settings / "user").is_dir():
            shutil.copytree(settings / "user", own, dirs_exist_ok=True)
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, env={**os.environ, **(environment or {}), **kept}, stdout=stream, stderr=stream
            )
        try:
            _wait(address, token, process, log)
            yield address, token
        finally:
            process.terminate()
            try:
                process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(address: str, body: dict | None = None) -> dict:
    """Get or, with a body, post JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    # No proxy, whatever the environment says: this machine talks to itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def _wait(address: str, token: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            ask(f"{address}/api?token={token}")
            return
        except OSError as error:  # URLError is one
            if process.poll() is not None or time.monotonic() > until:
                raise OSError(f"JupyterLab did not start: {log.read_text()[-500:]}") from error
            time.sleep(0.2)
