"""What is in the image, what is not, and who runs in it."""

import json
import re

import pytest
from containers import IMAGE, ROOT

pytestmark = pytest.mark.image

LARGEST = 2.3e9


@pytest.fixture(scope="module")
def about(image):
    """Give what the image says of itself."""
    return json.loads(image.containers.podman("image", "inspect", IMAGE).stdout)[0]


def test_size(about, image):
    unpacked = 1024 * int(image.sh("du -skx / 2>/dev/null | cut -f1"))
    print(f"{about['Size'] / 1e9:.2f} GB in layers, {unpacked / 1e9:.2f} GB unpacked")
    assert about["Size"] < LARGEST
    assert unpacked < LARGEST
    # what one layer adds and another takes away is still there for who loads the image
    assert about["Size"] < 1.1 * unpacked


def test_the_page_says_what_takes_the_room(image):
    rows = re.findall(r"^\| .*?\| `(/[^`]*)` \| (\d+) \|$", (ROOT / "docs" / "container.md").read_text(), re.MULTILINE)
    assert len(rows) > 5
    for path, megabytes in rows:
        measured = int(image.sh(f"du -skxc {path} | tail -n 1 | cut -f1")) * 1024 / 1e6
        assert int(megabytes) == pytest.approx(measured, rel=0.1, abs=3), path


def test_its_user_is_not_root(about, image):
    assert about["User"] == "1000"
    assert image.sh("id -u").strip() == "1000"


def test_labels_and_no_health_check(about):
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in about["Labels"].items()}
    assert labels["title"] == "quasarcurves"
    assert labels["licenses"] == "MIT"
    assert len(labels["description"]) > 20
    assert about["Healthcheck"]["Test"] == ["NONE"]
    assert about["Config"]["WorkingDir"] == "/work"


def test_no_compiler_no_installer_and_no_cache(image):
    tools = "gcc g++ cc c++ clang ld as make pip pip3 git curl wget"
    assert image.sh(f"for tool in {tools}; do command -v $tool || true; done") == ""
    assert image.sh("python -m pip 2>&1 || true").strip().endswith("No module named pip")
    caches = "/root/.cache /tmp /var/cache/apt /var/lib/apt/lists"
    assert image.sh(f"for folder in {caches}; do [ ! -e $folder ] || find $folder -type f 2>/dev/null; done") == ""


def test_only_root_can_change_what_is_installed(image):
    writable = image.sh(
        "find / -xdev -type d -perm -o=w ! -path '/proc/*' ! -path '/dev/*' 2>/dev/null || true"
    ).split()
    assert set(writable) <= {"/tmp", "/var/tmp", "/work", "/run/lock", "/dev/shm"}


def test_packages_are_those_of_the_lock(image):
    ask = "from importlib.metadata import distributions; [print(each.name, each.version) for each in distributions()]"
    pairs = [line.split() for line in image.sh(f"python -c '{ask}'").splitlines()]
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}
    lock = dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;]+)", (ROOT / "requirements" / "cpu.txt").read_text(), re.MULTILINE))
    assert len(installed) > 80
    assert installed.items() <= lock.items()


def test_the_bill_of_materials_has_every_package(image):
    bill = json.loads(image.sh("cat /opt/bom.json"))
    names = {each["purl"].partition("@")[0] for each in bill["components"]}
    assert {"pkg:pypi/tensorflow-cpu", "pkg:pypi/snakemake", "pkg:deb/debian/libc6", "pkg:deb/debian/python3"} <= names
    ask = "from importlib.metadata import distributions; print(len({each.name for each in distributions()}))"
    assert sum(each.startswith("pkg:pypi/") for each in names) == int(image.sh(f"python -c '{ask}'"))


def test_every_module_of_the_library_can_be_imported(image):
    """What was taken out is missed by none; JAX was never in, and a study that asks for it is refused."""
    modules = [".".join(path.relative_to(ROOT / "workflow").with_suffix("").parts)
               for path in (ROOT / "workflow" / "quasarcurves").rglob("*.py")
               if path.parts[-2:] not in (("backends", "jax.py"), ("backends", "packed.py"))]  # fmt: skip
    assert len(modules) > 60
    names = ", ".join(name.removesuffix(".__init__") for name in sorted(modules) if not name.endswith("__main__"))
    assert image.sh(f"python -c 'import {names}; import snakemake.cli; print(1)'").strip().endswith("1")


def test_the_library_is_a_command_as_well(image):
    assert "classify spectra" in image.sh("quasarcurves --help")
