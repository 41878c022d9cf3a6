"""Benchmarks of ntkdip against other packages: ``python -m benchmarks``.

Light to import: `benchmarks.worker` also runs under a Python that has neither ntkdip nor
Flax.
"""
