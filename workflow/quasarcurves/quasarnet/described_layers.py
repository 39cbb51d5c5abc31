"""What a file says of a QuasarNET's layers, as Keras writes it in JSON; nothing of it is run.

The layers are known by the names of QuasarNET's training script. From the spectrum to the heads they have to be those
of `network.build`, one after another: whatever else stood between them would change what the weights compute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.objective import OFFSET_SCALE, OFFSET_SHIFT

EPSILON = 1e-3
"""Of the normalisations."""

_RESCALING = ("Lambda", "Rescaling")
"""Classes of layers that rescale offsets: QuasarNET's own is a Lambda of pickled code, which is not run."""

_ACTIVATION: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "relu"},
    "ReLU": {"max_value": None, "negative_slope": 0, "threshold": 0},
}
_PLAIN: dict[str, Any] = {"activation": "linear", "use_bias": True}


@dataclass(frozen=True)
class Described:
    """The layers of a file.

    Parameters
    ----------
    layers : mapping of str to mapping
        By name: the settings of each, with `class_name` and `inputs`, the names of the layers that it takes.
    place : str
        Where that stands, for messages.
    """

    layers: Mapping[str, Mapping[str, Any]]
    place: str

    @classmethod
    def read(cls, text: Any, place: str) -> Described:
        """Read the JSON of a model.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            layers = json.loads(text)["config"]["layers"]
            names = [layer["config"]["name"] for layer in layers]
            about = [
                {"class_name": layer.get("class_name"), "inputs": _inputs(layer.get("inbound_nodes"), names)}
                for layer in layers
            ]
            settings = [{**layer["config"], **known} for layer, known in zip(layers, about, strict=True)]
            return cls(dict(zip(names, settings, strict=True)), place)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{place} cannot be read, expected JSON of its layers ({error!r})") from error

    @property
    def dropout(self) -> float:
        """Share that the first dropout layer drops; 0 without one."""
        return next((each["rate"] for each in self.layers.values() if each["class_name"] == "Dropout"), 0.0)

    def rescales_offsets(self, n_lines: int) -> bool:
        """Return whether the offsets are rescaled.

        Raises
        ------
        ValueError
            If only some are, or in another way.
        """
        found: set[str] = set()
        for name, layer in self.layers.items():
            if layer["class_name"] in _RESCALING:
                found |= {each for each in layer["inputs"] if each.startswith("fc_offset_")}
                scale = layer.get("scale", OFFSET_SCALE), layer.get("offset", OFFSET_SHIFT)
                if scale != (OFFSET_SCALE, OFFSET_SHIFT):
                    expected = f"{OFFSET_SCALE} and {OFFSET_SHIFT}"
                    raise ValueError(f"{self.place}: {name} has scale and offset {scale}, expected {expected}")
        if len(found) not in (0, n_lines):
            raise ValueError(f"{self.place}: {len(found)} of {n_lines} offsets are rescaled, expected all or none")
        return bool(found)

    def check(self, convolutions: Sequence[str], norms: Sequence[str], n_lines: int) -> None:
        """Refuse layers that compute something else than `network.build` does with the same weights.

        Raises
        ------
        ValueError
            With the layer, what was found and what was expected.
        """
        n = len(convolutions)
        heads = [f"fc_{kind}_{k}" for kind in ("box", "offset") for k in range(n_lines)]
        for name in [*convolutions, *norms, "fc_common", *heads]:
            if name not in self.layers:
                raise ValueError(f"{self.place} has no layer {name}, expected a network of {n} convolutions")
        for name in heads:
            self._check_way(name, convolutions, norms)
        for name, wanted in self._wanted(convolutions, norms, heads):
            for key, value in wanted.items():
                found = self.layers[name].get(key, value)
                if found != value:
                    raise ValueError(
                        f"{self.place} says that {name} has {key} {found!r}, expected {value!r} "
                        f"in a network of {n} convolutions"
                    )

    def _wanted(
        self, convolutions: Sequence[str], norms: Sequence[str], heads: Sequence[str]
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        conv: dict[str, Any] = {
            **_PLAIN, "padding": network.padding_of(len(convolutions)), "strides": [network.STRIDE],
            "kernel_size": [network.KERNEL_WIDTH], "dilation_rate": [1], "groups": 1,
        }  # fmt: skip
        yield from ((name, conv) for name in convolutions)
        yield from ((name, {"epsilon": EPSILON, "center": True, "scale": True}) for name in norms)
        yield "fc_common", _PLAIN
        # their outputs are read as probabilities and as places in a box
        yield from ((name, {"activation": "sigmoid", "use_bias": True}) for name in heads)
        for name, layer in self.layers.items():
            yield name, _ACTIVATION.get(layer["class_name"], {})

    def _check_way(self, head: str, convolutions: Sequence[str], norms: Sequence[str]) -> None:
        """Refuse a head that other layers lead to than those of a QuasarNET, in their order."""
        found = [self._kind(name) for name in self._way(head) if self.layers[name]["class_name"] != "Dropout"]
        expected = ["InputLayer"]
        for conv, norm in zip(convolutions, norms[:-1], strict=True):
            expected += [conv, norm, "Activation"]
        expected += ["Flatten", "fc_common", norms[-1], "Activation", head]
        if found != expected:
            raise ValueError(f"{self.place}: to {head} lead {', '.join(found)}; expected {', '.join(expected)}")

    def _way(self, name: str) -> list[str]:
        """Return the layers from the input to this one; where one takes several, no further back."""
        way = [name]
        while len(inputs := self.layers[way[0]]["inputs"]) == 1 and inputs[0] not in way:
            way.insert(0, inputs[0])
        return way

    def _kind(self, name: str) -> str:
        """Return what a layer is in a QuasarNET: its class, or its name if it has weights."""
        kind = self.layers[name]["class_name"]
        if kind in _ACTIVATION:
            return "Activation"
        return name if kind in ("Conv1D", "Dense", "BatchNormalization") else str(kind)


def _inputs(nodes: Any, names: Sequence[str]) -> list[str]:
    """Return the names of the layers that a layer takes; Keras 2 and 3 write them differently."""
    known = set(names)
    return [each for each in re.findall(r'"([^"]*)"', json.dumps(nodes)) if each in known]
