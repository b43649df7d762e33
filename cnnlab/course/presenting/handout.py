"""A lecture as one HTML file that opens everywhere: no kernel, no network, no scripts from elsewhere.

It is the plan B of a lecture hall, what is printed, and the teacher's view: the key `n` shows the notes.
Images lie in the file, formulas are MathML, and every widget is there as it stood when the notebook ran.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat

from cnnlab import atomic_files
from cnnlab.course.presenting import slides as deck, static_widgets

# The last cell that is run: it asks the kernel for its widgets as they stand.
_COLLECT = "from cnnlab.course.presenting import static_widgets\nstatic_widgets.collect()"
# $$...$$, or $...$ as pandoc has it: no space inside, no digit behind. "Costs $5, then $6" is no formula.
_MATH = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?!\d)", re.DOTALL)
_CODE = re.compile(r"(<pre\b.*?</pre>|<code\b.*?</code>)", re.DOTALL)
_SCRIPT = re.compile(r"<script\b.*?(</script\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_PAGE = Path(__file__).with_name("lab") / "handout.html"


def handout(
    notebook: Path, output: Path, parameters: Mapping[str, object] | None = None, timeout: int = 300
) -> Path:
    """Run an answered lecture and write its slides, with the notes, into one HTML file.

    Args:
        notebook: an answered lecture.
        output: the file to write.
        parameters: other values for those of the lecture.
        timeout: seconds for one cell.

    Returns:
        `output`.

    Raises:
        ValueError: a cell failed; says which and how.
        OSError: the file cannot be written.
    """
    atomic_files.possible(output)
    run = deck.given(nbformat.read(notebook, as_version=4), parameters or {})
    stills = _executed(run, notebook, timeout)
    texts = (cell.source.strip() for cell in run.cells if cell.cell_type == "markdown")
    title = next((text.splitlines()[0].lstrip("# ") for text in texts if text), notebook.stem)
    page = _PAGE.read_text(encoding="utf-8")
    slides = "\n".join(_slides(run, stills))
    atomic_files.write(output, page.replace("{{title}}", html.escape(title)).replace("{{slides}}", slides))
    return output


def _executed(run: nbformat.NotebookNode, notebook: Path, timeout: int) -> dict[str, str]:
    """Run all cells in place. Returns model id -> HTML of every widget."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    run.cells.append(nbformat.v4.new_code_cell(_COLLECT))
    where = {"metadata": {"path": str(notebook.parent)}}
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(run, timeout=timeout, resources=where, extra_arguments=quiet)
    try:
        client.execute()
    except CellExecutionError as error:
        raise ValueError(f"{notebook.name} failed: {error.ename}: {error.evalue}") from error
    except (RuntimeError, CellTimeoutError) as error:  # the first: it died, or did not even start
        raise ValueError(
            f"{notebook.name} failed: its kernel died, or a cell took over {timeout} s"
        ) from error
    # A thread of the lecture may have written something into this cell, too.
    outputs = (output.get("data", {}).get(static_widgets.MIME) for output in run.cells.pop().outputs)
    return next(found for found in outputs if found is not None)


def _slides(run: nbformat.NotebookNode, stills: dict[str, str]) -> list[str]:
    """One section for each slide. Exercises are left out, as on the live slides; notes are there, hidden."""
    sections: list[list[str]] = []
    for cell, kind in zip(run.cells, deck.kinds(run), strict=True):
        notes = "teacher" in cell.metadata.get("tags", ())
        if (kind == "skip" and not notes) or cell.cell_type == "raw":
            continue
        if kind == "slide" or not sections:
            sections.append([])
        if notes:
            sections[-1].append(f'<aside class="notes">{_text(cell.source)}</aside>')
        elif cell.cell_type == "markdown":
            sections[-1].append(_text(cell.source))
        else:
            sections[-1] += [_output(output, stills) for output in cell.outputs]
    return [f"<section>{''.join(parts)}</section>" for parts in sections if any(parts)]


def _text(source: str) -> str:
    """Markdown with formulas; a dollar in code is a dollar."""
    from nbconvert.filters import markdown2html

    parts = _CODE.split(markdown2html(source))  # every second one is code
    return "".join(part if k % 2 else _MATH.sub(_formula, part) for k, part in enumerate(parts))


def _formula(found: re.Match) -> str:
    from latex2mathml.converter import convert

    block = found["block"]
    return convert(html.unescape(block or found["inline"]), display="block" if block else "inline")


def _output(output: nbformat.NotebookNode, stills: dict[str, str]) -> str:
    if output.output_type == "stream":
        return f"<pre>{html.escape(output.text)}</pre>" if output.name == "stdout" else ""
    if output.output_type == "error":
        return f"<pre>{html.escape(f'{output.ename}: {output.evalue}')}</pre>"
    data = output.get("data", {})
    if view := data.get("application/vnd.jupyter.widget-view+json"):
        return f'<div class="widget">{stills.get(view["model_id"], "")}</div>'
    if "text/html" in data:
        return _SCRIPT.sub("", data["text/html"])
    if "image/svg+xml" in data:
        return _SCRIPT.sub("", data["image/svg+xml"])
    if "text/markdown" in data:
        return _text(data["text/markdown"])
    if "image/png" in data:
        alt = html.escape(data.get("text/plain", ""), quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'
    return f"<pre>{html.escape(data.get('text/plain', ''))}</pre>"
