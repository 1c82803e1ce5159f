"""The forest of arrays means what it says, and the emitted graph means the same to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.errors import NotCompilable
from shipway.models.compile import emit
from shipway.models.compile.emit import emit_forest
from shipway.models.compile.forest import Forest, Tree
from shipway.models.compile.graph import Graph, Tensor
from shipway.spec.signature import Array

FEATURES = 3
NASTY = [
    0.0, -0.0, 1.0, 0.1, float(np.float32(0.1)), np.nextafter(0.1, 1.0), np.nextafter(np.float64(np.float32(0.1)), 0.0),
    5e-324, -5e-324, 1e-45, 1.1754944e-38, 3.4028234663852886e38, 1e39, -1e300, 1e300, np.inf, -np.inf,
]  # fmt: skip
cells = st.sampled_from(NASTY) | st.floats(width=64, allow_nan=False)
weights = st.floats(-1e6, 1e6)


@st.composite
def trees(draw: st.DrawFn, outputs: int, *, with_members: bool) -> Tree:
    """A tree that is grown by splitting leaves at random, or a single leaf."""
    splits = draw(st.integers(0, 6))
    left, right = np.full(splits, ~0), np.full(splits, ~0)
    open_ends: list[tuple[Array, int]] = []
    for node in range(splits):
        if node:
            side, parent = open_ends.pop(draw(st.integers(0, len(open_ends) - 1)))
            side[parent] = node
        open_ends += [(left, node), (right, node)]
    for leaf, (side, parent) in enumerate(open_ends):
        side[parent] = ~leaf
    targets = draw(st.lists(st.integers(0, outputs - 1), min_size=1, max_size=outputs, unique=True))
    shape = (splits + 1, len(targets))
    codes = st.lists(st.integers(0, 40), max_size=40, unique=True).map(lambda found: np.sort(np.array(found, float)))
    return Tree(
        feature=np.array(draw(st.lists(st.integers(0, 1), min_size=splits, max_size=splits)), dtype=np.int64),
        threshold=np.array(draw(st.lists(cells, min_size=splits, max_size=splits)), dtype=np.float64),
        left=left,
        right=right,
        missing_left=np.array(draw(st.lists(st.booleans(), min_size=splits, max_size=splits)), dtype=bool),
        values=np.array(draw(st.lists(weights, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))).reshape(
            shape
        ),
        targets=np.array(targets),
        members={} if not with_members else {node: draw(codes) for node in range(splits) if draw(st.booleans())},
    )


@st.composite
def forests(draw: st.DrawFn, *, with_members: bool = False) -> Forest:
    outputs = draw(st.integers(1, 3))
    grown = tuple(draw(st.lists(trees(outputs, with_members=with_members), min_size=1, max_size=5)))
    if with_members:  # categories are column 2, numbers the others
        for tree in grown:
            tree.feature[list(tree.members)] = 2
    return Forest(
        features=FEATURES,
        outputs=outputs,
        trees=grown,
        comparison=draw(st.sampled_from(["<=", "<"])),
        input_type=draw(st.sampled_from(["float32", "float64"])),
        aggregation=draw(st.sampled_from(["sum", "average"])),
        base=np.array(draw(st.lists(st.just(0.0) | weights, min_size=outputs, max_size=outputs))),
        scale=draw(st.sampled_from([1.0, 0.1, 1 / 3])),
    )


def run(forest: Forest, matrix: Array) -> Array:
    """Scores from the emitted graph, one thread."""
    graph = Graph([Tensor("input", "float64", (FEATURES,))])
    data = graph.finish({"scores": emit_forest(graph, "input", forest)})
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": matrix})[0])


def rows_near(forest: Forest, seed: int, *, rows: int = 60) -> Array:
    """Rows of nasty numbers, the forest's thresholds and their neighbours, and NaN; column 2 holds codes."""
    points = np.concatenate([*forest.split_points().values(), np.array(NASTY)])
    points = points[np.isfinite(points)]
    with np.errstate(over="ignore"):
        near = [np.nextafter(points, np.inf), np.nextafter(points, -np.inf)]
    pool = np.concatenate([points, *near, [np.nan, np.inf]])
    generator = np.random.default_rng(seed)
    matrix = generator.choice(pool, (rows, FEATURES))
    matrix[:, 2] = generator.choice([*range(42), np.nan], rows)
    return matrix


@settings(max_examples=60, deadline=None)
@given(forest=forests(), seed=st.integers(0, 999))
def test_emitted_graph_gives_the_bits_of_the_reference(forest: Forest, seed: int) -> None:
    matrix = rows_near(forest, seed)
    np.testing.assert_array_equal(run(forest, matrix), forest.evaluate(matrix))


@settings(max_examples=60, deadline=None)
@given(forest=forests(with_members=True), seed=st.integers(0, 999))
def test_category_sets_of_any_size_go_the_way_of_the_reference(forest: Forest, seed: int) -> None:
    matrix = rows_near(forest, seed)
    np.testing.assert_array_equal(run(forest, matrix), forest.evaluate(matrix))


@settings(max_examples=10, deadline=None)
@given(forest=forests(), seed=st.integers(0, 999))
def test_one_row_a_call_gives_the_bits_of_the_batch(forest: Forest, seed: int) -> None:
    matrix = rows_near(forest, seed, rows=300)
    whole = run(forest, matrix)
    np.testing.assert_array_equal(whole[:5], np.concatenate([run(forest, matrix[row : row + 1]) for row in range(5)]))


@settings(max_examples=60, deadline=None)
@given(forest=forests())
def test_no_root_has_a_leaf_and_a_node_of_one_number(forest: Forest) -> None:
    """onnxruntime 1.21 to 1.23 take such a root for a leaf."""
    graph = Graph([Tensor("input", "float64", (FEATURES,))])
    model = onnx.load_from_string(graph.finish({"scores": emit_forest(graph, "input", forest)}))
    (node,) = (node for node in model.graph.node if node.op_type == "TreeEnsemble")
    numbers = {entry.name: list(entry.ints) for entry in node.attribute}
    for root in numbers["tree_roots"]:
        assert numbers["nodes_truenodeids"][root] != numbers["nodes_falsenodeids"][root]


def stump(*, missing_left: bool = False) -> Tree:
    one = np.array([0])
    return Tree(one, np.array([0.5]), ~one, ~(one + 1), np.array([missing_left]), np.array([[1.0], [2.0]]), one)


def forest_of(*grown: Tree, **changes: Any) -> Forest:
    given: dict[str, Any] = {"comparison": "<=", "input_type": "float64", "aggregation": "sum", "base": np.zeros(1)}
    return Forest(features=FEATURES, outputs=1, trees=grown, **(given | changes))


def test_a_row_on_the_threshold_goes_left_by_at_most_and_right_by_less_than() -> None:
    on_it = np.array([[0.5, 0.0, 0.0]])
    assert forest_of(stump()).evaluate(on_it) == 1.0
    assert forest_of(stump(), comparison="<").evaluate(on_it) == 2.0


def test_float32_input_is_rounded_before_it_is_compared() -> None:
    just_above = np.array([[np.nextafter(0.5, 1.0), 0.0, 0.0]])
    assert forest_of(stump(), input_type="float32").evaluate(just_above) == 1.0
    assert forest_of(stump()).evaluate(just_above) == 2.0


@pytest.mark.parametrize("missing_left", [True, False])
def test_missing_values_go_their_own_way(missing_left: bool) -> None:
    missing = np.array([[np.nan, 0.0, 0.0]])
    assert forest_of(stump(missing_left=missing_left)).evaluate(missing) == (1.0 if missing_left else 2.0)


def test_base_scale_and_average_make_the_score() -> None:
    row = np.array([[0.0, 0.0, 0.0]])
    assert forest_of(stump(), stump(), base=np.array([10.0]), scale=0.5).evaluate(row) == 11.0
    assert forest_of(stump(), stump(), aggregation="average").evaluate(row) == 1.0


def test_split_points_are_sorted_and_leave_categories_out() -> None:
    category = Tree(
        np.array([2]), np.zeros(1), np.array([~0]), np.array([~1]), np.zeros(1, bool), np.ones((2, 1)), np.array([0]),
        members={0: np.array([1.0])},
    )  # fmt: skip
    higher = stump()
    higher.threshold[0] = 7.0
    points = forest_of(higher, stump(), category, stump()).split_points()
    assert {feature: found.tolist() for feature, found in points.items()} == {0: [0.5, 7.0]}


def test_a_forest_too_large_for_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emit, "_MAX_NODES", 1)
    with pytest.raises(NotCompilable, match="2 nodes"):
        emit_forest(Graph([Tensor("input", "float64", (FEATURES,))]), "input", forest_of(stump(), stump()))
