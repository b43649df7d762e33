"""Which pixels would change the score? Its gradient at every pixel, and two maps made of it.

Type: (model, images, target) -> Attribution on the pixels. One pass forward and one back for each target;
several targets share the pass forward.

Papers: Simonyan et al. 2014 (gradient), Shrikumar et al. 2016 (gradient x input), Springenberg et al. 2015
(guided backprop), Zeiler & Fergus 2014 (deconvnet).
"""

from torch import Tensor, nn

from cnnlab.methods.attribution import Attribution, attribute_by_backprop
from cnnlab.methods.targets import Target


def gradient(
    model: nn.Module, images: Tensor, target: Target, *, output: str = "logit", batch: int = 16
) -> Attribution:
    """The gradient of the score at every pixel: what a little more of it would add.

    It says how the score would change, not where it came from: a pixel that was decisive may have gradient
    zero, because its unit is saturated.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: a class by number or name, (N,) or (N, T) numbers, or a Unit: see `targets`.
        output: "logit" or "probability". At p near 1 the gradients of the probability are near zero.
        batch: images per pass; one, if the model's answer to an image depends on the others.

    Returns:
        Attribution, its map (N, C, H, W): positive where a brighter pixel raises the score. Of (N, T)
        targets (N, T, C, H, W), by one pass forward.

    Raises:
        LookupError: no such class, layer or `output`.
        ValueError: images or targets of a wrong shape, numbers that are not finite, a model that is random
            in eval mode, or a score that does not depend on the image.

    Paper: Simonyan, Vedaldi & Zisserman, Deep inside convolutional networks, 2014.
    """
    return attribute_by_backprop(model, images, target, "gradient", output, batch)


def gradient_x_input(
    model: nn.Module, images: Tensor, target: Target, *, output: str = "logit", batch: int = 16
) -> Attribution:
    """The gradient at every pixel times the pixel: what is lost on the way to black, if the gradient stays.

    Args, Raises: as `gradient`.

    Returns:
        Attribution with a map (N, C, H, W). Its sum is the logit for networks of ReLUs without any bias; for
        others it is not f(x) - f(black), so there is no reference.

    Paper: Shrikumar et al., Not just a black box, 2016.
    """
    found = gradient(model, images, target, output=output, batch=batch)
    pixels = images.detach() if found.map.dim() == 4 else images.detach()[:, None]
    return found._replace(map=found.map * pixels)
