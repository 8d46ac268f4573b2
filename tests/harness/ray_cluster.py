"""Ray clusters, in a network of their own that has nothing but loopback: Ray trusts whoever reaches its ports."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import commands
import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


@contextmanager
def loopback_only() -> Iterator[None]:
    """Within the block, this thread and all that it starts have no network but loopback; skips where that cannot be."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("Ray is tested in a network namespace, which takes Linux, and root")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(_CLONE_NEWNET) != 0:
        pytest.skip(f"Ray is tested in a network namespace, which cannot be made: {os.strerror(ctypes.get_errno())}")
    try:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
        yield
    finally:
        libc.setns(before, _CLONE_NEWNET)
        os.close(before)


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` with a head that has no CPUs; add nodes with `add_node`. Skips without Ray."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    import dataset_upload.engines.ray_tasks  # noqa: F401  which sets how Ray behaves

    folder = tempfile.mkdtemp(prefix="ray-")  # paths of sockets have at most 107 characters
    with loopback_only(), pytest.MonkeyPatch.context() as patch:
        for name, value in commands.environment(PYTHONPATH=commands.WITH_HARNESS).items():
            patch.setenv(name, value)
        head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1", "temp_dir": folder}
        checks = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}  # a lost node is known in 2 s
        cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": checks})
        try:
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster: Any, *, num_cpus: int) -> Any:
    """Add a node; it is there when this returns."""
    return cluster.add_node(num_cpus=num_cpus, node_ip_address="127.0.0.1")
