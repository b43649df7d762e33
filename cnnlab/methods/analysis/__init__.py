"""What can be measured in a network: filters, activations, receptive fields, signals through depth."""

from cnnlab.methods.analysis.effective_receptive_field import central_mass, effective_receptive_field

__all__ = ["central_mass", "effective_receptive_field"]
