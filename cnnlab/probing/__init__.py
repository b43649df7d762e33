"""Looking into a running network: record layers, change one, re-rule its ReLUs, find what a unit sees.

>>> from cnnlab.probing import Recorder, Unit, edit, receptive, relu_rule
"""

from cnnlab.probing import receptive
from cnnlab.probing.at_rest import at_rest
from cnnlab.probing.flight_recorder import FlightRecorder
from cnnlab.probing.hooks import Recorder, edit, relu_rule
from cnnlab.probing.model_state import eval_mode, frozen, preserved
from cnnlab.probing.output_shapes import representative_layers, shapes
from cnnlab.probing.units import Unit, layer, layers, unique_modules

__all__ = [
    "FlightRecorder",
    "Recorder",
    "Unit",
    "at_rest",
    "unique_modules",
    "edit",
    "eval_mode",
    "layer",
    "layers",
    "receptive",
    "relu_rule",
    "frozen",
    "shapes",
    "representative_layers",
    "preserved",
]
