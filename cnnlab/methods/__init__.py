"""Tensors in, tensors out: the methods of the lectures. Each lecture brings its own file."""
