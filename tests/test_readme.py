"""The README: its lines of Python run as they stand, and its commands are those of the package."""

import re
import subprocess
import sys

import pytest

from cnnlab.__main__ import main

SECTION = "## What the package offers"


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of the same level."""
    return text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]


def lines_of_python(root) -> str:
    """The Python blocks of the section, one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", section((root / "README.md").read_text(), SECTION), re.DOTALL)
    assert blocks
    return "\n".join(blocks)


def test_what_the_package_offers_runs_as_it_stands(root):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines_of_python(root)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "folder", ("data", "nets", "nets.training", "probing", "methods", "drawing", "widgets", "course")
)
def test_each_part_of_the_package_has_a_line(root, folder):
    assert re.search(rf"^from cnnlab\.{folder}(\.\w+)? import ", lines_of_python(root), re.MULTILINE)


def test_each_family_of_methods_has_a_line(root):
    """A new folder in methods gets a line in the README."""
    code = lines_of_python(root)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"^from cnnlab\.methods.*$", code, re.MULTILINE))))
    families = {path.parent.name for path in (root / "cnnlab" / "methods").glob("*/__init__.py")}
    assert len(families) >= 9 and families <= imported


def test_the_commands_in_the_readme_and_in_contributing_are_all_there_are(root, capsys):
    told = set()
    for page, heading in (("README.md", "## What you can type"), ("CONTRIBUTING.md", "## What authors type")):
        text = section((root / page).read_text(), heading)
        told |= set(re.findall(r"^\| `python -m cnnlab (\w+)", text, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert told == set(listed) - {"open"} and len(told) >= 10


def test_the_readme_installs_the_small_pytorch_first_on_linux(root):
    text = (root / "README.md").read_text()
    (block,) = re.findall(r"\*\*Linux:\*\*\n\n```bash\n(.*?)```", text, re.DOTALL)
    small = block.index("torch torchvision --index-url https://download.pytorch.org/whl/cpu")
    assert small < block.index("-r requirements.txt") < block.index("-m cnnlab\n")
    lines = block.splitlines()
    assert all(line.endswith(" &&") for line in lines[:-1])  # where one line fails, the next is not tried
