"""Occlusion: how far a score falls when a part of the image is covered (Zeiler & Fergus 2014).

`drops` gives the drop for every window, `heatmap` a map on the pixels, `scan` the outputs for all windows.
"""

from cnnlab.methods.occlusion.occlusion import Drops, Scan, drops, heatmap, scan
from cnnlab.methods.occlusion.windows import Windows, fill_image

__all__ = ["Drops", "Scan", "Windows", "drops", "fill_image", "heatmap", "scan"]
