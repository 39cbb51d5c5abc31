"""QuasarNET as a study knows it before anything is computed: its keys, its files, what a spectrum costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quasarcurves.quasarnet import start
from quasarcurves.quasarnet.cost import cost_of
from quasarcurves.quasarnet.settings import AUGMENTATION, WARM_START, NetworkSettings
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import GRIDS, LOGARITHMIC, grid_of
from quasarcurves.spectra.table import is_quasar, load_column
from quasarcurves.training.cost import Cost

_LOOKED_AT = 8192
"""Spectra of a source that are looked at for a second class, before any are prepared."""


class Declared:
    """QuasarNET: see `tasks.declared.Declared`."""

    name, settings, draws = "quasarnet", None, False
    example, examples = "spectrum", "spectra"
    scores = "purity and completeness"
    better: Mapping[str, str] = {}

    def complete(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of a study with the keys of each source of spectra."""
        return with_sources(schema, sources.schemas())

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse what a source of spectra cannot read, and a network that this one cannot start from."""
        sources.check(self.data(config, seed=0))
        start.check(NetworkSettings.from_json(config["network"]))
        _check_augment(config)

    def network(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `network` block, with the hash of the file to start from."""
        network = dict(config["network"])
        if "start" in network:
            network["start"] = asdict(start.start_of(network["start"]))
        return network

    def training_modules(self, network: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the modules that read the file to start from and vary spectra, if the runs need them."""
        by_key = {"start": WARM_START, "augment": AUGMENTATION}
        return tuple(module for key, module in by_key.items() if key in network)

    def data(self, config: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the `data` block as a source reads it: on the network's grid.

        A source that draws spectra has the study's seed unless it has its own.
        """
        data = dict(config["data"])
        if "seed" in sources.schemas()[data["source"]]["properties"]:
            data.setdefault("seed", seed)
        grid = GRIDS[config["network"]["grid"]]
        if grid != LOGARITHMIC:
            data["grid"] = grid.to_json()
        return data

    def files(self, data: Mapping[str, Any]) -> list[Path]:
        """Return the files that the spectra are read from; none for simulated spectra."""
        return sources.input_files(data)

    def data_modules(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the module that reads or makes the spectra."""
        return (f"{sources.__name__}.{data['source']}",)

    def known_examples(self, data: Mapping[str, Any]) -> int | None:
        """Return the number of spectra where the study says it."""
        return data.get("n_spectra")

    def count(self, prepared: Path, data: Mapping[str, Any], source_bytes: int) -> int:
        """Return the number of prepared spectra from the size of their file; before there is one, a rough guess."""
        try:
            return round(prepared.stat().st_size / (4 * grid_of(data).n))
        except FileNotFoundError:
            return round(source_bytes / sources.bytes_per_spectrum(data["source"]))

    def one_kind(self, prepared: Path, data: Mapping[str, Any]) -> str:
        """Say that quasars cannot be told from others, where all spectra are quasars or none is; see `only_class`."""
        only = only_class(prepared, data)
        return f"quasars from others, as {only}" if only else ""

    def cost(self, network: Mapping[str, Any], prepared: Path) -> Cost:
        """Return what a spectrum costs a network."""
        return cost_of(NetworkSettings.from_json(network))


def _check_augment(config: Mapping[str, Any]) -> None:
    """Refuse to vary spectra where what is asked of the training has to know them as they were read."""
    augment = config["network"].get("augment")
    if augment is None:
        return
    if augment.get("shift") and GRIDS[config["network"]["grid"]] != LOGARITHMIC:
        raise ValueError(
            f"network.augment.shift: expected the logarithmic grid, where a redshift moves all bins alike, found "
            f"{config['network']['grid']}"
        )
    if "replays" in config["diagnosis"]:
        raise ValueError("network.augment: expected no diagnosis.replays, which take spectra as they were read")


def only_class(prepared: Path, data: Mapping[str, Any]) -> str:
    """Say that all spectra are quasars, or none is; empty where there are both.

    All prepared spectra are looked at or, before they are prepared, the first ones of the source until both have come.
    """
    if prepared.exists():
        try:
            parts: Iterable[np.ndarray] = [is_quasar(load_column(prepared, "label"))]
        except (OSError, ValueError):
            return ""  # a damaged file is for the steps that read it to name
    else:
        parts = (chunk.is_quasar for chunk in sources.read_chunks(data))
    seen, quasars = 0, 0
    for part in parts:
        seen, quasars = seen + len(part), quasars + int(part.sum())
        if 0 < quasars < seen or seen >= _LOOKED_AT:
            break
    if not seen or 0 < quasars < seen:
        return ""
    which = "all of them" if prepared.exists() or seen < _LOOKED_AT else f"the first {seen:,} spectra"
    return f"{which} are quasars" if quasars else f"{which} are no quasars"


def with_sources(schema: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Complete the schema of a study by the keys that each source of spectra has in the `data` block.

    Parameters
    ----------
    schema : mapping
        As in config.schema.yaml, of which `data` has the key `source` alone.
    sources : mapping
        `required` and `properties` of the keys of each source, by its name.

    Returns
    -------
    dict
        The schema of the whole.
    """
    whole = deepcopy(dict(schema))
    data = whole["properties"]["data"]
    data["properties"]["source"] = {**data["properties"]["source"], "enum": list(sources)}
    data["allOf"] = [
        {
            "if": {"required": ["source"], "properties": {"source": {"const": name}}},
            "then": {
                "additionalProperties": False,
                "required": ["source", *keys["required"]],
                "properties": {"source": {"const": name}, **keys["properties"]},
            },
        }
        for name, keys in sources.items()
    ]
    return whole
