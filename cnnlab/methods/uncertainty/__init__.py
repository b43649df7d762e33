"""Uncertainty of a network: MC dropout (Gal & Ghahramani 2016) and calibration (Guo et al. 2017)."""
