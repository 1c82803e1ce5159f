"""What the API server says when it does not do what it is asked, as an error that a person can act on.

A pure function from an answer to an error. Source: the API conventions of Kubernetes ("Response Status Kind"); each
case was made on purpose on a 1.36 node and its answer is kept in `tests/deploy/kubernetes/answers/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from shipway.deploy.kubernetes.api.kinds import Kind
from shipway.errors import Contested, NotAllowed, ShipwayError, TargetError, UsageError

__all__ = ["AlreadyThere", "Asked", "Expired", "FieldConflict", "Gone", "Refusal", "read_refusal", "refuse"]

_LONGEST_MESSAGE = 2000
_MOST_CAUSES = 5
_RBAC = re.compile(r'User "(?P<user>[^"]*)" cannot \S+ (?:resource|path)')
_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]+)"')


class Expired(TargetError):
    """The version from which a watch or a page should go on is no longer kept (410): list again."""


class AlreadyThere(Contested):
    """An object of that name exists already."""


class FieldConflict(Contested):
    """Fields of the object belong to others.

    Attributes:
        owners: the names of their field managers.
    """

    def __init__(self, message: str, *, owners: frozenset[str], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.owners = owners


class Gone(TargetError):
    """The object, its kind or its namespace is not there (404)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the cluster; what a message is made of.

    Attributes:
        verb: as rights name it: get, list, watch, create, patch, delete.
        kind: of the objects; None where it is about none.
        name: of the object; empty for all of them.
        namespace: in which.
        context: of kubeconfig.
        subresource: `log`, `proxy`, `scale` or none.
    """

    verb: str
    kind: Kind | None
    name: str
    namespace: str
    context: str
    subresource: str = ""

    @property
    def thing(self) -> str:
        """The object in words: `Deployment diabetes`."""
        return " ".join(part for part in (self.kind.kind if self.kind else "", self.name) if part) or "the call"

    @property
    def right(self) -> str:
        """The right that it takes, in words: `patch deployments/scale`."""
        resource = self.kind.plural if self.kind else self.name
        return f"{self.verb} {resource}/{self.subresource}" if self.subresource else f"{self.verb} {resource}"

    @property
    def place(self) -> str:
        """Where, in words."""
        if self.kind is not None and not self.kind.namespaced:
            return f"context {self.context}"
        return f"namespace {self.namespace} of context {self.context}"


class Cause(NamedTuple):
    """One of the things that are wrong: the API's word for it, the field, and a sentence."""

    reason: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success.

    Attributes:
        code: of HTTP.
        reason: the API's own word for it, `Invalid`; empty where it is no answer of the API.
        message: the API's own sentence.
        of: what it is about, in the plural: `namespaces`; empty where it is not said.
        causes: what is wrong, part by part.
        retry_after: seconds after which asking again makes sense; 0 where it is not said.
    """

    code: int
    reason: str = ""
    message: str = ""
    of: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after: float = 0.0


def read_refusal(code: int, body: bytes, headers: Mapping[str, str] | None = None) -> Refusal:
    """Reads an answer's body: a `Status` object, or whatever something on the way has written instead."""
    wait = _seconds((headers or {}).get("retry-after", ""))
    try:
        status = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return Refusal(code, message=_line(body.decode("utf-8", "replace")), retry_after=wait)
    details = _mapping(status.get("details"))
    listed = details.get("causes")
    causes = [_mapping(cause) for cause in listed] if isinstance(listed, list) else []
    number = status.get("code")
    return Refusal(
        number if isinstance(number, int) and number else code,
        _line(str(status.get("reason") or "")),
        _line(str(status.get("message") or "")),
        _line(str(details.get("kind") or "")),
        tuple(Cause(*(_line(str(cause.get(key) or "")) for key in Cause._fields)) for cause in causes),
        wait or _seconds(details.get("retryAfterSeconds")),
    )


def refuse(refusal: Refusal, asked: Asked) -> ShipwayError:
    """Gives the error for an answer.

    Returns:
        NotAllowed for 401 and missing rights; Contested or AlreadyThere for 409; Expired for 410; Gone for 404;
        UsageError for objects that the API calls invalid; TargetError for the rest.
    """
    reasons = {reason for reason, _, _ in refusal.causes}
    if "NamespaceTerminating" in reasons or "because it is being terminated" in refusal.message:
        return TargetError(
            f"{asked.thing} cannot be made: namespace {asked.namespace} of context {asked.context} is being deleted",
            fix=f"wait until `kubectl get namespace {asked.namespace}` no longer finds it, or choose another namespace",
        )
    if asked.subresource == "proxy" and not refusal.reason:
        return TargetError(f"{asked.thing} in {asked.place} answers {refusal.code}: {refusal.message}")
    match refusal.code:
        case 401:
            return _unknown_account(asked)
        case 403:
            return _forbidden(refusal, asked)
        case 404:
            return _not_found(refusal, asked)
        case 409:
            return _conflict(refusal, asked)
        case 410:
            return Expired(f"the cluster no longer keeps the version of {asked.right} that was asked for")
        case 400 | 415 | 422 if refusal.reason and not asked.subresource:
            return _invalid(refusal, asked)
        case 500 if "typed patch object" in refusal.message:  # so says server-side apply of unknown fields
            return _invalid(refusal, asked)
        case _:
            return _other(refusal, asked)


def _unknown_account(asked: Asked) -> ShipwayError:
    return NotAllowed(
        f"context {asked.context}: the cluster does not accept the credentials (401)",
        fix=f"sign in again; `kubectl --context {asked.context} auth whoami` shows whether they are valid",
    )


def _forbidden(refusal: Refusal, asked: Asked) -> ShipwayError:
    missing = _RBAC.search(refusal.message)
    if not refusal.reason:
        return _other(refusal, asked)
    if missing:
        return NotAllowed(
            f"{missing['user'] or 'the account'} may not {asked.right} in {asked.place}",
            fix="`shipway render --rbac` writes the Role that Shipway needs; "
            "whoever administers the cluster can apply it",
        )
    if "exceeded quota" in refusal.message:
        return TargetError(
            f"{asked.thing} is over the quota of {asked.place}: {refusal.message}",
            fix=f"`kubectl --namespace {asked.namespace} describe resourcequota` shows what is left; ask for less",
        )
    return TargetError(
        f"the cluster's admission refuses {asked.thing} in {asked.place}: {refusal.message}",
        fix="change what it names, or ask whoever administers the cluster",
    )


def _not_found(refusal: Refusal, asked: Asked) -> ShipwayError:
    if refusal.of == "namespaces" and asked.kind is not None and asked.kind.namespaced:
        return Gone(
            f"there is no namespace {asked.namespace} in context {asked.context}",
            fix=f"kubectl create namespace {asked.namespace}, or choose another with --namespace",
        )
    if refusal.of:
        return Gone(f"there is no {asked.thing} in {asked.place}")
    if asked.kind is None or not asked.kind.is_custom:
        return _other(refusal, asked)
    return Gone(
        f"the cluster of context {asked.context} knows no {asked.kind.kind} of {asked.kind.api}",
        fix="install what brings that kind, or leave the option out that asks for it",
    )


def _conflict(refusal: Refusal, asked: Asked) -> ShipwayError:
    if refusal.reason == "AlreadyExists":
        return AlreadyThere(f"{asked.thing} exists already in {asked.place}")
    owned = [(field, message) for reason, field, message in refusal.causes if reason == "FieldManagerConflict"]
    if owned:
        owners = [found["manager"] if (found := _MANAGER.search(message)) else "another" for _, message in owned]
        fields = [
            f"{field.removeprefix('.')} belongs to {owner}" for (field, _), owner in zip(owned, owners, strict=True)
        ]
        return FieldConflict(
            f"{asked.thing} in {asked.place} was changed by others: {_some(fields)}",
            owners=frozenset(owners),
            fix="--force takes these fields over; or let the other one give them up",
        )
    return Contested(f"{asked.thing} in {asked.place} was changed in the meantime: {refusal.message}", fix="try again")


def _invalid(refusal: Refusal, asked: Asked) -> ShipwayError:
    causes = [f"{field}: {message}" if field else message for _, field, message in refusal.causes]
    text = _some(causes) if causes else refusal.message
    if "immutable" in refusal.message:
        kind = asked.kind.kind.lower() if asked.kind else ""
        return UsageError(
            f"{asked.thing} in {asked.place} cannot be changed so: {text}",
            fix=f"kubectl --namespace {asked.namespace} delete {kind} {asked.name}, or release under another --name",
        )
    return UsageError(f"the cluster calls {asked.thing} invalid: {text}", fix="mend the setting that it comes from")


def _other(refusal: Refusal, asked: Asked) -> ShipwayError:
    said = f": {refusal.message}" if refusal.message else ""
    fix = "try again" if refusal.code >= 429 else ""
    if "failed calling webhook" in refusal.message:
        fix = "the webhook is one of the cluster's own admission checks: ask whoever administers it"
    elif not refusal.reason and not asked.subresource:
        fix = f"it may not be the API of a cluster that answers; see `kubectl --context {asked.context} cluster-info`"
    return TargetError(
        f"{asked.right} in {asked.place}: the cluster answers {refusal.code} {refusal.reason}".rstrip() + said, fix=fix
    )


def _some(texts: Sequence[str]) -> str:
    """Joins the first of them, each once."""
    unique = list(dict.fromkeys(texts))
    more = f", and {len(unique) - _MOST_CAUSES} more" if len(unique) > _MOST_CAUSES else ""
    return "; ".join(unique[:_MOST_CAUSES]) + more


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _line(text: str) -> str:
    """Gives a text as one printable line, cut where it is long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"


def _seconds(value: Any) -> float:
    """Gives a waiting time; 0 where there is none, or one given as a date."""
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return 0.0
