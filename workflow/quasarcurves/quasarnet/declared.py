"""QuasarNET as a study knows it before anything is computed: its keys, its files, what a spectrum costs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from quasarcurves.quasarnet.cost import cost_of
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra import sources
from quasarcurves.spectra.grid import N_BINS
from quasarcurves.training.cost import Cost

_SPECTRUM_BYTES = 4 * N_BINS


class Declared:
    """QuasarNET: see `tasks.declared.Declared`."""

    name, settings = "quasarnet", None
    example, examples = "spectrum", "spectra"
    better: Mapping[str, str] = {}

    def complete(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of a study with the keys of each source of spectra."""
        return with_sources(schema, sources.schemas())

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse what a source of spectra cannot read."""
        sources.check(config["data"])

    def data(self, data: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the `data` block as a source reads it; one that draws spectra has the study's seed unless its own."""
        data = dict(data)
        if "seed" in sources.schemas()[data["source"]]["properties"]:
            data.setdefault("seed", seed)
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
            return round(prepared.stat().st_size / _SPECTRUM_BYTES)
        except FileNotFoundError:
            return round(source_bytes / sources.bytes_per_spectrum(data["source"]))

    def cost(self, network: Mapping[str, Any], prepared: Path) -> Cost:
        """Return what a spectrum costs a network."""
        return cost_of(NetworkSettings.from_json(network))


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
