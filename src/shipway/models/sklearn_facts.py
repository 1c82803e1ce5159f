"""What a manifest says of a scikit-learn estimator: class, versions, and the formula of a linear one."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from shipway.models.sklearn_predictor import dense, feature_names, input_maker
from shipway.spec.manifest import LinearFormula
from shipway.spec.signature import Array, Signature

__all__ = ["describe_kind", "installed_versions", "linear_formula"]

_NEEDED = ("joblib", "numpy", "scikit-learn", "scipy")
_TOLERANCE = 1e-9
_SEED = 20_000


def describe_kind(model: Any) -> str:
    """Gives the class's name, with those of a pipeline's steps."""
    name = type(model).__name__
    if hasattr(model, "steps"):
        return f"{name}({', '.join(describe_kind(step) for _, step in model.steps)})"
    return model if isinstance(model, str) else name


def installed_versions(model: Any) -> dict[str, str]:
    """Gives the distributions that opening and calling the model needs, with the versions installed here."""
    names = {*_NEEDED, *(["pandas"] if feature_names(model) is not None else [])}
    foreign = set(_modules(model)) - {"sklearn", "numpy", "scipy", "pandas", "builtins"} - sys.stdlib_module_names
    if foreign:
        distributions = importlib.metadata.packages_distributions()
        names |= {name for module in foreign for name in distributions.get(module, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def linear_formula(model: Any, signature: Signature, target: str | None) -> LinearFormula | None:
    """Gives the formula of a plain linear model, also behind a StandardScaler, in the units of its inputs.

    It is believed only if it gives the model's own answers, so links, folds and options that change them rule it out.

    Args:
        model: fitted.
        signature: of it.
        target: what a single output is called; `predict` where unknown.
    """
    folded = _fold(model) if signature.is_numeric_table else None
    if folded is None:
        return None
    coefficients, intercepts = folded
    classes = getattr(model, "classes_", None)
    method = "predict" if classes is None else "decision_function"
    if not hasattr(model, method) or coefficients.shape != (len(intercepts), len(signature.inputs)):
        return None
    if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
        return None
    rows = np.random.default_rng(_SEED).normal(size=(8, len(signature.inputs)))
    make = input_maker(model, signature.inputs)
    answer = dense(getattr(model, method)(make(dict(zip(signature.names, rows.T, strict=True)))))
    expected = rows @ coefficients.T + intercepts
    if answer.size != expected.size or not _agree(answer.reshape(expected.shape), expected):
        return None
    return LinearFormula(
        coefficients=tuple(tuple(row) for row in coefficients.tolist()),
        intercepts=tuple(intercepts.tolist()),
        outputs=_outputs(classes, len(intercepts), target or "predict"),
    )


def _agree(answer: Array, expected: Array) -> bool:
    return bool(np.allclose(answer, expected, rtol=_TOLERANCE, atol=_TOLERANCE))


def _fold(model: Any) -> tuple[Array, Array] | None:
    """Gives coefficients [outputs, inputs] and intercepts [outputs], float64, scalers folded in; None if not linear."""
    *scalers, last = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    coef, intercept = getattr(last, "coef_", None), getattr(last, "intercept_", None)
    if not isinstance(coef, np.ndarray) or intercept is None or coef.dtype.kind != "f":
        return None
    coefficients = np.atleast_2d(coef).astype(np.float64)
    intercepts = np.broadcast_to(np.asarray(intercept, np.float64).ravel(), len(coefficients)).copy()
    for scaler in reversed(scalers):
        if type(scaler).__name__ != "StandardScaler" or not type(scaler).__module__.startswith("sklearn."):
            return None
        if scaler.scale_ is not None:
            coefficients = coefficients / scaler.scale_
        if scaler.with_mean:
            intercepts = intercepts - coefficients @ scaler.mean_
    return coefficients, intercepts


def _outputs(classes: Any, count: int, target: str) -> tuple[str, ...]:
    if classes is not None:
        return tuple(str(label) for label in classes[-count:].tolist())
    return (target,) if count == 1 else tuple(f"{target}{number}" for number in range(count))


def _modules(model: Any) -> Iterator[str]:
    """Gives the top-level modules of the model and its parameters."""
    for value in (model, *model.get_params(deep=True).values()) if hasattr(model, "get_params") else (model,):
        owner = value if isinstance(getattr(value, "__module__", None), str) else type(value)
        yield owner.__module__.split(".")[0]
