"""From a scikit-learn estimator or pipeline to one ONNX graph: who compiles which part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shipway.errors import MissingDependency, NotCompilable
from shipway.models.compile.convert import answer_to_zeros, convert
from shipway.models.compile.emit import emit_forest
from shipway.models.compile.graph import Graph, Tensor
from shipway.models.compile.heads import emit_head
from shipway.models.compile.linear import emit_linear, is_linear
from shipway.models.compile.preprocess import emit_transformer
from shipway.models.compile.svm import emit_svm, is_svm
from shipway.models.compile.table import Block, Table, as_matrix, emit_codes, graph_inputs, input_table, select, width
from shipway.models.compile.trees import TreeModel, is_tree_model, read_trees
from shipway.spec.signature import Array, DType, Signature

__all__ = ["compile_estimator"]


def compile_estimator(model: object, signature: Signature) -> bytes:
    """Compiles `model`; see `shipway.models.compile.compile_sklearn`."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingDependency("compiling needs the package onnx", fix='pip install "shipway[sklearn]"') from error
    inputs = graph_inputs(signature)
    graph = Graph(inputs)
    methods = [method.name for method in signature.methods]
    return _loadable(graph.finish(_emit(graph, model, input_table(inputs), methods)), model)


def _emit(graph: Graph, model: Any, table: Table, methods: Sequence[str]) -> dict[str, Tensor]:
    """Adds the answers to `methods` of an estimator, a transformer or a pipeline."""
    if type(model).__name__ == "Pipeline":
        for _, step in model.steps[:-1]:
            table = emit_transformer(graph, step, table)
        return _emit(graph, model.steps[-1][1], table, methods)
    if hasattr(model, "best_estimator_"):
        return _emit(graph, model.best_estimator_, table, methods)
    if is_tree_model(model):
        return _emit_trees(graph, read_trees(model), table, methods, model)
    if "transform" in methods:
        parts = emit_transformer(graph, model, table)
        transform = Tensor(as_matrix(graph, parts, model), "float64", (width(parts),))
        others = [method for method in methods if method != "transform"]
        return {"transform": transform, **(_emit(graph, model, table, others) if others else {})}
    matrix = as_matrix(graph, table, model)
    if is_linear(model):
        return emit_linear(graph, model, matrix, methods)
    if is_svm(model):
        return emit_svm(graph, model, matrix, methods)
    return _emit_converted(graph, model, Block(matrix, width(table)), methods)


def _emit_trees(
    graph: Graph, trees: TreeModel, table: Table, methods: Sequence[str], model: object
) -> dict[str, Tensor]:
    if width(table) != trees.forest.features:
        raise NotCompilable(f"it takes {trees.forest.features} columns, and {width(table)} reach it")
    if trees.categories:
        parts: list[Block] = []
        plain: list[int] = []
        for feature in range(trees.forest.features):
            if feature not in trees.categories:
                plain.append(feature)
                continue
            (column,) = select(graph, table, [feature])
            codes = emit_codes(graph, column, trees.categories[feature])
            parts += [*select(graph, table, plain), Block(codes, 1)]
            plain = []
        table = (*parts, *select(graph, table, plain))
    return emit_head(graph, emit_forest(graph, as_matrix(graph, table, model), trees.forest), trees.head, methods)


def _emit_converted(graph: Graph, model: Any, matrix: Block, methods: Sequence[str]) -> dict[str, Tensor]:
    """Adds skl2onnx's answers: labels or numbers are its first output, probabilities or decisions the second."""
    known = ("predict", "predict_proba", "decision_function") if hasattr(model, "classes_") else ("predict",)
    found: dict[bool, tuple[str, ...]] = {}
    answers: dict[str, Tensor] = {}
    for method in methods:
        if method not in known:
            raise NotCompilable(f"the method {method} of {type(model).__name__} has no compiled form")
        raw = method == "decision_function"
        if raw not in found:
            converted = convert(model, matrix.width, raw_scores=raw)
            found[raw] = graph.inline(converted, {"input": matrix.tensor})
        answers[method] = _typed(graph, found[raw][method != "predict"], answer_to_zeros(model, method, matrix.width))
    return answers


def _typed(graph: Graph, name: str, example: Array) -> Tensor:
    """Gives a value of the graph dtype and shape of the model's own answer."""
    kinds: dict[str, DType] = {"i": "int64", "u": "int64", "f": "float64", "b": "bool"}
    dtype = kinds.get(example.dtype.kind, "string")
    if dtype != "string":
        name = graph.cast(name, dtype)
    shape = example.shape[1:]
    return Tensor(graph.node("Reshape", name, graph.constant(np.array([-1, *shape]))), dtype, shape)


def _loadable(data: bytes, model: object) -> bytes:
    """Gives `data` back if the runtime takes it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "compiling needs the package onnxruntime", fix='pip install "shipway[sklearn]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common class
        raise NotCompilable(
            f"the runtime has no operator in float64 for a part of this {type(model).__name__}"
        ) from error
    return data
