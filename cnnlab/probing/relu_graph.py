"""ReLUs in disguise: what a backward rule would pass by without a word, and give the plain gradient.

Type: (activations with their graph, rule) -> None, or an error that names what was met. Written the other way
round, as a list of what is known to be harmless: a list of disguises would never be complete.
"""

import torch
from torch import Tensor
from torch.autograd.graph import Node

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


def check_rule_applies(reached: Tensor, rule: str) -> None:
    """A rule that passes by a ReLU in disguise, or meets other activations only, is the gradient unsaid."""
    if rule == "gradient":
        return
    names, _ = _behind(reached)
    allowed = _LINEAR | _SMOOTH if "RuledRelu" in names else _LINEAR
    if hidden := {name for name in names if name.rstrip("_") not in allowed}:
        raise ValueError(
            f"the rule {rule!r} is defined for ReLU, and on the way is {', '.join(sorted(hidden)).lower()}. "
            "Use rule='gradient', or build the model with nn.ReLU or F.relu."
        )


def relu_nodes(reached: Tensor) -> list[Node] | None:
    """The ReLUs of a graph, if it shows them all and beside them only what is harmless; else None.

    Inside CopySlices, a part of a map that was changed in place, may be another.
    """
    names, relus = _behind(reached)
    plain = relus and "CopySlices" not in names and names <= _LINEAR | _SMOOTH | {"Relu"}
    return relus if plain else None


def _behind(reached: Tensor) -> tuple[set[str], list[Node]]:
    """What a signal goes back through: the names of all nodes of the graph, and the ReLUs of torch."""
    seen, names, relus, stack = set(), set(), [], [reached.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        whole = node.name()
        if whole == "ReluBackward0":
            relus.append(node)
        name = whole.removeprefix("torch::autograd::").split("Backward")[0].removesuffix("InPlace")
        # x * (x > 0) is a ReLU, too: a factor of True and False.
        factor = getattr(node, "_saved_other", None) if name == "Mul" else None
        names.add("Mul by a mask" if factor is not None and factor.dtype == torch.bool else name)
        stack += [source for source, _ in node.next_functions]
    return names, relus
