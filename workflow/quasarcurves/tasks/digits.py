"""Handwritten digits: 1,797 images of 8 x 8 points, which scikit-learn brings, and a small convolutional network."""

import keras
import numpy as np
from keras import layers, ops

EXAMPLE, EXAMPLES = "digit", "digits"
BETTER = {"accuracy": "higher"}


def examples(wrong=0.0, seed=1):
    """The images with their digits; a share of the digits can be made wrong."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  (only preparing the examples needs it)

    found = load_digits()
    rng = np.random.default_rng(seed)
    changed = rng.random(len(found.target)) < wrong
    digits = np.where(changed, (found.target + rng.integers(1, 10, len(found.target))) % 10, found.target)
    return {"inputs": found.images[..., None] / 16, "targets": digits}


def model(filters=16):
    """Two convolutions and a score for each digit."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def loss(targets, outputs):
    """Cross-entropy of each image."""
    return keras.losses.sparse_categorical_crossentropy(ops.cast(targets, "int32"), outputs, from_logits=True)


def measure(targets, outputs):
    """Whether the highest score is that of the digit."""
    return {"accuracy": outputs.argmax(axis=1) == targets}


def draw(axes, inputs, target, output):
    """Draw an image with its digit and what it was taken for."""
    axes.imshow(inputs[..., 0], cmap="gray_r")
    axes.set_axis_off()
    axes.set_title(f"{target}, taken for {np.argmax(output)}")
