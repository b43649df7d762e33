"""Deconvnet: a unit's activation, projected back to the pixels (Zeiler & Fergus 2014).

`project` is back-propagation with another rule at every ReLU; `layer_by_layer` goes down one layer at a time,
as in the paper's figure. `strongest_unit` finds the position at which a feature map is largest.
"""

from cnnlab.methods.deconvnet.layer_by_layer import Step, layer_by_layer
from cnnlab.methods.deconvnet.project import INITIAL_SIGNALS, project, strongest_unit
from cnnlab.methods.deconvnet.top_projections import project_top_patches

__all__ = ["INITIAL_SIGNALS", "Step", "layer_by_layer", "project", "project_top_patches", "strongest_unit"]
