"""What a pass costs: calls, multiplications, memory; and which function is not continuous.

Type: with CostCounter() as seen: model(images). Every torch function of the pass is counted.
"""

import torch
from torch import Tensor

from cnnlab.methods.model_runner import ValueReads


class CostCounter(ValueReads):
    """Inside the block, what a pass costs, and whether it looks at numbers to decide how to go on.

    Attributes:
        calls: of functions that make tensors.
        multiply_adds: multiplications of numbers with weights.
        largest: numbers in the largest tensor.
        cells: numbers in all tensors.
        sharp: the first function after a convolution that may make much of a difference in the last digit, as
            a sign or a quotient does near zero, or "".
    """

    def __init__(self):
        super().__init__()
        self.calls = self.multiply_adds = self.largest = self.cells = 0
        self.sharp = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = super().__torch_function__(func, types, args, kwargs)
        if self.multiply_adds and not self.sharp and not _is_gentle(func, output):
            self.sharp = getattr(func, "__name__", "a function")
        if isinstance(output, Tensor):
            self.calls += 1
            with torch._C.DisableTorchFunction():
                storage = getattr(output, "patch_storage", None)  # of a RegionTensor
                followed = storage is not None and storage.maps is None
                size = sum(part.numel for part in storage.groups) if followed else output.numel()
                self.largest = max(self.largest, size)
                if followed:  # the cache counts what it costs
                    return output
                self.cells += size
                if func in _WEIGHED:
                    weight = args[1] if len(args) > 1 else kwargs["weight"]
                    self.multiply_adds += size * weight.shape[1:].numel()
        return output


# A small change of what they get is a small change of what they make, at any position. With others it is not
# known. Named without the underscores of what works in place, or is an operator.
_GENTLE = set(
    "conv1d conv2d conv3d conv_transpose2d linear addmm matmul batch_norm dropout dropout2d alpha_dropout "
    "relu relu6 leaky_relu prelu elu selu celu gelu silu mish softplus softsign sigmoid logsigmoid tanh "
    "hardtanh hardswish hardsigmoid clamp clamp_min clamp_max softmax log_softmax exp abs neg square sin cos "
    "add iadd radd sub isub rsub subtract mul imul rmul multiply mean sum maximum minimum amax amin "
    "max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d interpolate pad "
    "cat concat concatenate stack chunk split getitem narrow select flatten unflatten view view_as reshape "
    "permute transpose movedim unsqueeze squeeze expand expand_as repeat clone detach contiguous "
    "size dim get requires_grad float double to type_as new_zeros zeros_like".split()
)


def _is_gentle(func: object, output: object) -> bool:
    if not isinstance(output, Tensor | tuple | list):
        return True  # a shape, a number: nothing goes on from there
    if isinstance(output, Tensor) and not output.is_floating_point():
        return False  # yes or no, or whole numbers: they jump
    return getattr(func, "__name__", "").strip("_") in _GENTLE


_WEIGHED = {torch.conv2d, torch.nn.functional.linear, torch.nn.functional.conv2d}
