"""Top-k: the images, and the positions in them, that excite each channel of a layer most.

`scan` goes through a data set once, `patches` cuts out what the units saw, `Top` is the ranking.
"""

from cnnlab.methods.top import purity
from cnnlab.methods.top.ranking import Top
from cnnlab.methods.top.scan import patches, scan

__all__ = ["Top", "patches", "purity", "scan"]
