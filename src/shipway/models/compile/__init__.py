"""Compilation to ONNX: readers of models, one emitter of forests, and the proof that the compiled form agrees."""

from __future__ import annotations

from shipway.spec.signature import Signature

__all__ = ["MISSING_TEXT", "compile_sklearn"]

MISSING_TEXT = "\uffff"
"""Stands for missing text in a compiled model, as ONNX has no word for it: a code point that is no character."""


def compile_sklearn(model: object, signature: Signature) -> bytes:
    """Compiles a fitted scikit-learn estimator or pipeline to ONNX in float64.

    A table of numbers of one dtype goes in as one float64 tensor `input` [rows, columns]; of other tables each column
    is a tensor [rows, 1] of its own name, text or float64, missing text being `MISSING_TEXT`. Each method of the
    signature is an output of its name. The same model gives the same bytes in every process.

    Raises:
        NotCompilable: it has no compiled form; the message is the reason, one sentence.
        MissingDependency: onnx, onnxruntime or skl2onnx is not installed.
    """
    # The server reads MISSING_TEXT from here, and compiles nothing.
    from shipway.models.compile.estimators import compile_estimator

    return compile_estimator(model, signature)
