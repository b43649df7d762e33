"""Guided backprop, and back-propagation with any other rule at every ReLU.

Papers: Springenberg et al. 2015 (guided backprop), Zeiler & Fergus 2014 (deconvnet).
"""

from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.attribution import Attribution, attribute_by_backprop
from cnnlab.methods.targets import Target
from cnnlab.probing import relu_rules


def guided_backprop(
    model: nn.Module, images: Tensor, target: Target, *, output: str = "logit", batch: int = 16
) -> Attribution:
    """Guided backprop: the gradient, but at EVERY ReLU only what is positive goes on down.

    Sharp, and with little to say about the class: it shows what the network could see at all.

    Args, Returns: as `gradient`. It is not a gradient of anything: adding it to the image need not help.

    Raises:
        ValueError: also if there is no ReLU, or on the way is an activation for which the rule is not
            defined: the map would be, in part or in whole, the plain gradient.

    Paper: Springenberg et al., Striving for simplicity, 2015.
    """
    return rectified_backprop(model, images, target, "guided", output=output, batch=batch)


def rectified_backprop(
    model: nn.Module,
    images: Tensor,
    target: Target,
    rule: str = "guided",
    *,
    output: str = "logit",
    batch: int = 16,
) -> Attribution:
    """Back-propagation with another rule at every ReLU: "guided", "deconvnet" or "gradient".

    `deconvnet.project` does the same for units, and starts with their activation; here the start is one.

    Args, Returns, Raises: as `guided_backprop`.
    """
    if rule not in relu_rules.NAMED:
        raise unknown("rule", rule, relu_rules.NAMED)
    return attribute_by_backprop(model, images, target, rule, output, batch)
