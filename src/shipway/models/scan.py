"""What a pickle would import and call, told without opening it.

A pickle is a program. The scan follows it opcode by opcode (`machine`), judges each name that it imports (`allowed`),
and runs nothing. It is sound in one direction: what it cannot follow counts as dangerous, never as safe. It says
nothing about the numbers in a model, which may still be nonsense.
"""

from __future__ import annotations

from dataclasses import dataclass

from shipway.errors import NotAModel
from shipway.models.allowed import verdict
from shipway.models.machine import Broken, Findings, run_pickle
from shipway.models.symbols import Unfollowable

__all__ = ["PickleScan", "scan_pickle"]


@dataclass(frozen=True, slots=True)
class PickleScan:
    """What is in a pickle.

    Attributes:
        globals: every name that it imports, as `module.name`, in the order of the stream.
        dangerous: those of them that no model needs, and what else it does that none does, in words.
        foreign: those of them that are of modules unknown to Shipway, as (module, name): perhaps the user's own.
        versions: the scikit-learn versions that wrote its estimators.
    """

    globals: tuple[str, ...]
    dangerous: tuple[str, ...]
    foreign: tuple[tuple[str, str], ...] = ()
    versions: tuple[str, ...] = ()


def scan_pickle(data: bytes) -> PickleScan:
    """Scans a pickle of any protocol, the arrays that joblib puts between included.

    Args:
        data: the pickle, unpacked. What follows its end is not looked at, nor would it be opened.

    Raises:
        NotAModel: `data` is no pickle, or one that is cut short.
    """
    findings = Findings()
    unfollowed: tuple[str, ...] = ()
    try:
        run_pickle(data, findings)
    except Broken as error:
        raise NotAModel(f"not a whole pickle: {error}", fix="save or copy the model again") from error
    except Unfollowable as error:
        unfollowed = (str(error),)
    verdicts = {name: verdict(*name) for name in findings.names}
    dangerous = [".".join(name) for name, judged in verdicts.items() if judged == "dangerous"]
    return PickleScan(
        globals=tuple(".".join(name) for name in verdicts),
        dangerous=(*dangerous, *findings.suspicions, *unfollowed),
        foreign=tuple(name for name, judged in verdicts.items() if judged == "foreign"),
        versions=tuple(findings.versions),
    )
