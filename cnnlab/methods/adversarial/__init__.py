"""A change that nobody sees, and the network says something else: the attacks of lecture 10, by one door.

Type of most: (model, images, eps, *, labels or target, …) -> Attacked: the changed pictures, in [0, 1], and
for each of them whether it worked, and the size of the change. The normalisation is a layer of the model, so
eps means the same for all.

>>> import torch
>>> from cnnlab.nets import models
>>> found = fgsm(models.load("photonet"), torch.rand(2, 3, 64, 64), 4 / 255)
>>> found.pictures.shape, found.passes
(torch.Size([2, 3, 64, 64]), Passes(forward=4, backward=2))
"""

from cnnlab.methods.adversarial.adversarial_patch import Sticker, paste, sticker
from cnnlab.methods.adversarial.adversarial_training import Hardened, hardened
from cnnlab.methods.adversarial.attack import judged
from cnnlab.methods.adversarial.deepfool import deepfool
from cnnlab.methods.adversarial.fgsm import fgsm, random_noise
from cnnlab.methods.adversarial.fooling_images import fooling
from cnnlab.methods.adversarial.gradient_masking import Quantised, Sharpened
from cnnlab.methods.adversarial.linear_approximation import Drop, linear_drop
from cnnlab.methods.adversarial.pgd import pgd
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.adversarial.transfer import Transfer, transfer
from cnnlab.methods.adversarial.universal_perturbation import Universal, universal
from cnnlab.methods.model_runner import Passes

__all__ = [
    "Attacked",
    "Drop",
    "Hardened",
    "Passes",
    "Quantised",
    "Sharpened",
    "Sticker",
    "Transfer",
    "Universal",
    "deepfool",
    "fgsm",
    "fooling",
    "hardened",
    "judged",
    "linear_drop",
    "paste",
    "pgd",
    "random_noise",
    "sticker",
    "transfer",
    "universal",
]
