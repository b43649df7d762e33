"""What Binder needs: exact pins of everything that runs the course, from what is installed and was tested.

`python -m cnnlab binder` writes binder/requirements.txt; a test says when it no longer fits requirements.txt.
Binder's machines have no GPU and little memory: PyTorch comes as the build for CPUs, always both packages.
"""

import re
from importlib import metadata
from pathlib import Path

_ON_CPU = ("torch", "torchvision")
_HEAD = """# Written by `python -m cnnlab binder`: exact versions, those that passed the tests.
--extra-index-url https://download.pytorch.org/whl/cpu
"""


def ranges(root: Path) -> dict[str, str]:
    """What runs the course: name -> range, from requirements.txt down to the tests' part."""
    found = {}
    for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() == "# Tests":
            break
        if match := re.match(r"([A-Za-z0-9-]+)(.*)", line):
            found[match[1]] = match[2].strip()
    return found


def requirements(root: Path) -> str:
    """binder/requirements.txt, with the versions that are installed here."""
    lines = []
    for name in ranges(root):
        version = metadata.version(name).split("+")[0]
        lines.append(f"{name}=={version}{'+cpu' if name in _ON_CPU else ''}")
    return _HEAD + "\n".join(lines) + "\n"


def pins(root: Path) -> dict[str, str]:
    """name -> exact version, as binder/requirements.txt has them."""
    text = (root / "binder" / "requirements.txt").read_text(encoding="utf-8")
    return dict(line.split("==") for line in text.splitlines() if "==" in line)
