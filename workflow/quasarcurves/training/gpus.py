"""One GPU for each training on a machine that has several.

Snakemake counts GPUs but assigns none to a process, so every process would take the first. A batch system assigns them
by CUDA_VISIBLE_DEVICES; then there is nothing to do.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

_VISIBLE = "CUDA_VISIBLE_DEVICES"

logger = logging.getLogger(__name__)


@contextmanager
def own_gpu(folder: Path | None = None) -> Iterator[str | None]:
    """Show this process the GPU that the fewest others have taken, until it leaves; before its first operation.

    A file lock stands for the GPU; the kernel releases it when the process ends, in whatever way. Processes of other
    users are not seen.

    Parameters
    ----------
    folder : Path, optional
        Where the locks lie: one for all processes of this user and machine unless given.

    Yields
    ------
    str or None
        UUID of the GPU; None where there is none, or CUDA_VISIBLE_DEVICES is set already.
    """
    gpus = [] if _VISIBLE in os.environ else installed()
    if not gpus:
        yield None
        return
    folder = folder or Path(tempfile.gettempdir(), f"quasarcurves-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    lock, gpu = _first_free(folder, gpus)
    with lock:
        os.environ[_VISIBLE] = gpu
        logger.info("on %s, one of %d", gpu, len(gpus))
        try:
            yield gpu
        finally:
            del os.environ[_VISIBLE]


def installed() -> list[str]:
    """Return the UUIDs of all NVIDIA GPUs that the driver lists."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        logger.warning("nvidia-smi lists no GPU: %s", (listed.stderr or listed.stdout).strip())
        return []
    return listed.stdout.split()


def _first_free(folder: Path, gpus: Sequence[str]) -> tuple[IO, str]:
    """Take the first free place: the first of every GPU before the second of any."""
    for place in count():
        for gpu in gpus:
            lock = (folder / f"{gpu}.{place}").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                return lock, gpu
    raise AssertionError("count never ends")
