"""Links: those between our files lead somewhere, the others are well formed, and can be asked."""

import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import nbformat
import pytest

from cnnlab.__main__ import main
from cnnlab.course.authoring import links
from cnnlab.course.running import commands


def test_links_between_our_files_lead_somewhere(root):
    assert links.broken(root) == []
    texts = [links._links(links._text(root / page)) for page in links.PAGES]
    assert sum(map(len, texts)) >= 10  # it does look at them


@pytest.mark.parametrize(
    ("link", "fine"),
    (
        ("notebooks/01_x.ipynb", True),
        ("notebooks/01_x.ipynb#Three-things-to-keep", True),
        ("#for-instructors-a-b", True),
        ("notebooks", True),
        ("notebooks/02_x.ipynb", False),
        ("notebooks/01_x.ipynb#three-things-to-keep", False),
        ("#For-instructors", False),
        ("notebooks/one%20more.md", True),
    ),
)
def test_what_leads_nowhere_is_found(tmp_path, link, fine):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "one more.md").write_text("x")
    cells = [nbformat.v4.new_markdown_cell("## Three things to keep\n[up](../README.md)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_x.ipynb")
    page = f"# Top\n\n## For instructors: `a`, b\n\n`[no](link)` and [one]({link}) and ![two]({link})\n"
    (tmp_path / "README.md").write_text(page + "```python\n# no heading\nx[0](nothing)\n```\n")
    assert links.broken(tmp_path) == ([] if fine else [f"README.md: {link}"] * 2)
    (tmp_path / "notebooks" / "one more.md").write_text(f"[x]({link})")  # no page of the course
    assert "no-heading" not in links.anchors(tmp_path / "README.md")


def test_a_broken_link_in_a_notebook_is_found(tmp_path):
    (tmp_path / "solutions").mkdir()
    cells = [nbformat.v4.new_markdown_cell("[gone](gone.ipynb)"), nbformat.v4.new_code_cell("x[0](gone)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "solutions" / "01_x.ipynb")
    assert links.broken(tmp_path) == ["solutions/01_x.ipynb: gone.ipynb"]


def test_every_address_is_well_formed(root):
    found = links.external(root)
    assert len(found) >= 10 and all(positions for positions in found.values())
    for address in found:
        parts = urllib.parse.urlsplit(address)
        assert parts.scheme in ("http", "https") and "." in parts.hostname and not parts.username, address
        assert parts.hostname == parts.hostname.lower() and parts.path.startswith("/"), address
        assert address.isascii() and not set(address) & set(" ,;\\^|"), address
    bare = {address.split("://")[1].rstrip("/") for address in found}
    assert len(bare) == len(found)  # nothing is there once with http and once with https


def test_addresses_are_found_where_they_stand(tmp_path):
    (tmp_path / "cnnlab").mkdir()
    (tmp_path / "README.md").write_text("[a](https://a.org/x), https://b.org/y. http://127.0.0.1:8888/lab")
    (tmp_path / "cnnlab" / "x.py").write_text(
        'x = f"https://a.org/{y}"\nz = (\n    "https://c.org/"\n    "d"\n)\n'
    )
    where = {"https://a.org/x": ["README.md"], "https://b.org/y": ["README.md"]}
    assert links.external(tmp_path) == where | {"https://c.org/d": ["cnnlab/x.py"]}


@pytest.fixture
def server():
    """Answers /there, sends /moved to it, and has nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the name is http.server's
            self.send_response({"/there": 200, "/moved": 301}.get(self.path, 404))
            self.send_header("Location", "/there")
            self.end_headers()

        def log_message(self, *args):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_the_command_names_what_is_gone_and_where_it_stands(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "root", lambda: tmp_path)
    where = {f"{server}/there": ["a.md"], f"{server}/moved": ["a.md"], f"{server}/gone": ["a.md", "b.py"]}
    monkeypatch.setattr(links, "external", lambda root: where)
    assert main(["links"]) == 1
    said = capsys.readouterr().out
    assert f"\u2717 {server}/gone (a.md, b.py) 404" in said and "3 addresses asked, 1 links broken" in said
    assert f"\u2713 {server}/there\n" in said and f"\u2713 {server}/moved\n" in said
    monkeypatch.setattr(links, "external", lambda root: {"http://127.0.0.1:9/x": ["a.md"]})
    assert main(["links"]) == 1
    none = capsys.readouterr().out
    assert "refused" in none and "is this machine in a network?" in none and "network?" not in said
    monkeypatch.setattr(links, "external", lambda root: {f"{server}/there": ["a.md"]})
    assert main(["links"]) == 0
    (tmp_path / "README.md").write_text("[x](gone.md)")
    assert main(["links"]) == 1 and "README.md: gone.md: nothing is there" in capsys.readouterr().out
