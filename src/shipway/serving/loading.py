"""From a bundle to a model that is warmed up and ready to answer."""

from __future__ import annotations

from shipway.bundle.bundle import Bundle
from shipway.bundle.load import open_predictor, read_golden, tolerance_of
from shipway.serving.engine.engine import LoadedModel
from shipway.serving.engine.warmup import warm_up
from shipway.spec.served import ServedModel
from shipway.spec.signature import row_count

__all__ = ["load_model"]


def load_model(bundle: Bundle, *, allow_pickle: bool) -> LoadedModel:
    """Opens the bundle, replays its golden rows and measures what a call costs.

    Raises:
        ShipwayError: it does not open, or does not answer as it did when it was packed.
    """
    predictor = open_predictor(bundle, allow_pickle=allow_pickle)
    golden = read_golden(bundle)
    cost = warm_up(predictor, golden, tolerance_of(bundle))
    manifest = bundle.model
    served = ServedModel(bundle.id, manifest.signature, manifest.kind, manifest.compiled is not None, manifest.formula)
    return LoadedModel(served, predictor, cost, row_count(golden.inputs))
