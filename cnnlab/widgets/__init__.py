"""Functions become sliders: `explore(view, sigma=(0, 1, .05))`. Each lecture's widgets have their file."""

from cnnlab.widgets.controls import ImageInput, Matrix
from cnnlab.widgets.explorer import explore

__all__ = ["Matrix", "ImageInput", "explore"]
