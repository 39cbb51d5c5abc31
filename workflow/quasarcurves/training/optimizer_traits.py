"""What this library knows of an optimizer class beside its arguments; readable without importing Keras.

The traits of Keras's classes stand in a table here. An optimizer of this library is a class in a module of the package
`training.optimizers`, with its traits as a class attribute. As importing that module imports Keras, the attribute is
read from the module's source where Keras is not wanted.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = "quasarcurves.training.optimizers"


@dataclass(frozen=True)
class Traits:
    """Traits of an optimizer class. Modules of this library have to write them with literal values.

    Parameters
    ----------
    by_element : bool
        The class treats each number by itself, so a step is the same, but for rounding, however parameters are cut into
        tensors.
    momentum : {"mean", "mean ahead", "sum", "none"}, optional
        How gradients are averaged, which fixes the stability threshold (`curvature.stability_threshold`): a running
        mean by `beta_1`, the same with Nesterov's look ahead, a running sum by `momentum`, or not at all. None: no
        threshold is known.
    preconditioner : str, optional
        Name of the class that reads its preconditioner: in module `preconditioners` for optimizers of Keras, in its own
        module for those of this library. None: all parameters are scaled alike, or none of them by itself.
    beta_2 : float, optional
        Default of its argument `beta_2`, the decay of the running mean square. None: it has no such mean.
    step_cost : float
        Time of a step without the network's arithmetic, over that of Adam; 1 unless measured to differ.
    named : bool
        A study may name the class. False: other keys of a specification choose it.
    """

    by_element: bool = False
    momentum: str | None = None
    preconditioner: str | None = None
    beta_2: float | None = None
    step_cost: float = 1.0
    named: bool = True


_ADAM = Traits(by_element=True, momentum="mean", preconditioner="AdamPreconditioner", beta_2=0.999)

KERAS = {
    "Adadelta": Traits(by_element=True, momentum="none", preconditioner="AdadeltaPreconditioner"),
    "Adafactor": Traits(preconditioner="AdafactorPreconditioner"),
    "Adagrad": Traits(by_element=True, momentum="none", preconditioner="AdagradPreconditioner"),
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "Adamax": Traits(by_element=True, momentum="mean", preconditioner="AdamaxPreconditioner", beta_2=0.999),
    "Ftrl": Traits(by_element=True),
    "Lamb": Traits(preconditioner="LambPreconditioner", beta_2=0.999),
    "Lion": Traits(by_element=True, step_cost=0.8),
    "Muon": Traits(),
    "Nadam": Traits(by_element=True, momentum="mean ahead", preconditioner="NadamPreconditioner", beta_2=0.999),
    "RMSprop": Traits(by_element=True, momentum="sum", preconditioner="RmspropPreconditioner"),
    "SGD": Traits(by_element=True, momentum="sum", step_cost=0.6),
    "ScheduleFreeAdamW": Traits(by_element=True, preconditioner="ScheduleFreePreconditioner", beta_2=0.999),
}
"""Traits of the optimizers of Keras. SGD and Lion scale all parameters alike, Muon mixes those of a matrix, Ftrl solves
for the weights: these have no preconditioner. Adafactor, Lamb and Muon look at whole tensors."""


@dataclass(frozen=True)
class OwnClass:
    """An optimizer class of this library.

    Parameters
    ----------
    module : str
        Where it is defined.
    source : Path
        File of the module.
    traits : Traits
    """

    module: str
    source: Path
    traits: Traits


@cache
def own_classes() -> dict[str, OwnClass]:
    """Return the optimizer classes of this library by name: all in `training.optimizers` that have traits."""
    found = {}
    for source in sorted(Path(__file__).with_name("optimizers").glob("[!_]*.py")):
        for node in ast.parse(source.read_text()).body:
            traits = _declared(node) if isinstance(node, ast.ClassDef) else None
            if isinstance(node, ast.ClassDef) and traits:
                found[node.name] = OwnClass(f"{_PACKAGE}.{source.stem}", source, traits)
    return found


def of_name(name: str) -> Traits:
    """Return the traits of a class by its name; those of a class that is not known are the defaults."""
    own = own_classes().get(name)
    return own.traits if own else KERAS.get(name, Traits())


def of_class(kind: type) -> Traits:
    """Return the traits of a class that has been imported."""
    return getattr(kind, "traits", None) or KERAS.get(kind.__name__, Traits())


def _declared(node: ast.ClassDef) -> Traits | None:
    """Return what a class says as `traits = Traits(...)`; None if it does not."""
    for line in node.body:
        match line:
            case ast.Assign([ast.Name("traits")], ast.Call(keywords=keywords)):
                return Traits(**{str(each.arg): ast.literal_eval(each.value) for each in keywords})
    return None
