"""A change that hardly anybody sees, and the network says something else: the attacks of lecture 10.

Type of most: (model, images, eps, *, labels or target, …) -> AttackResult: the changed images, in [0, 1], and
for each of them, whether the attack worked and how large the change is. The normalisation is a layer of the
model, so eps means the same for every model.

>>> import torch
>>> from cnnlab.nets import models
>>> result = fgsm(models.load("photonet"), torch.rand(2, 3, 64, 64), 4 / 255)
>>> result.images.shape, result.passes
(torch.Size([2, 3, 64, 64]), Passes(forward=4, backward=2))
"""

from cnnlab.methods.adversarial.adversarial_patch import AdversarialPatch, adversarial_patch, apply_patch
from cnnlab.methods.adversarial.adversarial_training import AdversarialTraining, adversarial_training
from cnnlab.methods.adversarial.attack import evaluated
from cnnlab.methods.adversarial.deepfool import deepfool
from cnnlab.methods.adversarial.fgsm import fgsm, random_noise
from cnnlab.methods.adversarial.fooling_images import fooling_images
from cnnlab.methods.adversarial.gradient_masking import Quantised, Sharpened
from cnnlab.methods.adversarial.linear_approximation import LinearApproximation, linear_approximation
from cnnlab.methods.adversarial.pgd import pgd
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.adversarial.transfer import Transfer, transfer
from cnnlab.methods.adversarial.universal_perturbation import UniversalPerturbation, universal_perturbation
from cnnlab.methods.model_runner import Passes

__all__ = [
    "AdversarialPatch",
    "AdversarialTraining",
    "AttackResult",
    "LinearApproximation",
    "Passes",
    "Quantised",
    "Sharpened",
    "Transfer",
    "UniversalPerturbation",
    "adversarial_patch",
    "adversarial_training",
    "apply_patch",
    "deepfool",
    "evaluated",
    "fgsm",
    "fooling_images",
    "linear_approximation",
    "pgd",
    "random_noise",
    "transfer",
    "universal_perturbation",
]
