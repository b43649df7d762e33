"""Tensors in, tensors out: the methods of the lectures, in one folder for each family."""
