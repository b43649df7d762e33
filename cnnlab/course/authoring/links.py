"""Every link of the course: those between its own files, and those to elsewhere.

Type: repository -> links. A test follows the first without a network; `python -m cnnlab links` asks the
others whether they are still there, for authors, before they publish.
"""

import concurrent.futures
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PAGES = tuple(f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGES", "RENAMED"))
PAGES += ("LICENSE", "cnnlab/nets/weights/README.md")
_LINK = re.compile(r"""\]\(\s*([^)\s]+)\s*\)|\b(?:src|href)=["']([^"']+)["']""")
_ADDRESS = re.compile(r"""https?://[^\s"'<>`\\\])]+""")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# Made of other things when it is used, or of this machine.
_NOT_LINKS = re.compile(r"[{}]|://127\.0\.0\.1|://www\.w3\.org/2000/svg")
_TIMEOUT = 20


def external(root: Path) -> dict[str, list[str]]:
    """Every address outside of the course -> the files in which it stands.

    Args:
        root: the repository. Lectures count by their sources, addresses of images and data as well.
    """
    found: dict[str, list[str]] = {}
    sources = [*(root / "solutions").glob("*.py"), *(root / "cnnlab").rglob("*.py")]
    data = (root / "cnnlab" / "course" / "quizzes").glob("*.toml")
    for path in [*(root / page for page in PAGES), *sorted(sources), *sorted(data)]:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        # A long address in the code is written in two pieces: put them together.
        text = re.sub(r'"\s*\n\s*"(?=[^"]*")', "", text) if path.suffix == ".py" else text
        for address in _ADDRESS.findall(text):
            address = address.rstrip(".,;:")
            if not _NOT_LINKS.search(address):
                positions = found.setdefault(address, [])
                name = str(path.relative_to(root))
                positions += [name] if name not in positions else []
    return dict(sorted(found.items()))


def broken(root: Path) -> list[str]:
    """Links between files of the course that lead nowhere, as "page: link"."""
    notebooks = [path for folder in ("notebooks", "solutions") for path in (root / folder).glob("*.ipynb")]
    pages = [*(root / page for page in PAGES if (root / page).is_file()), *sorted(notebooks)]
    found = []
    for page in pages:
        for link in _links(_text(page)):
            file, _, anchor = urllib.parse.unquote(link).partition("#")
            target = page.parent / file if file else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                found.append(f"{page.relative_to(root)}: {link}")
    return found


def anchors(page: Path) -> set[str]:
    """What can stand behind the # in a link to a page: its headings, as GitHub and JupyterLab name them."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*$", _CODE.sub(_without_marks, _text(page)), re.MULTILINE)
    if page.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def ask(address: str) -> str:
    """Is it there? "" if so, else what was answered."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (cnnlab links)"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}"
    except (OSError, ValueError) as error:  # no such machine, no network, no address
        return str(getattr(error, "reason", error))
    return ""


def main(root: Path) -> int:
    """Print every link that is broken. Returns 1 if there is one, else 0."""
    inside, outside = broken(root), external(root)
    for line in inside:
        print(f"\u2717 {line}: nothing is there")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # a few at a time: we are guests
        answers = dict(zip(outside, pool.map(ask, outside), strict=True))
    for address, answer in answers.items():
        positions = f" ({', '.join(outside[address])})" if answer else ""
        mark = "\u2717" if answer else "\u2713"
        print(f"{mark} {address}{positions} {answer}".rstrip())
    wrong = len(inside) + sum(map(bool, answers.values()))
    print(f"{len(outside)} addresses asked, {wrong} links broken")
    if outside and all(answers.values()):
        print("no address answered: is this machine in a network?")
    return int(wrong > 0)


def _links(text: str) -> list[str]:
    """The links of a page that stay in the course; what stands in code is no link."""
    found = [one or other for one, other in _LINK.findall(_CODE.sub("", text))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _text(page: Path) -> str:
    """What a page says; of a notebook, its text cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def _without_marks(code: re.Match) -> str:
    return "" if code[0].startswith("```") else code[0].strip("`")
