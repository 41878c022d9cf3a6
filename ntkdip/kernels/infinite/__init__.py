"""Kernels of infinitely wide networks, in closed form: dense, stationary, of low rank."""
