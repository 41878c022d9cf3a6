"""Freed memory is kept: counted in page faults, of a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import sys
import jax
import jax.numpy as jnp
from ntkdip.allocation import prepare_for_training

if sys.argv[1] == "kept":
    print(prepare_for_training())
else:
    print(None)

# What lies between the two products takes 48 MiB.
step = jax.jit(lambda x: jnp.tanh(x.T @ x) @ x.T)
x = jnp.ones((8, 3547))
for _ in range(4):
    step(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> tuple[str, int]:
    found = subprocess.run(
        [sys.executable, "-c", COUNT, mode], check=True, capture_output=True, text=True
    )
    done, count = found.stdout.split()
    return done, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_repeated_call_faults_no_pages() -> None:
    done, count = faults("kept")
    assert done == "True"
    # 5 calls x 48 MiB are 61,440 pages of 4 KiB; the heap may have to grow once more, by 12,288.
    assert count < 0.5 * faults("as it comes")[1]
