"""Looking into a running network: record layers, change one, re-rule its ReLUs, find what a unit sees.

>>> from cnnlab.probing import Recorder, Unit, edit, receptive, relu_rule
"""

from cnnlab.probing import receptive
from cnnlab.probing.at_rest import at_rest
from cnnlab.probing.flight_recorder import FlightRecorder
from cnnlab.probing.hooks import Recorder, edit, relu_rule
from cnnlab.probing.model_state import evaluating, settled, undisturbed
from cnnlab.probing.shapes import shapes, stages
from cnnlab.probing.units import Unit, each_part, layer, layers

__all__ = [
    "FlightRecorder",
    "Recorder",
    "Unit",
    "at_rest",
    "each_part",
    "edit",
    "evaluating",
    "layer",
    "layers",
    "receptive",
    "relu_rule",
    "settled",
    "shapes",
    "stages",
    "undisturbed",
]
