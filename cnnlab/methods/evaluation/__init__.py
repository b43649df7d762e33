"""Tests of saliency maps: ground truth, formulas, model randomisation, deletion, a network that cheats."""

from cnnlab.methods.evaluation.rank_correlation import spearman, spearman_matrix

__all__ = ["spearman", "spearman_matrix"]
