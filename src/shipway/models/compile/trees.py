"""scikit-learn's tree ensembles as forests of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shipway.errors import NotCompilable
from shipway.models.compile.forest import Forest, Tree
from shipway.models.compile.heads import Head, Link
from shipway.spec.signature import Array

__all__ = ["TreeModel", "is_tree_model", "read_trees"]


@dataclass(frozen=True, slots=True, eq=False)
class TreeModel:
    """A tree ensemble as read.

    Attributes:
        forest: its scores.
        head: what they stand for.
        categories: for each feature that is a category, its raw values in the order of their codes; a value that is
            not among them is a missing one.
    """

    forest: Forest
    head: Head
    categories: Mapping[int, Array] = field(default_factory=dict)


def is_tree_model(model: object) -> bool:
    """Whether `read_trees` knows the class of `model`. Imports nothing to find out."""
    return type(model).__module__.startswith("sklearn.") and type(model).__name__ in _READERS


def read_trees(model: Any) -> TreeModel:
    """Reads a fitted tree or ensemble of trees.

    Raises:
        NotCompilable: several outputs of classes, a first model of its own, or no reader for its class.
    """
    if not is_tree_model(model):
        raise NotCompilable(f"{type(model).__name__} is no ensemble of trees that is known here")
    try:
        return _READERS[type(model).__name__](model)
    except AttributeError as error:
        raise NotCompilable(
            f"the trees of this {type(model).__name__} cannot be read ({error})", fix="fit the model first"
        ) from error


def _single(model: Any) -> TreeModel:
    return _forest(model, [model])


def _averaged(model: Any) -> TreeModel:
    return _forest(model, model.estimators_)


def _forest(model: Any, estimators: Iterable[Any]) -> TreeModel:
    classes = getattr(model, "classes_", None)
    if classes is not None and model.n_outputs_ > 1:
        raise NotCompilable("it predicts several classes a row (multi-output classification)")
    outputs = int(model.n_outputs_) if classes is None else len(classes)
    targets = np.arange(outputs)
    trees = tuple(_tree(estimator.tree_, targets, classes is not None) for estimator in estimators)
    forest = Forest(int(model.n_features_in_), outputs, trees, "<=", "float32", "average", np.zeros(outputs))
    return TreeModel(forest, Head("identity") if classes is None else Head("probability", np.asarray(classes)))


def _boosted(model: Any) -> TreeModel:
    if model.init_ != "zero" and type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotCompilable(f"its boosting starts from a model of its own ({type(model.init_).__name__})")
    features = int(model.n_features_in_)
    base = model._raw_predict_init(np.zeros((1, features), dtype=np.float32))[0]
    trees = tuple(
        _tree(estimator.tree_, np.array([output]), False)
        for stage in model.estimators_
        for output, estimator in enumerate(stage)
    )
    forest = Forest(features, len(base), trees, "<=", "float32", "sum", base, float(model.learning_rate))
    if not hasattr(model, "classes_"):
        return TreeModel(forest, Head("identity"))
    link: Link = "softmax" if len(base) > 1 else "logistic"
    if model.loss == "exponential":
        link = "logistic_of_double"
    return TreeModel(forest, Head(link, model.classes_, zero_is_positive=True))


def _histogram_boosted(model: Any) -> TreeModel:
    features = int(model.n_features_in_)
    is_category = model.is_categorical_ if model.is_categorical_ is not None else np.zeros(features, dtype=bool)
    # The model's own preprocessor moves categories to the front; the forest speaks of the columns as they come.
    order = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
    categories = _raw_categories(model, order)
    base = np.ravel(model._baseline_prediction)
    bitsets, positions = model._bin_mapper.make_known_categories_bitsets()
    known = {
        feature: _codes(bitsets[positions[place]], 256) for place, feature in enumerate(order[: int(is_category.sum())])
    }
    trees = tuple(
        _histogram_tree(predictor, output, order, known)
        for stage in model._predictors
        for output, predictor in enumerate(stage)
    )
    forest = Forest(features, len(base), trees, "<=", "float64", "sum", base)
    if hasattr(model, "classes_"):
        link: Link = "softmax" if len(base) > 1 else "logistic"
        return TreeModel(forest, Head(link, model.classes_), categories)
    links: dict[str, Link] = {"IdentityLink": "identity", "LogLink": "exp"}
    name = type(model._loss.link).__name__
    if name not in links:
        raise NotCompilable(f"its loss has a link that is not known here ({name})")
    return TreeModel(forest, Head(links[name]), categories)


def _tree(tree: Any, targets: Array, is_classifier: bool) -> Tree:
    """Reads scikit-learn's `Tree`: children of -1 mark the leaves, `value` is [nodes, outputs, classes]."""
    values = tree.value[:, 0, :] if is_classifier else tree.value[:, :, 0]
    return _from_nodes(
        tree.children_left < 0,
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left,
        values=values[:, : len(targets)],
        targets=targets,
    )


def _histogram_tree(predictor: Any, output: int, order: Array, known: Mapping[int, Array]) -> Tree:
    nodes = predictor.nodes
    feature = order[nodes["feature_idx"]]
    missing_left = nodes["missing_go_to_left"].astype(bool)
    members = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~nodes["is_leaf"].astype(bool)):
        left = _codes(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]], 256)
        unknown = np.setdiff1d(np.arange(256), known[feature[node]])
        members[int(node)] = np.union1d(left, unknown) if missing_left[node] else left
    return _from_nodes(
        nodes["is_leaf"].astype(bool),
        feature=feature,
        threshold=nodes["num_threshold"],
        left=nodes["left"],
        right=nodes["right"],
        missing_left=missing_left,
        values=nodes["value"][:, None],
        targets=np.array([output]),
        members=members,
    )


def _from_nodes(
    is_leaf: Array, *, left: Array, right: Array, values: Array, targets: Array,
    members: Mapping[int, Array] | None = None, **arrays: Array,
) -> Tree:  # fmt: skip
    """Gives a tree from arrays that number inner nodes and leaves together."""
    number = np.where(is_leaf, ~(np.cumsum(is_leaf) - 1), np.cumsum(~is_leaf) - 1)
    inner = ~is_leaf
    types = {"feature": np.int64, "threshold": np.float64, "missing_left": np.bool_}
    return Tree(
        **{name: np.asarray(array)[inner].astype(types[name]) for name, array in arrays.items()},
        left=number[left[inner].astype(np.int64)],
        right=number[right[inner].astype(np.int64)],
        values=np.asarray(values, dtype=np.float64)[is_leaf],
        targets=targets,
        members={int(number[node]): codes.astype(np.float64) for node, codes in (members or {}).items()},
    )


def _codes(bitset: Array, size: int) -> Array:
    """Gives the numbers of the bits that are set in words of 32 bits, the lowest first."""
    bits = np.unpackbits(np.ascontiguousarray(bitset, dtype="<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits[:size])


def _raw_categories(model: Any, order: Array) -> dict[int, Array]:
    if model._preprocessor is None:
        return {}
    encoder = model._preprocessor.named_transformers_["encoder"]
    return {int(order[place]): np.asarray(values) for place, values in enumerate(encoder.categories_)}


_READERS: dict[str, Callable[[Any], TreeModel]] = {
    "DecisionTreeClassifier": _single,
    "DecisionTreeRegressor": _single,
    "ExtraTreeClassifier": _single,
    "ExtraTreeRegressor": _single,
    "ExtraTreesClassifier": _averaged,
    "ExtraTreesRegressor": _averaged,
    "GradientBoostingClassifier": _boosted,
    "GradientBoostingRegressor": _boosted,
    "HistGradientBoostingClassifier": _histogram_boosted,
    "HistGradientBoostingRegressor": _histogram_boosted,
    "RandomForestClassifier": _averaged,
    "RandomForestRegressor": _averaged,
}
