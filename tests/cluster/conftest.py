"""A cluster for all tests in this folder."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start a cluster; in a folder of a short path, as it has a socket in it."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder), gpu_nodes=7, cpu_nodes=2)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
