"""What a pass costs, and whether the model looks at numbers to decide how to go on.

Type: with Watch() as seen: model(pictures). Every torch function of the pass is counted; what left the
tensors as a number of Python or numpy is named. A model that looks at numbers cannot run several pictures
together: there may be one decision for all.
"""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cnnlab.methods.regions import Region


class Watch(TorchFunctionMode):
    """Inside the block, what a pass costs, and whether it looks at numbers to decide how to go on.

    Attributes:
        calls: of functions that make tensors.
        products: multiplications of numbers with weights.
        largest: numbers in the largest tensor.
        cells: numbers in all tensors.
        asked: the first function by which a number left the tensors (`if x.sum() > 0:`), or "".
    """

    def __init__(self):
        super().__init__()
        self.calls = self.products = self.largest = self.cells = 0
        self.asked = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func in _ASKS:
            self.asked = self.asked or func.__name__
        if isinstance(output, Tensor):
            self.calls += 1
            with torch._C.DisableTorchFunction():
                followed = isinstance(output, Region) and output.held.maps is None
                size = sum(part.numel for part in output.held.groups) if followed else output.numel()
                self.largest = max(self.largest, size)
                if followed:  # the kept counts what it costs
                    return output
                self.cells += size
                if func in _WEIGHED:
                    weight = args[1] if len(args) > 1 else kwargs["weight"]
                    self.products += size * weight.shape[1:].numel()
        return output


_ASKS = {
    getattr(home, name)
    for name in (
        "__bool__ __int__ __float__ __complex__ __index__ __contains__ __array__ __dlpack__ "
        "item tolist numpy equal allclose is_nonzero"
    ).split()
    for home in (torch, Tensor)
    if hasattr(home, name)
}
_WEIGHED = {torch.conv2d, torch.nn.functional.linear, torch.nn.functional.conv2d}
