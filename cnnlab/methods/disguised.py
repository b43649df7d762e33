"""ReLUs in disguise: what a backward rule would pass by without a word, and give the plain gradient.

Type: (activations with their graph, rule) -> None, or an error that names what was met. Written the other way
round, as a list of what is known to be harmless: a list of disguises would never be complete.
"""

import torch
from torch import Tensor

# What a signal goes back through in the same way under every rule.
_LINEAR = set(
    "RuledRelu AccumulateGrad Convolution ConvolutionOverrideable Addmm Mm Bmm Mv Addmv "
    "Dot Gather T Transpose Permute View UnsafeView Reshape ReshapeAlias Flatten Unflatten Expand Repeat Sum "
    "Mean Add Sub Rsub Mul Div Neg Cat Stack Slice Select Index Narrow Split SplitWithSizes Unbind "
    "Squeeze Unsqueeze Clone Alias ToCopy Copy CopySlices AsStrided Detach ConstantPadNd ReflectionPad2D "
    "ReplicationPad2D MaxPool2DWithIndices MaxPool1DWithIndices MaxPool3DWithIndices AvgPool2D "
    "AdaptiveAvgPool2D MkldnnAdaptiveAvgPool2D AdaptiveMaxPool2D NativeBatchNorm CudnnBatchNorm "
    "MiopenBatchNorm NativeDropout UpsampleNearest2D UpsampleBilinear2D MaxUnpool2D Unfold Fold Im2Col "
    "Col2Im PixelShuffle MkldnnMaxPool2D MkldnnConvolution".split()
)
# Other activations: harmless beside ReLUs, but alone they would make every rule the gradient.
_SMOOTH = {"Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Erf", "Sin", "Exp"}


def refuse(reached: Tensor, rule: str) -> None:
    """A rule that passes by a ReLU in disguise, or meets other activations only, is the gradient unsaid."""
    if rule == "gradient":
        return
    seen, names, stack = set(), set(), [reached.grad_fn]
    hidden = set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            name = node.name().removeprefix("torch::autograd::").split("Backward")[0].removesuffix("InPlace")
            names.add(name)
            # x * (x > 0) is a ReLU, too: a factor of True and False.
            factor = getattr(node, "_saved_other", None) if name == "Mul" else None
            if factor is not None and factor.dtype == torch.bool:
                hidden.add("Mul by a mask")
            stack += [source for source, _ in node.next_functions]
    allowed = _LINEAR | _SMOOTH if "RuledRelu" in names else _LINEAR
    hidden |= {name for name in names if name.rstrip("_") not in allowed}
    if hidden:
        raise ValueError(
            f"the rule {rule!r} is defined for ReLU, and on the way is {', '.join(sorted(hidden)).lower()}. "
            "Use rule='gradient', or build the model with nn.ReLU or F.relu."
        )
