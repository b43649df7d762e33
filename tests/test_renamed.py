"""RENAMED.md: what stands on the left is gone, what stands on the right is there."""

import importlib
import re

import pytest


def rows(root, heading):
    """(before, now) of each row under a heading, each a list of the names between backticks."""
    part = (root / "RENAMED.md").read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`.*) \| (.*) \|$", part, re.MULTILINE)
    return [(re.findall(r"`(.+?)`", before), re.findall(r"`(.+?)`", now)) for before, now in cells]


def is_there(root, module):
    path = root / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_modules(root):
    table = rows(root, "Modules")
    assert len(table) > 100
    assert [now for _, now in table if not all(is_there(root, module) for module in now)] == []
    # An old name may be a folder now: methods.occlusion was a file.
    old = [module for before, _ in table for module in before]
    assert len(set(old)) == len(old) and not [
        module for module in old if (root / f"{module.replace('.', '/')}.py").is_file()
    ]


def test_functions_and_classes(root):
    table = rows(root, "Functions and classes")
    assert len(table) > 30
    missing = []
    for _, now in table:
        for name in now:
            module, _, attributes = name.partition(".")
            paths = [
                *(root / "cnnlab").rglob(f"{module}.py"),
                *(root / "cnnlab").rglob(f"{module}/__init__.py"),
            ]
            missing += [name] if not any(has(root, path, attributes) for path in paths) else []
    assert missing == []


def has(root, path, attributes):
    """Does the module in this file have the (dotted) name?"""
    module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    try:
        found = importlib.import_module(module)
        for attribute in attributes.split("."):
            fields = getattr(found, "__annotations__", {})  # of a dataclass or a NamedTuple
            found = getattr(found, attribute) if hasattr(found, attribute) else fields[attribute]
    except (ImportError, KeyError):
        return False
    return True


@pytest.mark.parametrize("heading", ("Modules", "Functions and classes", "Arguments and attributes"))
def test_every_row_has_two_cells(root, heading):
    assert all(before != now for before, now in rows(root, heading))
