"""Training: the loop, its history, the recipes of the shipped networks, and sweeps over settings."""

from cnnlab.nets.training.sweep_results import runs
from cnnlab.nets.training.sweeps import SWEEPS, Settings, network, run_one
from cnnlab.nets.training.train import evaluate, fit

__all__ = ["SWEEPS", "Settings", "evaluate", "fit", "network", "run_one", "runs"]
