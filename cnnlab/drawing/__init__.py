"""Tensors in, pictures out: `images` and `charts` on matplotlib axes, `pixels` fast; `show` and `Table`.

Only this room decides on colours: signed maps are red above zero and blue below, magnitudes run from dark to
bright, pictures stay as they are. All of it can be told apart by colour-blind readers.
"""

from cnnlab.drawing.display import show
from cnnlab.drawing.tables import Table

__all__ = ["Table", "show"]
