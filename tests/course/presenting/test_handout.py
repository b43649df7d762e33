"""The handout of odd notebooks: what it leaves out, what it keeps, and how it fails."""

import nbformat
import pytest

from cnnlab.course.presenting import handout


def written(tmp_path, *cells):
    path = tmp_path / "99_odd.ipynb"
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return handout.handout(path, tmp_path / "out.html").read_text(encoding="utf-8")


def code(source, *tags):
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata["tags"] = list(tags)
    return cell


def test_odd_cells_and_outputs(tmp_path):
    page = written(
        tmp_path,
        code(""),
        nbformat.v4.new_raw_cell("raw"),
        nbformat.v4.new_markdown_cell(
            "# Odd \u00fcber\n\nIt costs $5 and then $6, in `$HOME` or `$PATH`; $x < 2$ and $$y^2$$"
        ),
        code("from IPython.display import HTML, SVG, display\n"
             "display(HTML('<b>kept</b><script src=\"https://elsewhere.example/x.js\"></script>'))\n"
             "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"><circle r=\"4\"/></svg>')"),
        code("1 / 0", "raises-exception"),
        code("print('</script><script>alert(1)</script>')"),
        code("from ipywidgets import *\nVBox([HTML('seen'), HTML('unseen', layout={'display': 'none'})])"),
        code("import threading, time\n"
             "def late():\n    for _ in range(30):\n        print('late'); time.sleep(0.05)\n"
             "threading.Thread(target=late).start()"),
    )  # fmt: skip
    body = page[page.index("<main>") : page.index("</main>")]
    assert "<title>Odd \u00fcber</title>" in page and "raw" not in body
    assert "costs $5 and then $6" in body and "<code>$HOME</code> or <code>$PATH</code>" in body
    assert body.count("<math") == 2 and "kept" in body and "<circle" in body
    assert "ZeroDivisionError: division by zero" in body and "elsewhere.example" not in body
    assert "<script>" not in body and "&lt;script&gt;alert(1)" in body
    assert "<div>seen</div>" in body and "unseen" not in body


@pytest.mark.parametrize(
    ("source", "words"),
    (
        ("raise KeyError('gone')", "99_odd.ipynb failed: KeyError: 'gone'"),
        ("import os; os._exit(1)", "kernel died"),
    ),
)
def test_a_lecture_that_fails_says_how(tmp_path, source, words):
    with pytest.raises(ValueError, match=words):
        written(tmp_path, code(source))
    assert not (tmp_path / "out.html").exists()
