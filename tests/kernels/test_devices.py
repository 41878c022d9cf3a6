"""The same kernel on one, two and four devices, and in two processes, each started afresh."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

SEVERAL_DEVICES = """
import jax, json, numpy as np
from ntkdip import kernels
from tests.kernels.zoo import ZOO

distances = []
for name in ("wcnn-1d-wide", "function-rescaled"):
    W = kernels.empirical(*ZOO[name], devices=jax.devices()[:1]).dense()
    for count in (2, 3, 4):
        V = kernels.empirical(*ZOO[name], devices=jax.devices()[:count]).dense()
        distances.append(float(np.linalg.norm(V - W) / np.linalg.norm(W)))
    V = kernels.empirical(*ZOO[name], memory_limit=3 * 2**20).dense()
    distances.append(float(np.linalg.norm(V - W) / np.linalg.norm(W)))
print(json.dumps({"devices": len(jax.devices()), "distances": distances}))
"""

TWO_PROCESSES = """
import jax, json, sys, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from ntkdip import kernels
from tests.kernels.zoo import ZOO

problem = ZOO["wcnn-1d-wide"]
V = kernels.empirical(*problem).dense()
W = kernels.empirical(*problem, devices=jax.local_devices()).dense()
print(json.dumps({
    "devices": len(jax.devices()),
    "processes": jax.process_count(),
    "distances": [float(np.linalg.norm(V - W) / np.linalg.norm(W))],
}), flush=True)
jax.distributed.shutdown()
"""

ROUNDING = 1e-7


def _start(code: str, *arguments: str, devices: int = 1) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )


def _result(process: subprocess.Popen[str]) -> dict:
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return json.loads(next(line for line in out.splitlines() if line.startswith("{")))


def test_same_kernel_on_one_two_three_and_four_devices() -> None:
    result = _result(_start(SEVERAL_DEVICES, devices=4))
    assert result["devices"] == 4
    assert len(result["distances"]) == 8
    assert max(result["distances"]) <= ROUNDING


def test_same_kernel_in_two_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    running = [_start(TWO_PROCESSES, address, str(rank)) for rank in (0, 1)]
    for result in [_result(process) for process in running]:
        assert (result["devices"], result["processes"]) == (2, 2)
        assert max(result["distances"]) <= ROUNDING
