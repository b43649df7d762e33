"""The deconvnet as the paper draws it: unpool, rectify, transposed filters, one layer at a time.

Type: (model, image, unit) -> like image. Equal to `project`, without automatic differentiation.

Paper: Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.deconvnet.call_recorder import IMAGE, CallRecorder
from cnnlab.methods.deconvnet.project import UNREACHED, initial_signal, one_each
from cnnlab.probing import Recorder, Unit, layers, preserved
from cnnlab.probing.hooks import on_forward


class Step(NamedTuple):
    """The signal as it stands at one layer on the way down.

    Attributes:
        layer: its name; of a function that is no layer, the function's; the last is "image".
        signal: of the shape that this layer puts out.
    """

    layer: str
    signal: Tensor


def layer_by_layer(
    model: nn.Module, image: Tensor, unit: Unit | Sequence[Unit], *, steps: bool = False
) -> Tensor | list[Step]:
    """The same projection as the paper draws it: unpool, rectify, transposed filters, one layer at a time.

    Equal to `project(model, image, unit)`. A forward pass writes down which functions ran on what; then the
    list is gone through from its end. Where branches part, the signals that come back from all are added.
    Every constant factor stays in: batch norm multiplies by weight / sqrt(var + eps), the first layer divides
    by its deviation. So the result is in the units of images in [0, 1]. Biases play no part.

    Args:
        model: convolutions (also transposed), linear layers, ReLUs in any form, batch norm, max and mean
            pools, dropout, flattening, sums, concatenations, constant factors; it runs in eval mode.
        image, unit: as in `project`; the start is always the activation.
        steps: return the signal at every layer too.

    Returns:
        (N, C, H, W); with steps a list from Step(the unit's layer, the start) to Step("image", the result).

    Raises:
        LookupError: no such layer, or it does not run.
        ValueError: no such channel or position, or there is no rule for something on the way, which is named.
    """
    units = one_each(model, image, unit)
    name = units[0].layer
    # With gradients, so that the recorder notices a branch that it could not follow. The way back uses none.
    with preserved(model, grad=True):
        leaf = image.detach().clone().requires_grad_()
        recorder = CallRecorder(leaf.clone(), leaf)
        with (
            on_forward(model, layers(model), recorder.on_layer_output),
            Recorder(model, name, stop=True) as acts,
            recorder,
        ):
            model(recorder.image)
    with preserved(model, grad=False):
        initial = initial_signal(acts.calls(name)[0], units, "activation")
        walk = [
            Step(name, initial),
            *(Step(layer, signal.detach()) for layer, signal in recorder.backward(initial)),
        ]
        if walk[-1].layer != IMAGE:
            raise ValueError(UNREACHED.format(name))
    return walk if steps else walk[-1].signal
