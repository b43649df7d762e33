"""Loaded by pytest before anything else (-p in pyproject.toml): no waiting for a grammar that nobody needs.

jsonschema, which reads notebooks for nbval, builds a parser of web addresses when it is imported, which takes
two seconds in each process. With this file, it is built only when an address is checked.
"""

import importlib
import importlib.util
import sys
import types

NAME = "rfc3987_syntax"


def is_valid_syntax(term: str, value: str) -> bool:
    """What the package of that name says, imported now."""
    if sys.modules.get(NAME) is STAND_IN:
        del sys.modules[NAME]
    return importlib.import_module(NAME).is_valid_syntax(term, value)


STAND_IN = types.ModuleType(NAME, __doc__)
STAND_IN.is_valid_syntax = is_valid_syntax
if NAME not in sys.modules and importlib.util.find_spec(NAME) is not None:
    sys.modules[NAME] = STAND_IN
