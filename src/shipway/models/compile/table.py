"""Columns as they flow through preprocessing: a row of blocks, each a matrix of numbers or one column of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile import MISSING_TEXT
from shipway.models.compile.graph import Graph, Tensor
from shipway.spec.signature import Array, Signature

__all__ = ["Block", "Table", "as_matrix", "emit_codes", "graph_inputs", "input_table", "select", "width"]


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring columns in one tensor [rows, width]: float64, or text of width 1."""

    tensor: str
    width: int
    text: bool = False


Table = tuple[Block, ...]


def graph_inputs(signature: Signature) -> tuple[Tensor, ...]:
    """Gives the inputs of a compiled model.

    A table of numbers of one dtype is one float64 tensor `input` [rows, columns]; of other tables each column is a
    tensor [rows, 1] of its own name, text or float64.

    Raises:
        NotCompilable: a cell is an array.
    """
    if signature.is_numeric_table:
        return (Tensor("input", "float64", (len(signature.inputs),)),)
    for column in signature.inputs:
        if column.shape:
            raise NotCompilable(f"the cells of column {column.name!r} are arrays")
    return tuple(
        Tensor(column.name, "string" if column.dtype == "string" else "float64", (1,)) for column in signature.inputs
    )


def input_table(inputs: Sequence[Tensor]) -> Table:
    """Gives the graph's inputs as a table."""
    return tuple(Block(tensor.name, tensor.shape[0], tensor.dtype == "string") for tensor in inputs)


def width(table: Table) -> int:
    """Gives the number of columns."""
    return sum(block.width for block in table)


def as_matrix(graph: Graph, table: Table, who: object) -> str:
    """Gives the table as one float64 tensor [rows, columns].

    Args:
        graph: where the joining goes.
        table: of numbers only.
        who: the estimator that takes it, for the message.

    Raises:
        NotCompilable: a column is text, or there is none.
    """
    if any(block.text for block in table):
        raise NotCompilable(f"{type(who).__name__} takes text, which has no compiled form there")
    if not table:
        raise NotCompilable(f"{type(who).__name__} is left without columns")
    return table[0].tensor if len(table) == 1 else graph.node("Concat", *(block.tensor for block in table), axis=1)


def select(graph: Graph, table: Table, columns: Sequence[int]) -> Table:
    """Gives the columns at the positions `columns`, in that order; neighbours from one block stay one block."""
    places = [(block, offset) for block in table for offset in range(block.width)]
    runs: list[tuple[Block, list[int]]] = []
    for column in columns:
        block, offset = places[column]
        if runs and runs[-1][0] is block and not block.text:
            runs[-1][1].append(offset)
        else:
            runs.append((block, [offset]))
    return tuple(_part(graph, block, offsets) for block, offsets in runs)


def emit_codes(graph: Graph, column: Block, categories: Array) -> str:
    """Adds the codes of a column: float64 [rows, 1], the position of the cell in `categories`, NaN where it is none.

    Raises:
        NotCompilable: the categories are not of the column's type.
    """
    from onnx import TensorProto, helper, numpy_helper

    keys: Any
    if column.text:
        texts = [_text(category) for category in categories]
        encoded: Any = [text.encode() for text in texts]
        keys = helper.make_tensor("keys", TensorProto.STRING, [len(texts)], encoded)
    else:
        try:
            keys = numpy_helper.from_array(np.asarray(categories).astype(np.float64), "keys")
        except (TypeError, ValueError):
            raise NotCompilable("a column of numbers has categories that are text") from None
    return graph.node(
        "LabelEncoder",
        column.tensor,
        domain="ai.onnx.ml",
        keys_tensor=keys,
        values_tensor=numpy_helper.from_array(np.arange(len(categories), dtype=np.float64), "values"),
        default_tensor=numpy_helper.from_array(np.array([np.nan]), "default"),
    )


def _text(category: object) -> str:
    if category is None or (isinstance(category, float) and np.isnan(category)):
        return MISSING_TEXT
    if not isinstance(category, str):
        raise NotCompilable(f"a column of text has a category that is a {type(category).__name__}")
    return category


def _part(graph: Graph, block: Block, offsets: list[int]) -> Block:
    if offsets == list(range(block.width)):
        return block
    return Block(graph.node("Gather", block.tensor, graph.constant(np.array(offsets)), axis=1), len(offsets))
