"""Deconvnet: a unit's activation, projected back to the pixels (Zeiler & Fergus 2014).

`project` is back-propagation with a rule at every ReLU; `layer_by_layer` walks down as the paper draws it.
`strongest_unit` finds the position of a map where it is largest.
"""

from cnnlab.methods.deconvnet.layer_by_layer import Step, layer_by_layer
from cnnlab.methods.deconvnet.project import INITIAL_SIGNALS, project, strongest_unit
from cnnlab.methods.deconvnet.top_projections import project_top_patches

__all__ = ["INITIAL_SIGNALS", "Step", "layer_by_layer", "project", "project_top_patches", "strongest_unit"]
