"""Tests of saliency maps: known truth, formulas, model randomisation, deletion, and a network that cheats."""

from cnnlab.methods.evaluation.rank_correlation import spearman, spearman_matrix

__all__ = ["spearman", "spearman_matrix"]
