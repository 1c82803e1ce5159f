"""A forest of arrays: what every library's tree ensemble is, whatever the library.

Readers (one a library) make it, the emitter turns it into ONNX, and `Forest.evaluate` says in plain numpy what it
means. What its scores stand for (probabilities, log-odds, labels) is a `Head`, not the forest's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shipway.spec.signature import Array

__all__ = ["Aggregation", "Comparison", "Forest", "InputType", "Tree"]

Comparison = Literal["<=", "<"]
InputType = Literal["float32", "float64"]
Aggregation = Literal["sum", "average"]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One binary tree. Node 0 is the root; a tree without nodes is its single leaf.

    Attributes:
        feature: int64 [nodes], the input column that a node looks at.
        threshold: float64 [nodes]; a row goes left where its value compares true with it. Unused where `members` has
            the node.
        left, right: int64 [nodes], the child's number, or `~leaf` where the child is a leaf.
        missing_left: bool [nodes], whether NaN goes left.
        values: float64 [leaves, targets], what a leaf adds to each target.
        targets: int64 [targets], the outputs that the tree adds to.
        members: for nodes that split by category, the category codes (whole numbers from 0) that go left.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    values: Array
    targets: Array
    members: Mapping[int, Array] = field(default_factory=dict)

    def leaves(self, matrix: Array, comparison: Comparison) -> Array:
        """Gives the leaf that each row of `matrix`, float64 [rows, features], falls into: int64 [rows]."""
        place = np.zeros(len(matrix), dtype=np.int64) if len(self.feature) else np.full(len(matrix), -1)
        compare = np.less_equal if comparison == "<=" else np.less
        while (walking := np.flatnonzero(place >= 0)).size:
            node = place[walking]
            cell = matrix[walking, self.feature[node]]
            goes_left = compare(cell, self.threshold[node])
            for member_node in np.intersect1d(node, list(self.members)):
                here = node == member_node
                goes_left[here] = np.isin(cell[here], self.members[int(member_node)])
            goes_left = np.where(np.isnan(cell), self.missing_left[node], goes_left)
            place[walking] = np.where(goes_left, self.left[node], self.right[node])
        return ~place


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees whose leaves are summed, in their order, to scores.

    Output k of a row is `base[k]`, plus `scale * value` of each tree's leaf in the order of the trees, all in float64;
    an average is that sum divided by the number of trees.

    Attributes:
        features: how many input columns there are.
        outputs: how many scores a row gets.
        trees: in the order of summing, which decides the last bits.
        comparison: what sends a row left.
        input_type: what cells are rounded to before they are compared with float64 thresholds.
        aggregation: `sum`, or `average` over the trees.
        base: float64 [outputs], where the sum starts.
        scale: what leaves are multiplied with: the learning rate where leaves do not hold it.
    """

    features: int
    outputs: int
    trees: tuple[Tree, ...]
    comparison: Comparison
    input_type: InputType
    aggregation: Aggregation
    base: Array
    scale: float = 1.0

    def evaluate(self, matrix: Array) -> Array:
        """Gives the scores of `matrix`, float64 [rows, features], as float64 [rows, outputs]: the reference."""
        with np.errstate(over="ignore"):
            cells = matrix.astype(self.input_type).astype(np.float64)
        scores = np.zeros((len(matrix), self.outputs)) + self.base
        for tree in self.trees:
            scores[:, tree.targets] += self.scale * tree.values[tree.leaves(cells, self.comparison)]
        return scores / len(self.trees) if self.aggregation == "average" else scores

    def split_points(self) -> dict[int, Array]:
        """Gives, for each feature that is split by threshold, its thresholds: sorted, each once."""
        found: dict[int, list[Array]] = {}
        for tree in self.trees:
            plain = np.ones(len(tree.feature), dtype=bool)
            plain[list(tree.members)] = False
            for feature in np.unique(tree.feature[plain]):
                found.setdefault(int(feature), []).append(tree.threshold[plain & (tree.feature == feature)])
        return {feature: np.unique(np.concatenate(parts)) for feature, parts in sorted(found.items())}
