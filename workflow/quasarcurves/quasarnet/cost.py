"""What a spectrum costs QuasarNET: its arithmetic, and what was measured of it (see `study.resources`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.shapes import KERNEL, MANY_CHANNELS, STRIDE, bins_after
from quasarcurves.training.cost import Cost

_FLOPS, _SECONDS_PER_ACTIVATION = 9e10, 4.3e-9
"""Arithmetic per second in convolutions, and what batch normalisation and the like take for each number they treat."""

_TAPS = KERNEL // STRIDE
_POINTS, _OUTPUTS = 2 * (_TAPS - 1), _TAPS - 1
"""Of a convolution of many channels: see `quasarnet.toom_cook`."""

_SECONDS_PER_EVALUATED = 4e-9
"""What evaluating inputs and interpolating outputs takes for each number that is evaluated."""

_DROPOUT_SECONDS = 1e-8
"""Of drawing whether to drop one of these numbers."""

_FORWARD = 1 / 3
"""Share of a layer's time that its outputs take: the other two thirds are gradients of its inputs and its weights. A
frozen layer takes this share alone: with all four convolutions frozen, steps of 25 and 100 filters took 0.41 and 0.35
times as long (`benchmarks/training_use.csv`)."""


def cost_of(network: NetworkSettings) -> Cost:
    """Return what a spectrum costs a network."""
    return Cost(
        example_bytes=4 * network.wavelength_grid.n,
        activation_bytes=activation_bytes(network),
        seconds=spectrum_seconds(network),
        forward_seconds=spectrum_seconds(replace(network, frozen=0)) * _FORWARD,
        parameters=parameters(network),
        model_mb=0.3 * network.filters,
        output_bytes=8 * network.n_lines + 14,
        workspace_bytes=4 * sum(_evaluated(network)),
        versions=network.augment.copies if network.augment else 1,
    )


def spectrum_seconds(network: NetworkSettings) -> float:
    """Time of one spectrum in one training step, on one thread."""
    per_activation = _SECONDS_PER_ACTIVATION + (_DROPOUT_SECONDS if network.dropout else 0)
    bins = bins_after(network.layers, network.wavelength_grid.n)
    activations = network.filters * _with_gradients(bins, network.frozen)
    evaluated = _with_gradients(_evaluated(network), network.frozen)
    products = _products(network)
    if network.filters >= MANY_CHANNELS:
        convolutions = slice(1, network.layers)
        products[convolutions] = [each * _POINTS / (_OUTPUTS * _TAPS) for each in products[convolutions]]
    flops = 2 * _with_gradients(products, network.frozen) / _FORWARD
    return flops / _FLOPS + per_activation * activations + _SECONDS_PER_EVALUATED * evaluated


def activation_bytes(network: NetworkSettings) -> int:
    """Size of what the convolutions give for one spectrum."""
    return 4 * network.filters * sum(bins_after(network.layers, network.wavelength_grid.n))


def flops_per_spectrum(network: NetworkSettings) -> float:
    """Floating-point operations of one spectrum in one training step: forward, and twice that backward.

    Of convolutions as sums taken directly: those of many channels take fewer.
    """
    return 2 * _with_gradients(_products(network), network.frozen) / _FORWARD


def _products(network: NetworkSettings) -> list[float]:
    """Multiplications of each layer for the outputs of one spectrum."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    convolutions = [lengths[0] * KERNEL * filters, *(length * KERNEL * filters**2 for length in lengths[1:])]
    heads = filters * 2 * network.boxes * network.n_lines
    return [*convolutions, lengths[-1] * filters**2, heads]


def _evaluated(network: NetworkSettings) -> list[int]:
    """Numbers that each convolution evaluates of one spectrum."""
    if network.filters < MANY_CHANNELS:
        return [0] * network.layers
    lengths = bins_after(network.layers, network.wavelength_grid.n)
    return [0, *(_POINTS * STRIDE * network.filters * -(-length // _OUTPUTS) for length in lengths[1:])]


def _with_gradients(by_layer: Sequence[float], frozen: int) -> float:
    """Add up what layers take in a step, the first of which are frozen, in units of a layer that is not."""
    return _FORWARD * sum(by_layer[:frozen]) + sum(by_layer[frozen:])


def parameters(network: NetworkSettings) -> int:
    """Return the number of weights of a network, with the running statistics of its normalisation."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    convolutions = 10 * filters + (len(lengths) - 1) * 10 * filters**2 + len(lengths) * filters
    normalisation = 4 * filters * (len(lengths) + 1)
    dense = lengths[-1] * filters**2 + filters
    heads = 2 * network.n_lines * network.boxes * (filters + 1)
    return convolutions + normalisation + dense + heads
