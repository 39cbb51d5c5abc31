"""Files from elsewhere, looked through before anything is read: what leads out of them, or claims too much, is refused.

HDF5 can point to other files by external and soft links, virtual data sets and external storage. Whoever follows these
hands the bytes of any local file on (as in CVE-2026-1669, for Keras). And a few bytes can claim arrays of any size.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

LARGEST = 2**30
"""Bytes of all arrays of a file, unpacked: a hundred times the published network."""

MOST = 100_000
"""Groups and arrays of a file, and units, filters and so on of a layer."""

_SIZES = ("units", "filters", "kernel_size", "batch_shape", "batch_input_shape", "input_dim", "output_dim")
"""Settings of layers of Keras that arrays have the size of."""


def check_network(file: h5py.File, path: str | Path) -> None:
    """Refuse a file that leads out of itself, or holds more than a network can.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : str or Path
        For messages.

    Raises
    ------
    ValueError
        With the item, what it is, and what was expected.
    """
    total = 0
    for number, item in enumerate(_items(file, path)):
        if number >= MOST:
            raise ValueError(f"{path}: has more than {MOST:,} groups and arrays, expected a network")
        if isinstance(item, h5py.Dataset):
            # of a claim alone: nothing is read
            total += item.nbytes
            if total > LARGEST:
                raise ValueError(
                    f"{path}: {item.name} has shape {item.shape}, and the arrays up to it {total:,} bytes, "
                    f"expected at most {LARGEST:,}"
                )


def check_links(path: str | Path) -> None:
    """Refuse an HDF5 file that leads out of itself.

    Raises
    ------
    ValueError
        With the item, what it is, and what was expected.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path}: cannot be read, expected an HDF5 file ({error})") from error
    with file:
        for _ in _items(file, path):
            pass


def _items(file: h5py.File, path: str | Path) -> Iterator[Any]:
    """Yield every item once, however many names it has: groups may contain themselves."""
    groups, seen = [file["/"]], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "a link" if isinstance(link, h5py.SoftLink) else f"a link into {link.filename},"
                raise ValueError(f"{path}: {group.name.rstrip('/')}/{name} is {kind} to {link.path}, expected none")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place not in seen:
                seen.add(place)
                if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
                    what = "a virtual data set" if item.is_virtual else "stored in another file"
                    raise ValueError(f"{path}: {item.name} is {what}, expected an array that lies in this file")
                yield item
                if isinstance(item, h5py.Group):
                    groups.append(item)


def check_keras(path: str | Path) -> None:
    """Refuse a Keras file whose weights lead out of it, or whose members or layers are larger than any network's.

    Raises
    ------
    ValueError
        With the member or the layer, what was found and what was expected.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
            if size > LARGEST:
                raise ValueError(f"{path}: unpacks to {size:,} bytes, expected at most {LARGEST:,}")
            _check_layers(json.loads(archive.read("config.json")), path)
            for name in archive.namelist():
                if name.endswith(".h5"):
                    with h5py.File(io.BytesIO(archive.read(name)), "r") as file:
                        check_network(file, f"{path}: {name}")
    except (KeyError, OSError, RecursionError, UnicodeDecodeError, json.JSONDecodeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read, expected a Keras file ({error})") from error


def _check_layers(config: Any, path: str | Path) -> None:
    rest = [config]
    while rest:
        each = rest.pop()
        if isinstance(each, list):
            rest += each
        elif isinstance(each, dict):
            for key in _SIZES:
                for value in each[key] if isinstance(each.get(key), list) else [each.get(key)]:
                    if isinstance(value, (int, float)) and value > MOST:
                        raise ValueError(f"{path}: a layer has {key} {each[key]}, expected at most {MOST:,}")
            rest += each.values()
