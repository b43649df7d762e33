"""A wrong name gets an answer that helps: what was given, what is near it, and everything there is."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, given: object, known: Iterable[str], *, plural: str | None = None) -> LookupError:
    """The error to raise for a name that does not exist.

    Args:
        kind: what was looked for, in one or two words ("layer", "photo").
        given: the name that was asked for.
        known: every name that would have worked, in the order in which to list them.
        plural: of `kind`, where an "s" is not enough.

    Returns:
        A LookupError, to be raised by the caller, with the nearest names first.

    >>> print(unknown("layer", "conv_2", ["conv1", "conv2", "fc"]))
    no layer 'conv_2'. Did you mean 'conv2' or 'conv1'? Layers: conv1, conv2, fc
    """
    known = list(known)
    near = difflib.get_close_matches(str(given), known, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    kinds = (plural or f"{kind}s").capitalize()
    listed = f"{kinds}: {', '.join(known)}" if known else f"There is no {kind} to choose from."
    return LookupError(f"no {kind} {given!r}.{guess} {listed}")
