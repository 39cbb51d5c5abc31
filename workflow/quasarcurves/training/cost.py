"""What an example costs a training: what the memory and time of a study are estimated from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What an example and a model cost.

    Parameters
    ----------
    example_bytes : int
        Of an example as it is prepared.
    activation_bytes : int
        Of what the model's layers give for an example.
    seconds : float
        Time of one example in one training step, on one thread.
    forward_seconds : float
        Of these, what computing its outputs takes.
    parameters : int
        Weights of the model.
    model_mb : float
        Memory of model and optimizer.
    output_bytes : int
        Of what is written of a test example and model.
    with_keras : bool
        Whether evaluating a model takes Keras.
    versions : int
        Of each training example that a training holds; those to validate on it holds once.
    workspace_bytes : int
        Of what layers keep of an example besides, to compute gradients.
    """

    example_bytes: int
    activation_bytes: int
    seconds: float
    forward_seconds: float
    parameters: int
    model_mb: float
    output_bytes: int
    with_keras: bool = False
    versions: int = 1
    workspace_bytes: int = 0
