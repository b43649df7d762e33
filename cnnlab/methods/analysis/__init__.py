"""What can be measured on a network: filters, activations, receptive fields, signals through depth."""

from cnnlab.methods.analysis.effective_receptive_field import field, share_in_middle

__all__ = ["field", "share_in_middle"]
