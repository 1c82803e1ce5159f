"""scikit-learn's usual preprocessing, written by hand in float64.

The converters do not have it in float64: imputation and polynomial features do not load there, and encoders give
float32. Each function takes the graph, the fitted transformer and the table that goes in, and gives
the table that comes out. What is not here goes through skl2onnx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile import MISSING_TEXT
from shipway.models.compile.convert import answer_to_zeros, convert
from shipway.models.compile.graph import Graph
from shipway.models.compile.table import Block, Table, as_matrix, emit_codes, select, width
from shipway.spec.signature import Array

__all__ = ["emit_transformer"]


def emit_transformer(graph: Graph, model: Any, table: Table) -> Table:
    """Adds what a fitted transformer, or a pipeline or union of some, makes of `table`.

    Raises:
        NotCompilable: it has no compiled form; the message names it.
    """
    if model is None or isinstance(model, str):
        return () if model == "drop" else table
    name = type(model).__name__
    if type(model).__module__.startswith("sklearn."):
        if name in _EMITTERS:
            return _EMITTERS[name](graph, model, table)
        if hasattr(model, "get_support"):
            return select(graph, table, model.get_support(indices=True).tolist())
    return _converted(graph, model, table)


def _converted(graph: Graph, model: Any, table: Table) -> Table:
    matrix = as_matrix(graph, table, model)
    (output,) = graph.inline(convert(model, width(table)), {"input": matrix})[:1]
    return (Block(output, answer_to_zeros(model, "transform", width(table)).shape[1]),)


def _pipeline(graph: Graph, model: Any, table: Table) -> Table:
    for _, step in model.steps:
        table = emit_transformer(graph, step, table)
    return table


def _column_transformer(graph: Graph, model: Any, table: Table) -> Table:
    parts: list[Block] = []
    for name, transformer, _ in model.transformers_:
        columns = model._transformer_to_input_indices[name]
        if len(columns):
            parts += emit_transformer(graph, transformer, select(graph, table, list(columns)))
    return tuple(parts)


def _feature_union(graph: Graph, model: Any, table: Table) -> Table:
    if model.transformer_weights:
        raise NotCompilable("FeatureUnion has no compiled form with transformer_weights")
    return tuple(block for _, step in model.transformer_list for block in emit_transformer(graph, step, table))


def _function(_: Graph, model: Any, table: Table) -> Table:
    if model.func is not None:
        raise NotCompilable("FunctionTransformer runs a function of Python")
    return table


def _affine(*steps: tuple[str, str, str]) -> Callable[[Graph, Any, Table], Table]:
    """Gives an emitter of elementwise steps: operator, attribute with its operand, parameter that turns it on."""

    def emit(graph: Graph, model: Any, table: Table) -> Table:
        tensor = as_matrix(graph, table, model)
        for operator, attribute, switch in steps:
            operand = getattr(model, attribute)
            if operand is not None and getattr(model, switch, True):
                tensor = graph.node(operator, tensor, graph.constant(np.asarray(operand, dtype=np.float64)))
        if getattr(model, "clip", False):
            low, high = getattr(model, "feature_range", (-1.0, 1.0))
            tensor = graph.node("Clip", tensor, graph.constant(float(low)), graph.constant(float(high)))
        return (Block(tensor, width(table)),)

    return emit


def _imputer(graph: Graph, model: Any, table: Table) -> Table:
    if any(block.text for block in table):
        return _text_imputer(graph, model, table)
    matrix = as_matrix(graph, table, model)
    missing = _is_missing(graph, matrix, model.missing_values)
    statistics = np.asarray(model.statistics_, dtype=np.float64)
    filled: Table = (Block(graph.node("Where", missing, graph.constant(statistics), matrix), width(table)),)
    if np.isnan(statistics).any() and not model.keep_empty_features:
        filled = select(graph, filled, np.flatnonzero(~np.isnan(statistics)).tolist())
    if model.indicator_ is None:
        return filled
    marks: Table = (Block(graph.cast(missing, "float64"), width(table)),)
    return (*filled, *select(graph, marks, model.indicator_.features_.tolist()))


def _is_missing(graph: Graph, matrix: str, missing: Any) -> str:
    if missing is None or (isinstance(missing, float) and np.isnan(missing)):
        return graph.node("IsNaN", matrix)
    return graph.node("Equal", matrix, graph.constant(float(missing)))


def _text_imputer(graph: Graph, model: Any, table: Table) -> Table:
    if model.indicator_ is not None:
        raise NotCompilable("SimpleImputer has no compiled form with add_indicator for text")
    if not all(block.text for block in table):
        raise NotCompilable("SimpleImputer fills columns of numbers and of text at once")
    missing = model.missing_values
    word = missing if isinstance(missing, str) else MISSING_TEXT
    parts = []
    for block, fill in zip(table, model.statistics_, strict=True):
        if not isinstance(fill, str):
            raise NotCompilable("SimpleImputer fills a column of text with what is no text")
        parts.append(Block(_replace_text(graph, block.tensor, word, fill), 1, text=True))
    return tuple(parts)


def _replace_text(graph: Graph, tensor: str, word: str, fill: str) -> str:
    is_word = graph.node(
        "LabelEncoder", tensor, domain="ai.onnx.ml", keys_strings=[word], values_int64s=[1], default_int64=0
    )
    condition = graph.cast(is_word, "bool")
    return graph.node("Where", condition, graph.constant(np.array([[fill]], dtype=object)), tensor)


def _one_hot(graph: Graph, model: Any, table: Table) -> Table:
    _refuse_infrequent(model)
    drops = getattr(model, "drop_idx_", None)
    parts = []
    for index, (block, categories) in enumerate(zip(_columns(graph, table), model.categories_, strict=True)):
        kept = np.arange(len(categories))
        if drops is not None and drops[index] is not None:
            kept = np.delete(kept, drops[index])
        if not len(kept):
            continue
        rows = np.eye(len(categories))[:, kept]
        codes = _positions(graph, block, categories, model.handle_unknown)
        if model.handle_unknown != "error":
            rows = np.vstack([rows, np.zeros(len(kept))])
        parts.append(Block(graph.node("Gather", graph.constant(rows), codes), len(kept)))
    return tuple(parts)


def _ordinal(graph: Graph, model: Any, table: Table) -> Table:
    _refuse_infrequent(model)
    parts = []
    for block, categories in zip(_columns(graph, table), model.categories_, strict=True):
        values = np.arange(len(categories), dtype=np.float64)
        values[[_is_nan(category) for category in categories]] = model.encoded_missing_value
        codes = _positions(graph, block, categories, model.handle_unknown)
        if model.handle_unknown != "error":
            values = np.append(values, model.unknown_value)
        parts.append(Block(graph.node("Gather", graph.constant(values[:, None]), codes), 1))
    return tuple(parts)


def _positions(graph: Graph, block: Block, categories: Array, unknown: str) -> str:
    """Adds int64 [rows], the position of each cell's category, and one past the last for an unknown category.

    A table of as many rows as there are categories then refuses unknown ones, as the original does: the runtime
    does not look up outside of it.
    """
    if unknown == "warn":
        raise NotCompilable("its encoder warns of unknown categories, which a compiled model cannot")
    codes = emit_codes(graph, block, categories)
    known = graph.node("Where", graph.node("IsNaN", codes), graph.constant(float(len(categories))), codes)
    whole = graph.cast(known, "int64")
    return graph.node("Squeeze", whole, graph.constant(np.array([1])))


def _refuse_infrequent(model: Any) -> None:
    if getattr(model, "_infrequent_enabled", False):
        raise NotCompilable(f"{type(model).__name__} has no compiled form with infrequent categories")


def _columns(graph: Graph, table: Table) -> list[Block]:
    return [select(graph, table, [column])[0] for column in range(width(table))]


def _is_nan(value: object) -> bool:
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))


def _polynomial(graph: Graph, model: Any, table: Table) -> Table:
    """Adds a column of ones, and multiplies the columns that each power names."""
    matrix = as_matrix(graph, table, model)
    powers = model.powers_
    degree = max(int(powers.sum(axis=1).max()), 1)
    factors = np.full((len(powers), degree), powers.shape[1])
    for row, power in enumerate(powers):
        names = np.repeat(np.arange(powers.shape[1]), power)
        factors[row, : len(names)] = names
    pads = graph.constant(np.array([0, 0, 0, 1]))
    padded = graph.node("Pad", matrix, pads, graph.constant(1.0))
    gathered = graph.node("Gather", padded, graph.constant(factors), axis=1)
    product = graph.node("ReduceProd", gathered, graph.constant(np.array([2])), keepdims=0)
    return (Block(product, len(powers)),)


def _components(graph: Graph, model: Any, table: Table) -> Table:
    """PCA and its kin: centred, turned, and scaled where it whitens."""
    tensor = as_matrix(graph, table, model)
    if getattr(model, "mean_", None) is not None:
        tensor = graph.node("Sub", tensor, graph.constant(np.asarray(model.mean_, dtype=np.float64)))
    components = np.asarray(model.components_, dtype=np.float64)
    tensor = graph.node("MatMul", tensor, graph.constant(np.ascontiguousarray(components.T)))
    if getattr(model, "whiten", False):
        tensor = graph.node("Div", tensor, graph.constant(np.sqrt(model.explained_variance_)))
    return (Block(tensor, len(components)),)


def _normalizer(graph: Graph, model: Any, table: Table) -> Table:
    matrix = as_matrix(graph, table, model)
    axis = graph.constant(np.array([1]))
    match model.norm:
        case "l1":
            norm = graph.node("ReduceSum", graph.node("Abs", matrix), axis, keepdims=1)
        case "l2":
            norm = graph.node("Sqrt", graph.node("ReduceSumSquare", matrix, axis, keepdims=1))
        case _:
            norm = graph.node("ReduceMax", graph.node("Abs", matrix), axis, keepdims=1)
    is_zero = graph.node("Equal", norm, graph.constant(0.0))
    divisor = graph.node("Where", is_zero, graph.constant(1.0), norm)
    return (Block(graph.node("Div", matrix, divisor), width(table)),)


def _binarizer(graph: Graph, model: Any, table: Table) -> Table:
    above = graph.node("Greater", as_matrix(graph, table, model), graph.constant(float(model.threshold)))
    return (Block(graph.cast(above, "float64"), width(table)),)


def _discriminants(graph: Graph, model: Any, table: Table) -> Table:
    """The transform of linear discriminant analysis."""
    if model.solver == "lsqr":
        raise NotCompilable("LinearDiscriminantAnalysis has no transform with the solver lsqr")
    tensor = as_matrix(graph, table, model)
    if model.solver == "svd":
        tensor = graph.node("Sub", tensor, graph.constant(model.xbar_))
    scalings = np.ascontiguousarray(model.scalings_[:, : model._max_components])
    return (Block(graph.node("MatMul", tensor, graph.constant(scalings)), scalings.shape[1]),)


_EMITTERS: dict[str, Callable[[Graph, Any, Table], Table]] = {
    "Binarizer": _binarizer,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _feature_union,
    "FunctionTransformer": _function,
    "LinearDiscriminantAnalysis": _discriminants,
    "MaxAbsScaler": _affine(("Div", "scale_", "")),
    "MinMaxScaler": _affine(("Mul", "scale_", ""), ("Add", "min_", "")),
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
    "PCA": _components,
    "Pipeline": _pipeline,
    "PolynomialFeatures": _polynomial,
    "RobustScaler": _affine(("Sub", "center_", "with_centering"), ("Div", "scale_", "with_scaling")),
    "SimpleImputer": _imputer,
    "StandardScaler": _affine(("Sub", "mean_", "with_mean"), ("Div", "scale_", "with_std")),
    "TruncatedSVD": _components,
}
