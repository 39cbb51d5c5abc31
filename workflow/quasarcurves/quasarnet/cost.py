"""What a spectrum costs QuasarNET: its arithmetic, and what was measured of it (see `study.resources`)."""

from __future__ import annotations

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.grid import N_BINS
from quasarcurves.training.cost import Cost

_KERNEL, _STRIDE = 10, 2

_FLOPS, _SECONDS_PER_ACTIVATION = 9e10, 7e-9
"""Arithmetic per second in convolutions, and what batch normalisation and the like take for each number they treat."""

_DROPOUT_SECONDS = 1e-8
"""Of drawing whether to drop one of these numbers."""


def cost_of(network: NetworkSettings) -> Cost:
    """Return what a spectrum costs a network."""
    return Cost(
        example_bytes=4 * network.wavelength_grid.n * (network.augment.copies if network.augment else 1),
        activation_bytes=activation_bytes(network),
        seconds=spectrum_seconds(network),
        parameters=parameters(network),
        model_mb=0.3 * network.filters,
        output_bytes=8 * network.n_lines + 14,
    )


def spectrum_seconds(network: NetworkSettings) -> float:
    """Time of one spectrum in one training step, on one thread."""
    per_activation = _SECONDS_PER_ACTIVATION + (_DROPOUT_SECONDS if network.dropout else 0)
    return flops_per_spectrum(network) / _FLOPS + per_activation * activation_bytes(network) / 4


def activation_bytes(network: NetworkSettings) -> int:
    """Size of what the convolutions give for one spectrum."""
    return 4 * network.filters * sum(bins_after(network.layers, network.wavelength_grid.n))


def bins_after(layers: int, bins: int = N_BINS) -> list[int]:
    """Bins left by each convolution."""
    lengths = [bins]
    for _ in range(layers):
        lengths.append(-(-lengths[-1] // _STRIDE) if layers > 4 else (lengths[-1] - _KERNEL) // _STRIDE + 1)
    return lengths[1:]


def kernel_shapes(network: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the kernels before the heads, by their layers."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    shapes = {f"conv_{i}": (_KERNEL, filters if i > 1 else 1, filters) for i in range(1, network.layers + 1)}
    return {**shapes, "fc_common": (lengths[-1] * filters, filters)}


def flops_per_spectrum(network: NetworkSettings) -> float:
    """Floating-point operations of one spectrum in one training step: forward, and twice that backward."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    products = lengths[0] * _KERNEL * filters + sum(lengths[1:]) * _KERNEL * filters**2
    heads = 2 * network.boxes * network.n_lines
    return 3 * 2 * (products + lengths[-1] * filters**2 + filters * heads)


def parameters(network: NetworkSettings) -> int:
    """Return the number of weights of a network, with the running statistics of its normalisation."""
    filters, lengths = network.filters, bins_after(network.layers, network.wavelength_grid.n)
    convolutions = 10 * filters + (len(lengths) - 1) * 10 * filters**2 + len(lengths) * filters
    normalisation = 4 * filters * (len(lengths) + 1)
    dense = lengths[-1] * filters**2 + filters
    heads = 2 * network.n_lines * network.boxes * (filters + 1)
    return convolutions + normalisation + dense + heads
