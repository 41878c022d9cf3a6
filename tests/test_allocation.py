"""Freed memory is kept, a compiler's given back: counted in pages, in processes of their own."""

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


def run(program: str, mode: str) -> tuple[str, int]:
    found = subprocess.run(
        [sys.executable, "-c", program, mode], check=True, capture_output=True, text=True
    )
    done, count = found.stdout.split()
    return done, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_repeated_call_faults_no_pages() -> None:
    done, count = run(COUNT, "kept")
    assert done == "True"
    # 5 calls x 48 MiB are 61,440 pages of 4 KiB; the heap may have to grow once more, by 12,288.
    assert count < 0.5 * run(COUNT, "as it comes")[1]


COMPILE = """
import sys
import jax
import jax.numpy as jnp
from flax import nnx
from ntkdip.allocation import keep_freed_memory, prepare_for_training
from ntkdip.networks import UNet
from ntkdip.networks.acceleration import accelerated

jax.config.update("jax_enable_compilation_cache", False)
print((prepare_for_training if sys.argv[1] == "given back" else keep_freed_memory)())
net = accelerated(UNet((16, 16, 16, 16), in_channels=2, rngs=nnx.Rngs(0)))
z = jnp.ones((64, 64, 2))
nnx.jit(nnx.grad(lambda net, z: (net(z) ** 2).sum())).lower(net, z).compile()
print(int(open("/proc/self/statm").read().split()[1]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_what_compiling_took_is_given_back() -> None:
    pages = {}
    for mode in ("given back", "kept"):
        done, count = run(COMPILE, mode)
        assert done == "True"
        pages[mode] = count
    assert pages["given back"] < 0.9 * pages["kept"]
