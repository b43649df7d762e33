"""The parameters with which each lecture is run in test_lectures and test_choices, besides its own."""

from pathlib import Path

import sklearn

OWN = Path(sklearn.__file__).parent / "datasets" / "images" / "flower.jpg"  # as if it were a reader's
# One run of each lecture, with every widget at both ends of every control.
OTHER = {
    "00_start_here": {"PHOTO": "coffee"},
    "01_convolution": {"PHOTO": "astronaut", "SEED": 7},
    "02_filters": {"NET": "shapesnet", "SEED": 3, "FAMOUS": "squeezenet1_0"},
    "03_activations": {"NET": "shapesnet", "PHOTO": "coins", "SEED": 3},
    "04_top9_patches": {"NET": "simpleconvnet", "DATA": "digits", "SEED": 3},
    "05_deconvnet": {"NET": "simpleconvnet", "DATA": "digits", "SEED": 3},
    "06a_saliency": {"NET": "shapesnet", "DATA": "scenes", "IMAGE": str(OWN), "SEED": 3},
    "06b_believing_maps": {"NET": "simpleconvnet", "DATA": "digits", "SEED": 3},
    "07_deep_dream": {"NET": "simpleconvnet", "DATA": "digits", "SEED": 3},
    "08_dropout": {"FEW": 200, "WRONG": 0.3, "SEED": 3},
    "09_batchnorm": {"SEED": 3},
    "10_adversarial_noise": {"NET": "simpleconvnet", "DATA": "digits", "LEVELS": 40, "SEED": 3},
}
# What is left of the embedded networks and data sets: plain runs.
MORE = {
    "02_filters": [{"NET": "simpleconvnet"}, {"NET": "encoder"}],
    "04_top9_patches": [{"NET": "shapesnet", "DATA": "scenes"}, {"NET": "encoder", "DATA": "photos"}],
    "05_deconvnet": [{"NET": "shapesnet", "DATA": "scenes"}, {"NET": "encoder", "DATA": "photos"}],
    "06a_saliency": [{"NET": "simpleconvnet", "DATA": "digits"}, {"NET": "encoder", "DATA": "photos"}],
    "06b_believing_maps": [{"NET": "shapesnet", "DATA": "scenes"}, {"NET": "encoder", "DATA": "photos"}],
    "07_deep_dream": [{"NET": "shapesnet", "DATA": "scenes"}, {"NET": "encoder", "DATA": "digits"}],
    "10_adversarial_noise": [{"NET": "shapesnet", "DATA": "scenes"}, {"NET": "encoder", "DATA": "photos"}],
}
# What a lecture cannot be run with, and how its refusal begins.
REFUSED = {
    "03_activations": [
        ({"NET": "simpleconvnet"}, "'simpleconvnet' takes grey images, but here are colour images"),
        ({"NET": "encoder"}, "'encoder' takes grey images, but here are colour images"),
    ],
}
