"""Which pixels, or which positions, gave this class its score? The methods of lecture 06a.

Type of all: (model, images, target, *, output, …) -> Attribution: a signed, raw map and the numbers by which
it can be doubted. They answer different questions, and that is why their maps differ:

- gradient: what would a little more of this pixel add?
- gradient x input, integrated gradients: what did this pixel add, compared to black (to a baseline)?
- SmoothGrad: what does the gradient say on average, over noisy copies of the image?
- guided backprop, deconvnet: what can the network see here at all, whatever the class?
- CAM, Grad-CAM: which positions of the last maps speak for the class?

>>> from cnnlab.nets import models
>>> found = gradient(models.load("photonet"), torch.rand(1, 3, 64, 64), "tabby cat")
>>> found.map.shape, found.passes
(torch.Size([1, 3, 64, 64]), Passes(forward=1, backward=1))
"""

from functools import partial

import torch  # noqa: F401  (the example above)

from cnnlab.methods.attribution import Attribution
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.saliency.cam import cam
from cnnlab.methods.saliency.grad_cam import grad_cam, guided_grad_cam
from cnnlab.methods.saliency.gradient import gradient, gradient_x_input
from cnnlab.methods.saliency.guided_backprop import guided_backprop, rectified_backprop
from cnnlab.methods.saliency.integrated_gradients import Path, integrated_gradients, path
from cnnlab.methods.saliency.smoothgrad import smoothgrad
from cnnlab.methods.saliency.upsampling import last_feature_maps, upsample_to_image
from cnnlab.methods.targets import top_classes

# For tables and menus: METHODS[name](model, images, target, output="logit") -> Attribution.
METHODS = {
    "gradient": gradient,
    "gradient x input": gradient_x_input,
    "integrated gradients": integrated_gradients,
    "SmoothGrad": smoothgrad,
    "guided backprop": guided_backprop,
    "deconvnet": partial(rectified_backprop, rule="deconvnet"),
    "CAM": cam,
    "Grad-CAM": grad_cam,
    "guided Grad-CAM": guided_grad_cam,
}

__all__ = [
    "METHODS",
    "Attribution",
    "Passes",
    "Path",
    "cam",
    "grad_cam",
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "guided_grad_cam",
    "integrated_gradients",
    "last_feature_maps",
    "path",
    "rectified_backprop",
    "smoothgrad",
    "top_classes",
    "upsample_to_image",
]
