"""Tests of saliency maps: known truth, formulas, model randomisation, deletion, and a network that cheats."""
