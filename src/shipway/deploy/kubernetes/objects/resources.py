"""What a pod asks for and may take: amounts in Kubernetes' grammar, checked before a cluster would refuse them.

Source: `k8s.io/apimachinery/pkg/api/resource`, `Quantity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from shipway.deploy.yaml import Commented, Document
from shipway.errors import UsageError
from shipway.spec.contract import Contract
from shipway.spec.settings import Kubernetes

__all__ = ["check_resources", "parse_quantity", "resources", "threads"]

_QUANTITY = re.compile(
    r"\+?(?P<number>[0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
    r"(?:(?P<unit>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[-+]?[0-9]{1,2}))?"
)
_UNITS = {
    **{
        unit: Fraction(10) ** (3 * power)
        for unit, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)
    },
    **{f"{unit}i": Fraction(2) ** (10 * power) for power, unit in enumerate("KMGTPE", 1)},
}
_LARGEST = 2**63 - 1
_CPU_STEP = Fraction(1, 1000)
_EXAMPLES = {"cpu": "500m", "memory": "512Mi"}


def parse_quantity(text: str) -> Fraction | None:
    """Gives the amount that a text means, in cores or bytes; None where it means none to Kubernetes.

    Negative amounts are none either: nothing of a pod's is negative.
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        return None
    amount = Fraction(f"0{match['number']}".removesuffix("."))
    amount *= _UNITS[match["unit"]] if match["unit"] else Fraction(10) ** int(match["exponent"] or 0)
    return amount if amount <= _LARGEST else None


def resources(options: Kubernetes, contract: Contract) -> Document:
    """Gives `resources` of the container. GPUs are only ever a limit: Kubernetes requests as many."""
    gpu = {options.gpu_resource: str(options.gpu)} if options.gpu else {}
    cpu_limit = {"cpu": options.cpu_limit} if options.cpu_limit else {}
    reasons = [
        "Memory has a limit, so that a leak ends this pod and not its neighbours.",
        "CPU has one because the settings say so: calls wait once it is used up, even while the node is idle."
        if options.cpu_limit
        else "CPU has none: a limit slows calls down even while the node is idle, and the request already gives each "
        "pod its share.",
        *(["A GPU belongs to one pod alone, whole."] if options.gpu else []),
    ]
    return Commented(
        " ".join(reasons),
        {
            "requests": {"cpu": _cpu(options, contract), "memory": _memory(options, contract)},
            "limits": {**cpu_limit, "memory": _memory_limit(options, contract), **gpu},
        },
    )


def threads(options: Kubernetes) -> Document:
    """Gives where a process reads how many threads are of use: the CPU limit, else the request."""
    resource, word = ("limits.cpu", "limit") if options.cpu_limit else ("requests.cpu", "request")
    return Commented(
        f"A process sees all cores of its node. Threads follow the CPU {word} instead, rounded up.",
        {"resourceFieldRef": {"resource": resource, "divisor": "1"}},
    )


def check_resources(options: Kubernetes, contract: Contract) -> Iterator[UsageError]:
    """Gives what is wrong with the amounts, as errors to be raised."""
    for key, text in (
        ("cpu", options.cpu),
        ("cpu_limit", options.cpu_limit),
        ("memory", options.memory),
        ("memory_limit", options.memory_limit),
    ):
        if text:
            yield from _check_amount(key, text)
    for key, asked, most in (
        ("cpu", _cpu(options, contract), options.cpu_limit),
        ("memory", _memory(options, contract), _memory_limit(options, contract)),
    ):
        request, limit = parse_quantity(asked), parse_quantity(most)
        if request is not None and limit is not None and request > limit:
            yield UsageError(
                f"a pod that asks for {asked} of {key} cannot be limited to {most}",
                fix=f"raise --{key}-limit, or lower --{key} (deploy.kubernetes.{key})",
            )


def _check_amount(key: str, text: str) -> Iterator[UsageError]:
    """Beside the grammar, what a cluster refuses: nothing at all, parts of a thousandth core, parts of a byte."""
    of = key.partition("_")[0]
    flag, example = f"--{key.replace('_', '-')}", _EXAMPLES[of]
    amount = parse_quantity(text)
    if amount is None or amount == 0:
        yield UsageError(
            f"{text!r} is no amount of {of} to Kubernetes", fix=f"{flag} {example}, or deploy.kubernetes.{key}"
        )
    elif of == "cpu" and amount % _CPU_STEP:
        yield UsageError(f"{text!r} is finer than a thousandth of a core", fix=f"{flag} {example}")
    elif of == "memory" and amount.denominator != 1:
        near = f"{text[:-1]}Mi" if text.endswith("m") else example
        yield UsageError(f"{text!r} of memory is not a whole number of bytes", fix=f"{flag} {near}")


def _cpu(options: Kubernetes, contract: Contract) -> str:
    return options.cpu or f"{contract.cpu_millis}m"


def _memory(options: Kubernetes, contract: Contract) -> str:
    return options.memory or f"{contract.memory_mib}Mi"


def _memory_limit(options: Kubernetes, contract: Contract) -> str:
    """The contract's limit, unless more than that is asked for."""
    limit = f"{contract.memory_limit_mib}Mi"
    asked = parse_quantity(options.memory)
    return options.memory_limit or (options.memory if asked and asked > contract.memory_limit_mib * 2**20 else limit)
