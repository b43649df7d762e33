"""What the build refuses in a lecture's source, each with the next step.

A rule is a function `(source) -> list of complaints`; `Source` holds the cells and the file's name.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cnnlab.course import references, syllabus
from cnnlab.course.quiz import load as load_quizzes

TAGS = (
    "parameters",
    "solution",
    "teacher",
    "exercise",
    "check",
    "bug-hunt",
    "predict",
    "widget",
    "remove-input",
)
SLIDES = ("slide", "subslide", "fragment", "skip")
_DOWNLOADS = re.compile(
    r"urlretrieve|urlopen|\brequests\b|torch\.hub|_from_url|download\s*=\s*True|\bdownloads\b|weights\s*=\s*[\"']"
    r"|^\s*!|^\s*%%?(bash|sh|pip|conda|uv|mamba|system)\b|^\s*%matplotlib\s+(ipympl|widget)",
    re.M,
)
_ALMOST = re.compile(r"\b(begin|end)\s+solution\b", re.I)
_MARKER = re.compile(r"\s*# (BEGIN SOLUTION: \S.*|END SOLUTION)\s*")


class Cell(NamedTuple):
    """One cell of the source: its number from 1, kind, text, tags and slide type."""

    number: int
    kind: str
    text: str
    tags: tuple[str, ...]
    slide: str | None


class Source(NamedTuple):
    """A lecture's source: file name ("01_convolution.py") and cells."""

    file: str
    cells: list[Cell]

    def code(self) -> Iterator[tuple[Cell, ast.Module]]:
        """The code cells, parsed; those that do not parse are left to the rule `syntax`."""
        for cell in self.cells:
            if cell.kind == "code":
                try:
                    yield cell, ast.parse(_python(cell.text))
                except SyntaxError:
                    continue


def complaints(source: Source) -> list[str]:
    """Everything that is wrong, in the order of the rules."""
    return [f"{source.file}, {found}" for rule in _RULES for found in rule(source)]


def header(source: Source) -> Iterator[str]:
    first = source.cells[0] if source.cells else Cell(1, "code", "", (), None)
    number = syllabus.number(source.file)
    wanted = {
        f"a title '# {number} \u00b7 ...'": rf"^# {number} \u00b7 \S",
        "a bold question": r"\*\*[^*]+\?\*\*",
        "'You will be able to'": "You will be able to",
        "'**Minutes:**'": r"\*\*Minutes:\*\*",
        "'**Needs:**'": r"\*\*Needs:\*\*",
    }
    missing = [name for name, pattern in wanted.items() if not re.search(pattern, first.text, re.M)]
    if first.kind != "markdown" or missing:
        yield f"cell 1: the lecture header lacks {', '.join(missing) or 'everything: it is a code cell'}"


def parameters(source: Source) -> Iterator[str]:
    code = list(source.code())
    tagged = [cell for cell in source.cells if "parameters" in cell.tags]
    if len(code) < 2 or tagged != [code[1][0]]:
        yield "cell 3: the second code cell, and only it, has the tag 'parameters'"
        return
    names = set()
    for statement in code[1][1].body:
        literal = isinstance(statement, ast.Assign) and _is_literal(statement.value)
        if not literal:
            yield f"cell {code[1][0].number}: parameters are plain values, not '{ast.unparse(statement)}'"
        else:
            names |= {ast.unparse(target) for target in statement.targets}
    if missing := {"FAST", "SEED"} - names:
        yield f"cell {code[1][0].number}: add the parameters {', '.join(sorted(missing))}"


def imports(source: Source) -> Iterator[str]:
    for k, (cell, tree) in enumerate(source.code()):
        if k and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)):
            yield f"cell {cell.number}: move the import to the first code cell"


def syntax(source: Source) -> Iterator[str]:
    for cell in source.cells:
        if cell.kind == "code":
            try:
                ast.parse(_python(cell.text))
            except SyntaxError as error:
                yield f"cell {cell.number}: no valid Python in line {error.lineno}: {error.msg}"


def known_tags(source: Source) -> Iterator[str]:
    for cell in source.cells:
        for tag in cell.tags:
            if tag not in TAGS:
                yield f"cell {cell.number}: unknown tag '{tag}'. Tags: {', '.join(TAGS)}"
        if cell.slide is not None and cell.slide not in SLIDES:
            yield (
                f"cell {cell.number}: slide type '{cell.slide}'; use {', '.join(SLIDES)}, "
                "and leave the key out for a cell that goes on"
            )


def markers(source: Source) -> Iterator[str]:
    for cell in source.cells:
        opened = False
        for line in cell.text.split("\n"):
            # A marker that is almost right would hand the answer to the students.
            if _ALMOST.search(line) and not (cell.kind == "code" and _MARKER.fullmatch(line)):
                yield (
                    f"cell {cell.number}: '{line.strip()}': a marker is a line of its own in a code cell, "
                    "'# BEGIN SOLUTION: what to write' or '# END SOLUTION'"
                )
            if line.strip().startswith("# hint:") and not opened:
                yield f"cell {cell.number}: a hint stands between BEGIN SOLUTION and END SOLUTION"
            begin, end = "# BEGIN SOLUTION" in line, "# END SOLUTION" in line
            if (begin and opened) or (end and not opened):
                yield f"cell {cell.number}: '{line.strip()}' without its partner"
            if begin and not line.startswith(" "):
                yield f"cell {cell.number}: BEGIN SOLUTION stands inside a function: TODO raises"
            opened = (opened or begin) and not end
        if opened:
            yield f"cell {cell.number}: BEGIN SOLUTION without END SOLUTION"


def alt_texts(source: Source) -> Iterator[str]:
    for cell in source.cells:
        if cell.kind == "markdown":
            for tag in re.findall(r"(?i)<img\b[^>]*>", cell.text):
                if not re.search(r"""(?i)(?<![\w-])alt=["']\s*[^"'\s]""", tag):
                    yield f"cell {cell.number}: {tag} has no alt text"
            if re.search(r"!\[\s*\][(\[]", cell.text):
                yield f"cell {cell.number}: an image without alt text; write ![what it shows](file)"
    for cell, tree in source.code():
        for call in _calls(tree, "show"):
            if "alt" not in {keyword.arg for keyword in call.keywords}:
                yield f"cell {cell.number}: show(...) without alt=; say what the figure shows"


def downloads(source: Source) -> Iterator[str]:
    for cell in source.cells:
        text = re.sub(r"(?m)^\s*#.*$", "", cell.text)  # a comment may speak of it
        if cell.kind == "code" and (found := _DOWNLOADS.search(text)):
            yield f"cell {cell.number}: '{found[0].strip()}' downloads; ship the data, or name 'cnnlab fetch'"


def ids(source: Source) -> Iterator[str]:
    """Every check has its reference, every hint its exercise, every quiz its text, in this lecture."""
    number, ours = syllabus.number(source.file), ("course", "cnnlab")
    known = {
        "check": {exercise.id for exercise in references.of_lecture(number)},
        "quiz": {f"{number}.{key}" for key in load_quizzes(number)},
    }
    known["hint"] = {id for id in known["check"] if not references.is_hunt(id)}  # a bug hunt has none
    for cell, tree in source.code():
        for function, there in known.items():
            for call in _calls(tree, function, ours):
                id = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
                if id not in there:
                    listed = ", ".join(sorted(there))
                    yield f"cell {cell.number}: no {function} {id!r} is registered. There are: {listed}"
        checks = list(_calls(tree, "check", ours))
        if len(checks) > 1:  # the hints of a cell belong to the check after it
            yield f"cell {cell.number}: {len(checks)} checks; one exercise, one cell, one check"
        for call in checks:
            if len(call.args) > 1 and "check" not in cell.tags:
                yield f"cell {cell.number}: a cell that checks has the tag 'check'"


def _calls(tree: ast.Module, name: str, rooms: tuple[str, ...] | None = None) -> Iterator[ast.Call]:
    """Calls of a function, as `show(...)` or as `drawing.show(...)`; with rooms only of these, or plain."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            room = getattr(getattr(node.func, "value", None), "id", None)
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            if called == name and (room is None or rooms is None or room in rooms):
                yield node


def _python(text: str) -> str:
    """Without IPython's magic lines, so that the rest of the cell is still looked at."""
    return re.sub(r"(?m)^([ \t]*)[!%][A-Za-z%].*$", r"\1pass", text)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


_RULES: tuple[Callable[[Source], Iterator[str]], ...] = (
    header,
    syntax,
    parameters,
    imports,
    known_tags,
    markers,
    alt_texts,
    downloads,
    ids,
)
