"""A small builder of ONNX graphs whose bytes depend on nothing but the model: fixed names, versions and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.spec.signature import Array, DType

__all__ = ["ML_OPSET", "OPSET", "Graph", "Tensor"]

OPSET = 18
ML_OPSET = 5  # the first with the TreeEnsemble operator
_IR_VERSION = 9
_TYPES: dict[DType, int] = {"float32": 1, "int64": 7, "string": 8, "bool": 9, "float64": 11}  # as in the ONNX format
_MAX_BYTES = (1 << 31) - (1 << 20)  # protobuf's own limit, less what the envelope takes


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in the graph.

    Attributes:
        name: in the graph.
        dtype: of one cell.
        shape: of one row; `()` where the value is [rows].
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]


class Graph:
    """Collects nodes and constants, and gives the finished model."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = tuple(inputs)
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[Any] = []
        self._taken = {tensor.name for tensor in inputs}
        self._count = 0

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node of one output; gives the output's name."""
        from onnx import helper

        output = self._name()
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def cast(self, tensor: str, dtype: DType) -> str:
        """Adds a change of dtype; numbers are rounded to the nearest, as numpy does."""
        return self.node("Cast", tensor, to=_TYPES[dtype])

    def constant(self, array: Any) -> str:
        """Gives the name of a constant tensor; equal ones are kept once. Text is an object or str array."""
        from onnx import numpy_helper

        array = np.asarray(array)
        if array.dtype.kind in "OU":
            array = np.array([str(text).encode() for text in array.ravel()], dtype=object).reshape(array.shape)
            key = ("text", array.shape, b"\0".join(array.ravel()))
        else:
            key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self._name()
            self._initializers.append(
                _text_tensor(array, name) if key[0] == "text" else numpy_helper.from_array(array, name)
            )
        return self._constants[key]

    def inline(self, model: Any, inputs: Mapping[str, str]) -> tuple[str, ...]:
        """Copies another model's graph in; its values get names of ours.

        Args:
            model: an `onnx.ModelProto` whose opsets are not above ours.
            inputs: the model's input names to values that are here.

        Returns:
            The names of its outputs here.
        """
        names = dict(inputs)
        for tensor in model.graph.initializer:
            names[tensor.name] = self._name()
            copy = type(tensor)()
            copy.CopyFrom(tensor)
            copy.name = names[tensor.name]
            self._initializers.append(copy)
        for node in model.graph.node:
            copy = type(node)()
            copy.CopyFrom(node)
            self._rename(copy, names)
            self._nodes.append(copy)
        return tuple(names[output.name] for output in model.graph.output)

    def finish(self, outputs: Mapping[str, Tensor]) -> bytes:
        """Gives the model's bytes.

        Args:
            outputs: name of each output of the model, with the value that it gives.

        Raises:
            NotCompilable: an output has an input's name, or the model is larger than ONNX files can be.
        """
        from onnx import helper

        for name in outputs:
            if name in self._taken:
                raise NotCompilable(f"the column {name!r} has the name of a method", fix="rename the column")
        for name, tensor in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        graph = helper.make_graph(
            self._nodes,
            "shipway",
            [_value_info(tensor.name, tensor) for tensor in self._inputs],
            [_value_info(name, tensor) for name, tensor in outputs.items()],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="shipway")
        if model.ByteSize() > _MAX_BYTES:
            raise NotCompilable("its compiled form would be larger than the 2 GB that an ONNX file can have")
        return bytes(model.SerializeToString(deterministic=True))

    def _name(self) -> str:
        while (name := f"v{self._count}") in self._taken:
            self._count += 1
        self._count += 1
        return name

    def _rename(self, node: Any, names: dict[str, str]) -> None:
        """Gives the values of a copied node, and of the graphs inside it, names of ours."""
        node.name = node.doc_string = ""
        for graph in _subgraphs(node):
            inner = dict(names)
            graph.name, graph.doc_string = "body", ""
            for value in (*graph.input, *graph.initializer):
                inner[value.name] = value.name = self._name()
            for child in graph.node:
                self._rename(child, inner)
            for value in graph.output:
                value.name = inner[value.name]
            del graph.value_info[:]
        node.input[:] = [names[name] if name else "" for name in node.input]
        for index, name in enumerate(node.output):
            if name:
                node.output[index] = names[name] = self._name()


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _text_tensor(array: Array, name: str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor(name, TensorProto.STRING, array.shape, list(array.ravel()))


def _value_info(name: str, tensor: Tensor) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, _TYPES[tensor.dtype], ["rows", *tensor.shape])
