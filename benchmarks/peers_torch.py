"""QuasarNET in PyTorch, for `peers.py`: as one would write it first, and as those who know PyTorch well would."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from peers_worker import (
    ADAM_EPSILON,
    BETA_1,
    BETA_2,
    CONVOLUTIONS,
    FIRST,
    KERNEL_WIDTH,
    LOG_EPSILON,
    MOMENTUM,
    NORM_EPSILON,
    OFFSET_SCALE,
    OFFSET_SHIFT,
    RATE,
    STRIDE,
    Inputs,
    Seconds,
    serve,
    timed,
)
from torch import Tensor, nn


@dataclass(frozen=True)
class Form:
    """How the network is computed.

    Parameters
    ----------
    channels_last : bool
        Convolutions of images of one row, with channels side by side in memory.
    tuned : bool
        ReLU in place, and Adam in one operation.
    compiled : bool
        Network and loss by `torch.compile`, with the fastest of the products of matrices it finds.
    """

    channels_last: bool = False
    tuned: bool = False
    compiled: bool = False


FORMS = {
    "eager": Form(),
    "eager, tuned": Form(tuned=True),
    "eager, tuned, channels last": Form(tuned=True, channels_last=True),
    "compiled": Form(tuned=True, compiled=True),
    "compiled, channels last": Form(tuned=True, compiled=True, channels_last=True),
}


class QuasarNet(nn.Module):
    """The network: (n, 443) -> (n, L * 2B) before the sigmoid."""

    def __init__(self, inputs: Inputs, form: Form) -> None:
        super().__init__()
        self._channels_last = form.channels_last
        filters = inputs.filters
        layers = []
        for i in range(CONVOLUTIONS):
            layers += [*_convolution(filters if i else 1, filters, form), nn.ReLU(inplace=form.tuned)]
        self.convolutions = nn.Sequential(*layers)
        self.common = nn.Linear(len(inputs.kernels["fc_common"]), filters, bias=False)
        self.norm = nn.BatchNorm1d(filters, **_NORM)
        self.heads = nn.Linear(filters, inputs.kernels["heads"].shape[1])
        self._take(inputs)
        if form.channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, flux: Tensor) -> Tensor:
        """Apply it."""
        x = self.convolutions(flux[:, None, None] if self._channels_last else flux[:, None])
        # bins first, as they lie in memory
        x = x.permute(0, 2, 3, 1).flatten(1) if self._channels_last else x.flatten(1)
        return self.heads(nn.functional.relu(self.norm(self.common(x)), inplace=True))

    @torch.no_grad()
    def _take(self, inputs: Inputs) -> None:
        """Take the weights that all programs start from."""
        kernels = {name: torch.from_numpy(kernel) for name, kernel in inputs.kernels.items()}
        for i in range(CONVOLUTIONS):
            weight = self.convolutions[3 * i].weight
            weight.copy_(kernels[f"conv_{i + 1}"].permute(2, 1, 0).reshape(weight.shape))
        common = kernels["fc_common"]
        if not self._channels_last:
            common = common.reshape(-1, inputs.filters, inputs.filters).transpose(0, 1).flatten(0, 1)
        self.common.weight.copy_(common.T)
        self.heads.weight.copy_(kernels["heads"].T)
        self.heads.bias.zero_()


_NORM = {"eps": NORM_EPSILON, "momentum": 1 - MOMENTUM}


def _convolution(channels: int, filters: int, form: Form) -> tuple[nn.Module, nn.Module]:
    """Convolution and normalisation, which takes a bias off again."""
    if form.channels_last:
        convolution = nn.Conv2d(channels, filters, (1, KERNEL_WIDTH), (1, STRIDE), bias=False)
        return convolution, nn.BatchNorm2d(filters, **_NORM)
    return nn.Conv1d(channels, filters, KERNEL_WIDTH, STRIDE, bias=False), nn.BatchNorm1d(filters, **_NORM)


def loss_of(logits: Tensor, box: Tensor, offset: Tensor, weight: Tensor, boxes: int) -> Tensor:
    """Sum the loss over lines and average it over spectra."""
    p, q = torch.sigmoid(logits.view(*box.shape, 2 * boxes)).split(boxes, -1)
    y = (box[..., None] == torch.arange(boxes)).float()
    filled, empty = y.sum(-1) + LOG_EPSILON, (1 - y).sum(-1) + LOG_EPSILON
    hits, misses = (y * _log(p)).sum(-1) / filled, ((1 - y) * _log(1 - p)).sum(-1) / empty
    offs = (y * (offset[..., None] - OFFSET_SCALE * q - OFFSET_SHIFT) ** 2).sum(-1) / filled
    return (weight * (offs - hits - misses)).sum(-1).mean()


def _log(values: Tensor) -> Tensor:
    return values.clamp(LOG_EPSILON, 1 - LOG_EPSILON).log()


class Training:
    """A training of one form."""

    def __init__(self, form: Form, inputs: Inputs) -> None:
        self._data = [torch.from_numpy(each) for each in (inputs.flux, inputs.box, inputs.offset, inputs.weight)]
        self._batches = torch.from_numpy(inputs.batches.astype(np.int64))
        network = QuasarNet(inputs, form)
        self._adam = torch.optim.Adam(network.parameters(), RATE, (BETA_1, BETA_2), fused=form.tuned or None)
        self._t = 0

        def loss(flux: Tensor, *targets: Tensor) -> Tensor:
            return loss_of(network(flux), *targets, inputs.boxes)

        self._loss: Callable[..., Tensor] = torch.compile(loss, mode="max-autotune") if form.compiled else loss

    def first_losses(self) -> Sequence[float]:
        """Take the first steps and return their losses."""
        return [loss.item() for loss in self._pass(self._batches[:FIRST])]

    def turn(self, passes: int) -> Seconds:
        """Take a step on each of the batches, so many times, and return the time it took."""
        return timed(lambda: [self._pass(self._batches) for _ in range(passes)])

    def _pass(self, batches: Tensor) -> list[Tensor]:
        return [self._step(rows) for rows in batches]

    def _step(self, rows: Tensor) -> Tensor:
        self._adam.zero_grad(set_to_none=True)
        self._t += 1
        # Keras adds epsilon before v is corrected, PyTorch after it
        self._adam.param_groups[0]["eps"] = ADAM_EPSILON / math.sqrt(1 - BETA_2**self._t)
        loss = self._loss(*(array[rows] for array in self._data))
        loss.backward()
        self._adam.step()
        return loss.detach()


def build(form: str, inputs: Inputs) -> Training:
    """Build a form by its name."""
    torch.set_num_threads(1)
    # as TensorFlow does
    torch.set_flush_denormal(True)
    return Training(FORMS[form], inputs)


if __name__ == "__main__":
    serve(build)
