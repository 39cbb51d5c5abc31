"""A task file of a few lines, and a study of it: what runs anywhere has to run it."""

from pathlib import Path

import yaml

TASK = """
import keras
import numpy as np

EXAMPLE = "point"


def examples(seed):
    x = np.random.default_rng(seed).normal(size=(200, 3))
    return {"inputs": x, "targets": x.sum(axis=1)}


def model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])


def loss(targets, outputs):
    return keras.ops.square(outputs[:, 0] - targets)


def measure(targets, outputs):
    return {"distance": np.abs(outputs[:, 0] - targets)}


def draw(axes, inputs, target, output):
    axes.plot(inputs)
    axes.set_title(f"{target:.2f}, taken for {output[0]:.2f}")
"""


def write(folder: Path, name: str, epochs: int = 20, **changed) -> Path:
    """Write the task file and a study of it into a folder; return the study's file."""
    (folder / "mine.py").write_text(TASK)
    study = {
        "study": {"name": name},
        "task": "mine.py",
        "subsets": {"fractions": [0.8], "validation_fraction": 0.05, "test_fraction": 0.15},
        "training": {"epochs": epochs, "batch_size": 16},
        "optimizers": {"adam": {"class": "Adam", "learning_rate": 0.01}},
        **changed,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(study))
    return folder / f"{name}.yaml"
