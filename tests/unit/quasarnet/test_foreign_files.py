"""Files of strangers: nothing is followed out of them, and nothing that they claim is believed."""

import json
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

from quasarcurves.quasarnet import foreign_files
from quasarcurves.quasarnet.export import to_quasarnp
from quasarcurves.quasarnet.model_files import save_keras
from quasarcurves.quasarnet.network import build
from quasarcurves.quasarnet.trained_network import Trained

SECRET = np.arange(25.0, dtype=np.float32)
PLACE = "model_weights/fc_common/fc_common/bias:0"


def external_link(file, secret):
    del file[PLACE]
    file[PLACE] = h5py.ExternalLink(str(secret), "secret")


def soft_link(file, secret):
    del file[PLACE]
    file[PLACE] = h5py.SoftLink("/model_grid")


def virtual(file, secret):
    layout = h5py.VirtualLayout((25,), np.float32)
    layout[:] = h5py.VirtualSource(secret, "secret", (25,))
    del file[PLACE]
    file.create_virtual_dataset(PLACE, layout)


def external_storage(file, secret):
    del file[PLACE]
    file.create_dataset(PLACE, (25,), np.float32, external=[(str(secret), 0, 100)])


def claim(file, secret):
    del file[PLACE]
    file.create_dataset(PLACE, (10**10,), np.float32, chunks=(1024,))


def many_items(file, secret):
    file.create_group("many")
    for number in range(60):
        file["many"].create_group(str(number))


def damaged(path, damage, secret):
    with h5py.File(path, "r+") as file:
        damage(file, secret)


@pytest.fixture
def network_file(tmp_path):
    to_quasarnp(build(filters=25), tmp_path / "network.h5")
    return tmp_path / "network.h5"


@pytest.fixture
def secret(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = SECRET
    return tmp_path / "secret.h5"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            external_link,
            r"network\.h5: /model_weights/fc_common/fc_common/bias:0 is a link into .*secret\.h5, to secret",
        ),
        (soft_link, r"bias:0 is a link to /model_grid, expected none"),
        (virtual, r"bias:0 is a virtual data set, expected an array that lies in this file"),
        (external_storage, r"bias:0 is stored in another file"),
        (claim, r"bias:0 has shape \(10000000000,\), and the arrays up to it .* expected at most 1,073,741,824"),
    ],
)
def test_files_that_lead_elsewhere_or_claim_too_much_are_refused_at_once(network_file, secret, damage, message):
    damaged(network_file, damage, secret)
    with pytest.raises(ValueError, match=message):
        Trained.load(network_file)


def test_groups_that_contain_themselves_end(network_file, secret):
    with h5py.File(network_file, "r+") as file:
        file["model_weights/fc_common/again"] = file["model_weights"]
        foreign_files.check_network(file, network_file)


def test_so_many_items_are_no_network(network_file, monkeypatch):
    with h5py.File(network_file) as file:
        monkeypatch.setattr(foreign_files, "MOST", len(list(foreign_files._items(file, network_file))))
    Trained.load(network_file)
    damaged(network_file, many_items, None)
    with pytest.raises(ValueError, match=f"more than {foreign_files.MOST} groups and arrays"):
        Trained.load(network_file)


ABOUT = {"lines": ["LYA"], "bal_lines": []}


@pytest.fixture
def keras_file(tmp_path):
    save_keras(build(filters=4, n_lines=1), tmp_path / "model.keras", ABOUT)
    return tmp_path / "model.keras"


def rewrite(path, **changed):
    """Replace members of a Keras file by what functions of their bytes return."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, changed[name.split(".")[0]](content) if name.split(".")[0] in changed else content)


def with_external_link(content, path, secret):
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        del file[names[0]]
        file[names[0]] = h5py.ExternalLink(str(secret), "secret")
    return path.read_bytes()


def test_weights_of_a_keras_file_lead_nowhere_either(keras_file, tmp_path, secret):
    assert Trained.load(keras_file).lines == ["LYA"]
    rewrite(keras_file, model=lambda content: with_external_link(content, tmp_path / "w.h5", secret))
    with pytest.raises(ValueError, match=r"model\.keras: model\.weights\.h5: .* is a link into .*secret\.h5"):
        Trained.load(keras_file)


@pytest.mark.parametrize("key", ["filters", "units"])
def test_a_keras_file_that_claims_large_layers_is_refused_before_they_are_made(keras_file, key):
    def enlarge(content):
        config = json.loads(content)
        layer = next(each for each in config["config"]["layers"] if key in each["config"])
        layer["config"][key] = 10**8
        return json.dumps(config).encode()

    rewrite(keras_file, config=enlarge)
    start = time.monotonic()
    with pytest.raises(ValueError, match=rf"model\.keras: a layer has {key} 100000000, expected at most 100,000"):
        Trained.load(keras_file)
    assert time.monotonic() - start < 10  # building it would take minutes, or all memory


def test_a_keras_file_that_unpacks_to_more_than_a_network_is_refused(keras_file, monkeypatch):
    monkeypatch.setattr(foreign_files, "LARGEST", 2**20)
    rewrite(keras_file, metadata=lambda content: content + b" " * 2**21)
    with pytest.raises(ValueError, match=r"model\.keras: unpacks to .* bytes, expected at most 1,048,576"):
        Trained.load(keras_file)


@pytest.mark.parametrize("config", [b"[" * 100_000, b"{", b"\xff"])
def test_a_keras_file_whose_settings_are_no_json_is_refused(keras_file, config):
    rewrite(keras_file, config=lambda content: config)
    with pytest.raises(ValueError, match=r"model\.keras: cannot be read, expected a Keras file"):
        Trained.load(keras_file)


def test_whether_offsets_are_rescaled_is_part_of_a_network_s_name():
    plain, rescaled = build(filters=4, rescale_offsets=False), build(filters=4)
    rescaled.set_weights(plain.get_weights())
    names = {Trained(model, *_LINES).id for model in (plain, rescaled)}
    assert len(names) == 2


_LINES = (["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"], ["CIV(1548)"])


def test_keras_is_what_it_is_called():
    """Files in safe mode are safe from this version on (advisories of Keras, 2024 to 2026)."""
    assert tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 12)
