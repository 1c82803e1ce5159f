"""From a forest to ONNX: one `TreeEnsemble` operator in float64, equal to the original to the last bit.

What makes it so: cells are rounded to the original's input type and then compared in float64, as the original does;
leaves are multiplied by the learning rate here, in float64, as the original does on each call; the start of the sum is
a first tree with one leaf, so that the runtime adds in the original's order. A leaf of the operator has one target, so
a tree that adds to k outputs is written k times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.forest import Forest, Tree
from shipway.models.compile.graph import Graph, Tensor
from shipway.spec.signature import Array

__all__ = ["emit_forest"]

_MODES = {"<=": 0, "<": 1}
_MEMBER = 6
_MAX_NODES = 25_000_000  # some 1.5 GB


def emit_forest(graph: Graph, matrix: str, forest: Forest) -> Tensor:
    """Adds the forest's scores for `matrix`, float64 [rows, features].

    Returns:
        float64 [rows, outputs].

    Raises:
        NotCompilable: written once an output the trees are too large for an ONNX file.
    """
    copies = sum(max(len(tree.feature), 1) * len(tree.targets) for tree in forest.trees)
    if copies > _MAX_NODES:
        raise NotCompilable(f"its trees have {copies:,} nodes, counted once an output, too many for an ONNX file")
    if forest.input_type == "float32":
        matrix = graph.cast(graph.cast(matrix, "float32"), "float64")
    scores = graph.node("TreeEnsemble", matrix, domain="ai.onnx.ml", **_attributes(forest))
    if forest.aggregation == "average" and len(forest.trees) > 1:
        scores = graph.node("Div", scores, graph.constant(float(len(forest.trees))))
    return Tensor(scores, "float64", (forest.outputs,))


def _attributes(forest: Forest) -> dict[str, Any]:
    from onnx import numpy_helper

    parts: dict[str, list[Array]] = {}
    roots, nodes, leaves = [], 0, 0
    for tree, target, weights in _single_targets(forest):
        roots.append(nodes)
        if _looks_like_a_leaf(tree, nodes, leaves):
            weights = np.insert(weights, 0, 0.0)
            leaves += 1
        for name, array in _tree_arrays(tree, nodes, leaves, forest.comparison).items():
            parts.setdefault(name, []).append(array)
        parts.setdefault("leaf_weights", []).append(weights)
        parts.setdefault("leaf_targetids", []).append(np.full(len(weights), target))
        nodes, leaves = nodes + len(tree.feature), leaves + len(tree.values)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    members, missing = whole.pop("membership_values"), whole["nodes_missing_value_tracks_true"]
    if not missing.any():
        del whole["nodes_missing_value_tracks_true"]
    tensors = {name: whole.pop(name) for name in ("nodes_splits", "leaf_weights")}
    tensors["nodes_modes"] = whole.pop("nodes_modes")
    if members.size:
        tensors["membership_values"] = members
    return {
        "n_targets": forest.outputs,
        "tree_roots": roots,
        **{name: array.tolist() for name, array in whole.items()},
        **{name: numpy_helper.from_array(array, name) for name, array in tensors.items()},
    }


def _single_targets(forest: Forest) -> Iterator[tuple[Tree, int, Array]]:
    """Gives each tree once a target, with its leaves' weights for it, in the order of summing."""
    for output in np.flatnonzero(forest.base):
        yield _constant(), int(output), np.repeat(forest.base[output], 2)
    for tree in forest.trees:
        for column, target in enumerate(tree.targets):
            weights = forest.scale * tree.values[:, column]
            if len(tree.feature):
                yield tree, int(target), weights
            else:
                yield _constant(), int(target), np.repeat(weights, 2)


def _constant() -> Tree:
    """A tree with one leaf, as a split with equal leaves: onnxruntime takes a lone leaf's number for a node's."""
    one = np.zeros(1, dtype=np.int64)
    return Tree(one, np.zeros(1), ~one, ~(one + 1), np.zeros(1, dtype=bool), np.zeros((2, 1)), one)


def _looks_like_a_leaf(tree: Tree, nodes: int, leaves: int) -> bool:
    """Whether the root's children, a leaf and a node, would have one number.

    onnxruntime 1.21 to 1.23 take such a root for a leaf (its issue 24679); a leaf that nothing points to, put before
    the tree's own, moves the numbers apart.
    """
    left, right = int(tree.left[0]), int(tree.right[0])
    return (left < 0) != (right < 0) and (nodes + max(left, right)) == (leaves + ~min(left, right))


def _tree_arrays(tree: Tree, nodes: int, leaves: int, comparison: str) -> dict[str, Array]:
    """Gives the operator's arrays for one tree whose nodes and leaves are numbered from `nodes` and `leaves`."""
    modes = np.full(len(tree.feature), _MODES[comparison], dtype=np.uint8)
    thresholds = tree.threshold.copy()
    thresholds[list(tree.members)] = -np.inf  # of an empty set, which the operator cannot hold, nothing goes left
    sets = {node: codes for node, codes in sorted(tree.members.items()) if codes.size}
    modes[list(sets)] = _MEMBER
    return {
        "nodes_modes": modes,
        "nodes_splits": thresholds,
        "nodes_featureids": tree.feature,
        "nodes_missing_value_tracks_true": tree.missing_left.astype(np.int64),
        "nodes_truenodeids": np.where(tree.left < 0, ~tree.left + leaves, tree.left + nodes),
        "nodes_trueleafs": (tree.left < 0).astype(np.int64),
        "nodes_falsenodeids": np.where(tree.right < 0, ~tree.right + leaves, tree.right + nodes),
        "nodes_falseleafs": (tree.right < 0).astype(np.int64),
        "membership_values": np.concatenate([np.empty(0), *(np.append(codes, np.nan) for codes in sets.values())]),
    }
