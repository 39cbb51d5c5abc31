"""Steps are forked from a process that has imported their packages, in place of importing these in every job.

TensorFlow takes five seconds of a processor to import, pandas with scipy and matplotlib two, and a study has a job per
training, table and figure. The first job on a machine starts a server that imports the packages, and nothing of this
project. Each job then asks it for a copy of itself (fork) with the job's arguments, environment and open files. The
job's own process waits, hands signals on, and ends as its copy does. Where anything stands in the way of this, a job
does its work itself.

A server belongs to the Snakemake that runs the jobs, or to the process that the environment of Snakemake names. It ends
when that process and the jobs that it has forked have ended.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import hashlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "QUASARCURVES_FORK_SERVER"
"""Environment variable that allows a server, for the process that it names: host:process."""

_BACKEND = "KERAS_BACKEND"
"""Set where a step needs Keras. JAX has threads once it is imported, and so cannot be forked."""

_PACKAGES = (
    "numpy", "h5py", "pandas", "scipy.stats", "scipy.optimize", "scipy.interpolate", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_pdf",
    "yaml", "jsonschema", "grimp", "importlib.metadata",
)  # fmt: skip
"""What light steps import."""

_ALONE = ("scripts.prepare_spectra", "scripts.draw_subset", "scripts.evaluate")
"""Steps that import so little, unless they need Keras, that a copy of the server would save nothing, and hold more
memory than they ask for."""

_OWN = ("quasarcurves", "scripts")
_PATH = "PYTHONPATH"
_READ_ONCE = (
    "PYTHON",
    "LD_",
    "MALLOC_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "TF_",
    "XLA_",
    "CUDA_",
    "KERAS_",
    "MPL",
    "LC_",
    "LANG",
)
"""Environment variables that begin so may be read while a process starts or imports: each set has a server."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)
_IDLE_SECONDS = 600


def attach() -> None:
    """Do the work of this process in a copy of the server, and end; return if that is not possible.

    To be called while `python -m package.module` looks for its module.
    """
    owner = os.environ.pop(VARIABLE, "")
    try:
        if owner.partition(":")[0] != socket.gethostname() or not _can_fork():
            return
        with _connected(owner) as connection:
            _ask(connection)
            before = {number: signal.signal(number, _hand_on(connection)) for number in _SIGNALS}
            if connection.recv(1):
                # none: the server is gone, and what became of the copy is not known
                os._exit((connection.recv(1) or b"\1")[0])
            for number, handler in before.items():
                signal.signal(number, handler)
    except (OSError, ValueError):
        return


def _can_fork() -> bool:
    backend = os.environ.get(_BACKEND)
    if sys.orig_argv[1] != "-m" or (sys.orig_argv[2] in _ALONE and backend is None):
        return False
    # the driver of a GPU does not survive a fork
    return backend is None or (backend == "tensorflow" and not Path("/dev/nvidiactl").exists())


# the job's own process


def _connected(owner: str) -> socket.socket:
    """Return a connection to the server, which is started if there is none."""
    folder = Path(tempfile.gettempdir(), f"quasarcurves-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder}: belongs to others, who could have their code run")
    about = {name: value for name, value in os.environ.items() if name.startswith(_READ_ONCE)}
    # of the project itself the server keeps nothing, so that it serves all copies of it
    places = [place for place in _places(os.environ) if place != str(Path(__file__).parents[1])]
    key = json.dumps([owner, sys.executable, sys.flags, about | {_PATH: places}], sort_keys=True)
    path = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _locked(folder):
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            _start(path, owner)
            connection.connect(str(path))
    return connection


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _places(environment: Mapping[str, str]) -> list[str]:
    """Return the folders that PYTHONPATH adds to Python's own."""
    return [str(Path(place).absolute()) for place in environment.get(_PATH, "").split(os.pathsep) if place]


def _start(path: Path, owner: str) -> None:
    """Start a server; it can be connected to at once, and answers when it has imported its packages."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, Path(os.devnull).open("r+") as nothing:
        listener.bind(str(path))
        listener.listen(100)
        program = "from scripts.fork_server import serve; serve()"
        subprocess.Popen(
            [sys.executable, "-c", program, str(listener.fileno()), owner, str(path)],
            stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, pass_fds=[listener.fileno()],
        )  # fmt: skip


def _ask(connection: socket.socket) -> None:
    """Send what a copy needs to be this process: arguments, environment, folder, and its open files."""
    umask = os.umask(0)
    os.umask(umask)
    asked = {"arguments": sys.orig_argv[2:], "environment": dict(os.environ), "folder": str(Path.cwd()), "umask": umask}
    content = json.dumps(asked).encode()
    files = array.array("i", [0, 1, 2])
    connection.sendmsg([len(content).to_bytes(8)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    connection.sendall(content)


def _hand_on(connection: socket.socket) -> Callable[[int, object], None]:
    return lambda received, _: connection.sendall(bytes([received]))


# the server


def serve() -> None:
    """Import packages, and fork a copy for every job that asks."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    owner, path = sys.argv[2], Path(sys.argv[3])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        # fails at once where the owner has ended: its jobs need not wait for the imports
        server = _Server(listener, owner)
        _import_packages()
        server.run()
    finally:
        # who asks from now on starts another one
        with _locked(path.parent):
            path.unlink(missing_ok=True)


def _import_packages() -> None:
    if os.environ.get(_BACKEND):
        from quasarcurves.training import keras_import  # noqa: PLC0415  (of the server alone)

        keras_import.import_keras()
        import_module("h5py")
    else:
        for name in _PACKAGES:
            import_module(name)
    # a job has the project's code as it is when the job begins
    for name in [name for name in sys.modules if name.split(".")[0] in _OWN]:
        del sys.modules[name]


class _Server:
    def __init__(self, listener: socket.socket, owner: str) -> None:
        self._listener = listener
        self._jobs: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._begin)
        self._owner = os.pidfd_open(int(owner.partition(":")[2]))
        self._selector.register(self._owner, selectors.EVENT_READ, self._leave)
        self._leaving = False

    def run(self) -> None:
        while self._jobs or not self._leaving:
            events = self._selector.select(_IDLE_SECONDS)
            if not events and not self._jobs:
                return
            for key, _ in events:
                if key.fileobj in self._selector.get_map():
                    key.data(key.fileobj)

    def _leave(self, owner: int) -> None:
        """Take no more jobs: Snakemake has ended."""
        self._leaving = True
        self._selector.unregister(owner)
        self._selector.unregister(self._listener)

    def _begin(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            asked, files = _asked(connection)
        except (OSError, ValueError):
            connection.close()
            return
        process = os.fork()
        if not process:
            self._listener.close()
            os.close(self._owner)
            self._selector.close()
            for other in (connection, *self._jobs):
                other.close()
            _become(asked, files)
        for file in files:
            os.close(file)
        connection.sendall(b"!")
        self._jobs[connection] = process
        self._selector.register(connection, selectors.EVENT_READ, self._signal)
        self._selector.register(os.pidfd_open(process), selectors.EVENT_READ, lambda file: self._end(file, connection))

    def _signal(self, connection: socket.socket) -> None:
        """Hand a signal on; a job whose own process has been killed is killed too."""
        try:
            received = connection.recv(1)
        except OSError:  # it was killed before it had read all
            received = b""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._jobs[connection], received[0] if received else signal.SIGKILL)
        if not received:
            self._selector.unregister(connection)

    def _end(self, file: int, connection: socket.socket) -> None:
        """Report how a job has ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(self._jobs.pop(connection), 0)[1])
        self._selector.unregister(file)
        os.close(file)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        with contextlib.suppress(OSError):
            # killed by a signal: as a shell has it
            connection.sendall(bytes([status if status >= 0 else 128 - status]))
        connection.close()


def _asked(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive what `_ask` has sent."""
    start, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_LEN(3 * array.array("i").itemsize))
    files = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            files.frombytes(data)
    content = b""
    while len(content) < int.from_bytes(start):
        part = connection.recv(2**20)
        if not part:
            raise ConnectionError("the job is gone")
        content += part
    return json.loads(content), list(files)


def _become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    """Do a job's work in this copy, and end as `python -m` does."""
    status = 1
    try:
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for place, file in enumerate(files):
            os.dup2(file, place)
            os.close(file)
        others = [place for place in sys.path[1:] if place not in _places(os.environ)]
        os.chdir(asked["folder"])
        os.umask(asked["umask"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.path[:] = [asked["folder"], *_places(os.environ), *others]
        module, *arguments = asked["arguments"]
        sys.argv, sys.orig_argv = [module, *arguments], [sys.executable, "-m", module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = _status(error.code)
    except BaseException:  # as the interpreter does: whatever it is, it is shown
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
