"""Containers on a bare machine: no daemon, no registry, images in the user's cache folder."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "docker.io/library/debian:bookworm-slim"
IMAGE = "localhost/quasarcurves"

USER, GROUP = 12345, 54321
"""A user and a group that no image and no machine knows."""

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""

# crun fails where both versions of cgroups are mounted; there may be no journald and no systemd
_CONTAINERS = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
netns = "none"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
"""

# where the machine's pip gets its packages is the machine's affair, and so is whom it trusts
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "timeout")
_CA_IN_BUILD = "/run/ca-certificates.crt"


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    """Run a command; its output is in `stdout`, errors included."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
    return subprocess.run([str(word) for word in command], check=False, **given)


def checked(*command: object, **options: object) -> str:
    """Run a command that must succeed; give its output."""
    result = run(*command, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}"
    return result.stdout


def page_commands(page: str, language: str = "sh") -> list[str]:
    """Give the commands of a page of the documentation, lines that go on joined."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


@dataclass(frozen=True)
class Containers:
    """Buildah and podman, with their images in a folder of the project.

    Parameters
    ----------
    folder : Path
        Settings and images; kept, so that the next call finds the layers of this one.
    """

    folder: Path

    @classmethod
    def in_cache(cls) -> Containers:
        """Give those of the user's cache folder."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "quasarcurves" / "containers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        (folder / "containers.conf").write_text(_CONTAINERS)
        (folder / "pip.conf").write_text(_pip_settings())
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that buildah and podman need."""
        settings = {"CONTAINERS_STORAGE_CONF": "storage.conf", "CONTAINERS_CONF": "containers.conf"}
        return {**os.environ, **{name: str(self.folder / file) for name, file in settings.items()}}

    def podman(self, *arguments: object, **options: object) -> subprocess.CompletedProcess:
        """Call podman; its output is in `stdout`."""
        return run("podman", *arguments, env=self.environment, **options)

    def study(
        self, folder: Path, *arguments: object, options: tuple[object, ...] = (), timeout: float = 900
    ) -> subprocess.CompletedProcess:
        """Run the image with a folder as its /work, without network."""
        at = ("run", "--rm", "--no-healthcheck", "--network", "none", "--volume", f"{folder}:/work")
        return self.podman(*at, *options, IMAGE, *arguments, timeout=timeout)

    def build(self, context: Path = ROOT, *options: object, tag: str = IMAGE) -> str:
        """Build the image; give what was said. Layers of earlier builds are used again."""
        return checked(*self.build_command, *options, "--tag", tag, context, env=self.environment, timeout=1800)

    @property
    def build_command(self) -> list[str]:
        """What stands for `docker build`: with a network, the machine's settings of pip, and no registry."""
        volumes = ["--volume", f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro"]
        if _certificates():
            volumes += ["--volume", f"{_certificates()}:{_CA_IN_BUILD}:ro"]
        how = ["--layers", "--format", "docker", "--isolation", "chroot", "--pull-never", "--network", "host"]
        return ["buildah", "bud", *how, *volumes]

    def ensure_base(self) -> None:
        """Make a stand-in for the published base image, of Debian's packages, where there is none yet."""
        if self.podman("image", "exists", BASE).returncode == 0:
            return
        root = self.folder / "base"
        shutil.rmtree(root, ignore_errors=True)
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        debootstrap = ("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root)
        checked(*debootstrap, env={**os.environ, "PATH": path}, timeout=900)
        for unneeded in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / unneeded)
        (root / "etc" / "hostname").unlink(missing_ok=True)
        (root / "etc" / "resolv.conf").write_text("")
        archive = self.folder / "base.tar"
        checked("tar", "--numeric-owner", "--directory", root, "--create", "--file", archive, ".")
        shutil.rmtree(root)
        result = self.podman("import", "--quiet", "--change", 'CMD ["bash"]', archive, BASE)
        archive.unlink()
        assert result.returncode == 0, result.stdout

    def release(self) -> None:
        """Take away what a failed build has left, and unmount what the storage has mounted."""
        run("buildah", "rm", "--all", env=self.environment)
        run("podman", "image", "prune", "--force", env=self.environment)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if Path(mount).is_relative_to(self.folder)]):
            run("umount", mount)


def _certificates() -> str | None:
    return os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")


def _pip_settings() -> str:
    """The machine's settings of pip that hold inside of a build, as a file."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["global"] = {"cert": _CA_IN_BUILD} if _certificates() else {}
    for line in checked(sys.executable, "-m", "pip", "config", "list", stderr=subprocess.DEVNULL).splitlines():
        name, _, value = line.partition("=")
        key, words = name.split(".")[-1], value.strip("'\"").split()
        reached = [word for word in words if not word.startswith(("file:", "/"))]
        if key in _PIP_KEYS and reached:
            settings["global"][key] = " ".join(reached)
    return "\n".join(["[global]", *(f"{key} = {value}" for key, value in settings["global"].items()), ""])
