"""A SLURM cluster made of this machine: the real daemons of Debian's packages, as root, without systemd.

Every node is a slurmd with a port of its own on the loopback device. All that the cluster writes is in one folder, and
what it started is stopped by process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
_COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")

_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# how long a credential is good for, and how long a requeued job has to wait
AuthInfo=socket={folder}/munge/socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/pid/slurmctld
SlurmdPidFile={folder}/pid/%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
# the job's processes get SIGTERM, SIGKILL after KillWait, and the job goes back into the queue
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
KillWait=30
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# the nodes may have more CPUs and memory than this machine
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
ReturnToService=2
MinJobAge=600
MailProg=/bin/true
SlurmdTimeout=15
"""


class Cluster:
    """A cluster with the partitions that profiles/slurm names, and one more whose jobs preempt those on GPUs.

    Parameters
    ----------
    folder : Path
        Empty; all of the cluster is in it. Its path must be short, as a socket lies there.
    gpu_nodes, cpu_nodes : int
        Number of nodes; each of the former has one GPU (a device that is none: /dev/null under another name).
    cpus : int
        CPUs that each node claims to have.
    """

    def __init__(self, folder: Path, gpu_nodes: int = 2, cpu_nodes: int = 1, cpus: int = 2) -> None:
        self.folder = folder
        self.gpu_nodes = [f"gpu{i}" for i in range(gpu_nodes)]
        self.cpu_nodes = [f"cpu{i}" for i in range(cpu_nodes)]
        self._cpus = cpus
        self._conf = folder / "etc" / "slurm.conf"

    @property
    def nodes(self) -> list[str]:
        """Names of all nodes."""
        return self.gpu_nodes + self.cpu_nodes

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to speak to this cluster."""
        # SLURM_CONF alone is not enough: the plugin drops it inside of jobs, hence the wrappers on PATH
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"], _SBIN])
        return {**os.environ, "SLURM_CONF": str(self._conf), "PATH": path}

    def start(self) -> None:
        """Start all daemons and wait until every node is idle."""
        _check_can_run()
        self._write_files()
        munge = self.folder / "munge"
        self._daemon(
            "munged", f"--socket={munge}/socket", f"--key-file={munge}/key", f"--pid-file={self.folder}/pid/munged",
            f"--log-file={self.folder}/log/munged.log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        wait_for(lambda: self._succeeds("munge", "-S", f"{munge}/socket", "-n"), 20, "munged does not answer")
        self._daemon("slurmctld", "-i", "-f", self._conf)
        wait_for(lambda: "is UP" in self.call("scontrol", "ping", check=False), 30, "slurmctld does not answer")
        for node in self.nodes:
            self.start_node(node)
        wait_for(self._all_idle, 60, "not all nodes are idle")

    def stop(self) -> None:
        """Cancel all jobs, and stop every process that this cluster has started."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "--user=root", timeout=20)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not self.call("squeue", "--noheader", check=False), 15, "jobs are left")
        for name in [*self.nodes, "slurmctld"]:
            _end(self._process(name))
        for step in self._steps(*self.nodes):
            kill_tree(step)
        _end(self._process("munged"))

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node, on an empty spool folder."""
        # a job's old folder in there would hold the same job up when it is requeued
        shutil.rmtree(self.folder / "spool" / node, ignore_errors=True)
        (self.folder / "spool" / node).mkdir(parents=True)
        self._daemon("slurmd", "-N", node, "-f", self._conf)

    def kill_slurmd(self, node: str) -> None:
        """End the slurmd of a node with SIGKILL: SLURM takes the node for dead, but what runs on it goes on."""
        process = self._process(node)
        assert process, f"no slurmd of {node} runs"
        process.kill()
        wait_for(lambda: not process.is_running(), 10, "slurmd lives on")

    def crash(self, node: str) -> None:
        """End the slurmd of a node and all that runs there with SIGKILL, as when its power fails."""
        self.kill_slurmd(node)
        for step in self._steps(node):
            kill_tree(step)

    def call(self, *command: object, check: bool = True, timeout: float = 60) -> str:
        """Run a command of SLURM and give what it prints."""
        result = subprocess.run(
            list(map(str, command)), env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and result.returncode:
            raise subprocess.SubprocessError(f"{' '.join(map(str, command))}: {result.stderr}")
        return result.stdout.strip()

    def logs(self) -> str:
        """Give the last lines of all daemons' logs."""
        files = sorted((self.folder / "log").iterdir())
        return "\n".join(f"== {file.name}\n" + "\n".join(file.read_text().splitlines()[-15:]) for file in files)

    def _write_files(self) -> None:
        self.folder.chmod(0o755)  # or munged does not trust its socket in there
        for name in ("bin", "etc", "munge", "pid", "log", "state", "dev"):
            (self.folder / name).mkdir(mode=0o755, parents=True)
        key = self.folder / "munge" / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        for command in _COMMANDS:
            wrapper = self.folder / "bin" / command
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self._conf} exec /usr/bin/{command} "$@"\n')
            wrapper.chmod(0o755)
        host, ports = socket.gethostname().split(".")[0], _free_ports(1 + len(self.nodes))
        lines, gpus = [_CONF.format(host=host, folder=self.folder, port=ports.pop())], []
        for node in self.nodes:
            gres = ""
            if node in self.gpu_nodes:
                device = self.folder / "dev" / node
                # it has to be a device, or SLURM does not set CUDA_VISIBLE_DEVICES; this one is /dev/null
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
                gpus.append(f"NodeName={node} Name=gpu File={device}\n")
                gres = ",a100 Gres=gpu:1"
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports.pop()} CPUs={self._cpus} "
                f"RealMemory=64000 Feature=avx512{gres}\n"
            )
        on_gpus, on_cpus = ",".join(self.gpu_nodes), ",".join(self.cpu_nodes)
        lines += [
            f"PartitionName=cpu Nodes={on_cpus} Default=YES MaxTime=12:00:00\n",
            f"PartitionName=gpu Nodes={on_gpus} MaxTime=12:00:00 PriorityTier=1\n",
            f"PartitionName=urgent Nodes={on_gpus} MaxTime=12:00:00 PriorityTier=2 PreemptMode=OFF\n",
        ]
        self._conf.write_text("".join(lines))
        (self.folder / "etc" / "gres.conf").write_text("".join(gpus))

    def _daemon(self, *command: object) -> None:
        with (self.folder / "log" / "start.log").open("a") as log:
            subprocess.run(
                list(map(str, command)), cwd="/", env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, check=True, timeout=60,
            )  # fmt: skip

    def _process(self, name: str) -> psutil.Process | None:
        """Give the daemon whose process id is in a file, if it runs and is ours."""
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            process = psutil.Process(int((self.folder / "pid" / name).read_text()))
            if str(self.folder) in " ".join(process.cmdline()):
                return process
        return None

    def _steps(self, *nodes: str) -> list[psutil.Process]:
        """Give what runs jobs on some nodes: it outlives the nodes' slurmds, and holds their logs open."""
        logs = {str(self.folder / "log" / f"{node}.log") for node in nodes}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "slurmstepd" and logs & {file.path for file in process.open_files()}:
                    found.append(process)
        return found

    def _all_idle(self) -> bool:
        states = self.call("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).splitlines()
        return set(states) == {f"{node} idle" for node in self.nodes}

    def _succeeds(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0


def kill_tree(process: psutil.Process) -> None:
    """End a process and all that come from it with SIGKILL."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Wait until something is true.

    Raises
    ------
    TimeoutError
        If it is not by then.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:.0f} s: {otherwise}")
        time.sleep(0.2)


def _check_can_run() -> None:
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=_SBIN)]
    if missing:
        raise RuntimeError(f"no {', '.join(missing)}: run tests/cluster/install.sh")
    if os.geteuid() != 0:
        raise RuntimeError("a cluster of this machine needs root")


def _end(process: psutil.Process | None) -> None:
    if process:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                process.kill()


def _free_ports(number: int) -> list[int]:
    """Give ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
