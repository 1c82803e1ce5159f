"""Reads the signature of a fitted scikit-learn estimator: from its attributes, the sample, and its answer to one row.

Numbers are float64, whole numbers and truth values of a sample included: that is what scikit-learn computes in, and one
dtype makes a table one matrix. Columns of text are categories where few values are seen, else text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from shipway.errors import NotAModel, SampleMismatch
from shipway.models.sklearn_predictor import InputMaker, dense, feature_names, input_maker, label_array, takes_texts
from shipway.spec.signature import Array, Column, Columns, Label, Method, Signature
from shipway.spec.words import did_you_mean

__all__ = ["describe_signature"]

MAX_CATEGORIES = 50
_METHODS = ("predict", "predict_proba", "decision_function", "transform")
_PROBED_COLUMNS = 64


def describe_signature(model: Any, sample: Columns | None, target: str | None) -> Signature:
    """Gives the model's signature; see `Adapter.describe`.

    Raises:
        SampleMismatch: the sample's columns do not fit.
        NotAModel: it is no estimator, not fitted, or does not say what it takes.
    """
    _check_fitted(model)
    features = None if sample is None else _features(sample, target)
    inputs = _inputs(model, features)
    row = _row(inputs, features)
    make = input_maker(model, inputs)
    methods = tuple(_methods(model, make, row, sampled=features is not None))
    inputs = tuple(_with_nullable(model, methods[0].name, make, inputs, features, row))
    return Signature(inputs, methods)


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = type(model).__name__
    if isinstance(model, type) or not any(hasattr(model, method) for method in _METHODS):
        raise NotAModel(f"{kind} has no predict or transform", fix="save the fitted estimator itself")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise NotAModel(f"the {kind} is not fitted", fix="call fit before saving it") from error
    except TypeError:
        pass  # another library's object with a predict of its own


def _features(sample: Columns, target: str | None) -> Columns:
    if target is not None and target not in sample:
        near = did_you_mean(target, sample)
        raise SampleMismatch(f"the sample has no column {target!r}", fix=near or f"it has {', '.join(sample)}")
    return {name: array for name, array in sample.items() if name != target}


def _inputs(model: Any, features: Columns | None) -> tuple[Column, ...]:
    known = _known_texts(model)
    names = feature_names(model)
    count = getattr(model, "n_features_in_", None)
    if names is None and takes_texts(model):
        return (_text_input(model, features),)
    if names is None:
        names = tuple(f"x{number}" for number in range(int(count or 0)))
        known = {names[key] if isinstance(key, int) else key: value for key, value in known.items()}
        if features is not None:
            _check_count(features, names)
            renamed = dict(zip(names, features, strict=True))
            known = {renamed.get(str(key), str(key)): value for key, value in known.items()}
            names = tuple(features)
    elif features is not None:
        _check_names(features, names)
    return tuple(_column(name, None if features is None else features[name], known.get(name)) for name in names)


def _text_input(model: Any, features: Columns | None) -> Column:
    if features is None and not _is_vectorizer(_first_step(model)):
        raise NotAModel(
            f"{type(model).__name__} does not say how many columns it takes", fix="add --sample FILE with some rows"
        )
    if features is None:
        return Column("text", "string", kind="text")
    if len(features) != 1 or next(iter(features.values())).dtype != object:
        raise SampleMismatch(
            f"the model takes one column of text; the sample has {', '.join(features)}",
            fix="name the column to predict with --target, and leave one column of text",
        )
    name, texts = next(iter(features.items()))
    return Column(name, "string", kind="text", example=_first(texts))


def _check_count(features: Columns, names: Sequence[str]) -> None:
    if len(features) == len(names):
        return
    spare = len(features) == len(names) + 1
    raise SampleMismatch(
        f"the model takes {len(names)} columns; the sample has {len(features)}: {', '.join(features)}",
        fix="name the column that it predicts with --target" if spare else "give it the columns that it was fitted on",
    )


def _check_names(features: Columns, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in features]
    extra = [name for name in features if name not in names]
    if missing:
        near = did_you_mean(missing[0], extra)
        raise SampleMismatch(
            f"the sample lacks {', '.join(map(repr, missing))}",
            fix=near or f"the model takes {', '.join(names)}",
        )
    if extra:
        raise SampleMismatch(
            f"the sample has {', '.join(map(repr, extra))}, which the model does not take",
            fix=f"--target {extra[0]}, if that is what it predicts" if len(extra) == 1 else "leave these columns out",
        )


def _column(name: str, values: Array | None, known: tuple[str, ...] | None) -> Column:
    """Gives the input of that name; `known` are a text column's categories in the model, empty for free text."""
    if values is None:
        if known is None:
            return Column(name, "float64")
        return Column(name, "string", kind="category" if known else "text", categories=known or None)
    if values.dtype != object:
        first = next((float(value) for value in values if not math.isnan(value)), None)
        # An example is for people, who need no more digits than these.
        return Column(name, "float64", example=None if first is None else float(f"{first:.4g}"))
    categories = known if known is not None else tuple(sorted({text for text in values if text is not None}))
    few = 0 < len(categories) <= MAX_CATEGORIES
    return Column(
        name,
        "string",
        kind="category" if few else "text",
        categories=categories if few else None,
        example=_first(values),
    )


def _first(texts: Array) -> str | None:
    return next((text for text in texts if text is not None), None)


def _row(inputs: tuple[Column, ...], features: Columns | None) -> Columns:
    """Gives one row to ask the model with: the sample's first, else zeros and first categories."""
    row: dict[str, Array] = {}
    for column in inputs:
        text = column.dtype == "string"
        cell: Any = column.example
        if features is not None and features[column.name][0] is not None:
            cell = features[column.name][0]
        if cell is None:
            cell = (column.categories or ("text",))[0] if text else 0.0
        row[column.name] = np.array([cell], dtype=object if text else np.float64)
    return row


def _methods(model: Any, make: InputMaker, row: Columns, *, sampled: bool) -> Iterator[Method]:
    """Gives the methods that answer the row; the first must."""
    from sklearn.base import is_classifier, is_regressor

    classes = getattr(model, "classes_", None)
    first = True
    for name in _METHODS:
        # What an ensemble calls transform are its members' predictions, which nobody asks a server for.
        if not hasattr(model, name) or (name == "transform" and (is_classifier(model) or is_regressor(model))):
            continue
        try:
            answer = getattr(model, name)(make(row))
            if isinstance(answer, list):
                continue  # one array an output, of unequal widths: no column
            array = dense(answer)
        except Exception as error:
            if not first:
                continue
            kind, asked = (SampleMismatch, "the first row of the sample") if sampled else (NotAModel, "zeros")
            raise kind(
                f"{type(model).__name__}.{name} fails on {asked}: {error}",
                fix="give it rows as it was fitted on" if sampled else "add --sample FILE with some rows",
            ) from error
        first = False
        yield _method(name, array, classes)


def _method(name: str, answer: Array, classes: Any) -> Method:
    shape = answer.shape[1:]
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return Method(name, (_output(name, answer, shape),))
    labels = _labels(classes)
    if name == "predict" and not shape:
        output = _output(name, classes, shape)
        return Method(name, (msgspec.structs.replace(output, kind="category", categories=labels),))
    return Method(name, (_output(name, answer, shape),), classes=labels if shape == (len(labels),) else None)


def _output(name: str, values: Array, shape: tuple[int, ...]) -> Column:
    match values.dtype.kind:
        case "b":
            return Column(name, "bool", shape)
        case "i" | "u":
            return Column(name, "int64", shape)
        case "f":
            return Column(name, "float64", shape)
        case _:
            return _object_output(name, values, shape)


def _object_output(name: str, values: Array, shape: tuple[int, ...]) -> Column:
    kinds = {type(value) for value in _plain_values(values)}
    if kinds == {bool}:
        return Column(name, "bool", shape)
    if kinds == {int}:
        return Column(name, "int64", shape)
    if kinds and kinds <= {int, float}:
        return Column(name, "float64", shape)
    return Column(name, "string", shape, kind="category")


def _labels(classes: Array) -> tuple[Label, ...]:
    plain = _plain_values(classes)
    if len({type(label) for label in plain}) == 1 and isinstance(plain[0], bool | int | float | str):
        return tuple(plain)
    return tuple(str(label) for label in label_array(classes))


def _plain_values(values: Array) -> list[Any]:
    """Gives an array's values as Python's own; `tolist` leaves numpy's scalars in an object array as they are."""
    return [value.item() if isinstance(value, np.generic) else value for value in values.ravel().tolist()]


def _with_nullable(
    model: Any,
    method: str,
    make: InputMaker,
    inputs: tuple[Column, ...],
    features: Columns | None,
    row: Columns,
) -> Iterator[Column]:
    """Gives the inputs with whether they may be missing: the sample has it so, or the model answers all the same."""

    def answers(missing: Sequence[Column]) -> bool:
        holes = {column.name: np.array([None if column.dtype == "string" else math.nan], object) for column in missing}
        trial = {name: holes.get(name, array).astype(array.dtype) for name, array in row.items()}
        try:
            getattr(model, method)(make(trial))
        except Exception:
            return False
        return True

    allowed = set(inputs) if answers(inputs) else set()
    if not allowed and 1 < len(inputs) <= _PROBED_COLUMNS:
        allowed = {column for column in inputs if answers([column])}
    for column in inputs:
        seen = features is not None and _has_missing(features[column.name])
        yield msgspec.structs.replace(column, nullable=seen or column in allowed)


def _has_missing(values: Array) -> bool:
    if values.dtype == object:
        return any(value is None for value in values)
    return bool(np.isnan(values.astype(np.float64)).any())


def _first_step(model: Any) -> Any:
    """Gives the estimator that sees the rows first, through searches, pipelines and unions."""
    inner = getattr(model, "best_estimator_", None)
    if inner is not None:
        return _first_step(inner)
    steps = getattr(model, "steps", None) or getattr(model, "transformer_list", None)
    if not steps:
        return model
    step = next((step for _, step, *_ in steps if step not in (None, "passthrough", "drop")), None)
    return _first_step(step)


def _is_vectorizer(step: Any) -> bool:
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

    return isinstance(step, CountVectorizer | HashingVectorizer)


def _known_texts(model: Any) -> Mapping[Any, tuple[str, ...]]:
    """Gives the columns that the fitted model takes as text, by name or number, with their categories if it has any."""
    found: dict[Any, tuple[str, ...]] = {}
    step = _first_step(model)
    for columns, transformer in _routes(step):
        inner = _first_step(transformer)
        if _is_vectorizer(inner):
            found |= dict.fromkeys(columns, ())
            continue
        for key, categories in zip(columns, _encoder_categories(transformer), strict=False):
            values = [value for value in categories if value is not None and value == value]
            if values and all(isinstance(value, str) for value in values):
                found[key] = tuple(map(str, values))
    return found


def _routes(step: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Gives the columns that go into each transformer."""
    if not hasattr(step, "transformers_"):
        names = feature_names(step)
        count = getattr(step, "n_features_in_", 0)
        yield (names if names is not None else range(int(count or 0))), step
        return
    names = feature_names(step)
    for _, transformer, columns in step.transformers_:
        if isinstance(transformer, str):
            continue
        if callable(columns) or isinstance(columns, slice):
            continue
        keys = [columns] if isinstance(columns, str | int) else list(columns)
        if keys and all(isinstance(key, bool | np.bool_) for key in keys):
            keys = [index for index, chosen in enumerate(keys) if chosen]
        yield [names[key] if names is not None and isinstance(key, int) else _plain(key) for key in keys], transformer


def _plain(key: Any) -> Any:
    return int(key) if isinstance(key, np.integer) else key


def _encoder_categories(transformer: Any) -> Sequence[Any]:
    """Gives the categories of the first encoder in a transformer, one sequence a column."""
    for step in (step for _, step in getattr(transformer, "steps", [("", transformer)])):
        categories = getattr(step, "categories_", None)
        if categories is not None:
            return list(categories)
        if type(step).__name__ not in {"SimpleImputer", "FunctionTransformer", "KNNImputer"}:
            break
    return []
