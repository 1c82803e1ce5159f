"""What skl2onnx converts in float64."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.graph import OPSET
from shipway.spec.signature import Array

__all__ = ["answer_to_zeros", "convert"]


def convert(model: Any, features: int, *, raw_scores: bool = False) -> Any:
    """Converts a fitted estimator with skl2onnx.

    Args:
        model: a single estimator or transformer.
        features: how many numbers it takes; they come as one float64 tensor `input` [rows, features].
        raw_scores: whether a classifier's second output is its decision function rather than probabilities.

    Returns:
        An `onnx.ModelProto` in float64.

    Raises:
        NotCompilable: skl2onnx has no converter for it, or not in float64.
    """
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType

    options: dict[str, Any] = {}
    if hasattr(model, "classes_"):
        options["zipmap"] = False
        if raw_scores:
            options["raw_scores"] = True
    logger = logging.getLogger("skl2onnx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return skl2onnx.to_onnx(
                model,
                initial_types=[("input", DoubleTensorType([None, features]))],
                options={id(model): options} if options else None,
                target_opset={"": OPSET, "ai.onnx.ml": 3},
            )
    except Exception as error:
        # Its errors are of many kinds and lines long; what they say to a user is always the same.
        logger.debug("skl2onnx on %s: %s", type(model).__name__, error)
        raise NotCompilable(f"{type(model).__name__} has no compiled form in float64") from error


def answer_to_zeros(model: Any, method: str, features: int) -> Array:
    """Gives the model's own answer to one row of zeros, which shows dtype and shape.

    Raises:
        NotCompilable: it does not answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = getattr(model, method)(np.zeros((1, features)))
            return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    except Exception as error:
        raise NotCompilable(f"{type(model).__name__}.{method} does not take a row of zeros") from error
