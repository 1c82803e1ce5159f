"""The same image for those who want `docker build`: a folder with a Dockerfile, as a pure function of its parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import folder_files
from shipway.image.build import BUNDLE_LABEL, app_folder, image_environment, server_files
from shipway.image.lock import Lock
from shipway.spec.contract import Contract

__all__ = ["context"]

_DOCKERFILE = """\
# Written by `shipway build --dockerfile`. Build it with: docker build -t {name}:{version} .
# Any image with Python {python}, pip and glibc will do: docker build --build-arg BASE=... .
ARG BASE=python:{python}-slim
FROM $BASE

# What changes least comes first, so that a new model is one small new layer.
COPY requirements.txt /opt/shipway/requirements.txt
RUN ["python3", "-m", "pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes", \
"--target", "/opt/shipway/lib", "-r", "/opt/shipway/requirements.txt"]
COPY app /opt/shipway/app
RUN ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/opt/shipway/app"]
COPY models {models}
{link}
ENV {environment}
LABEL {label}="{bundle}"
# A number, since Kubernetes cannot check that a name is not root.
USER {user}:{user}
WORKDIR {workdir}
EXPOSE {port}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD {health}
CMD {command}
"""

_HEALTH = (
    "import sys, urllib.request as r; sys.exit(r.urlopen('http://127.0.0.1:{port}{ready}', timeout=2).status != 200)"
)


def context(bundle: Bundle, contract: Contract, lock: Lock, python: str) -> dict[str, bytes | Path]:
    """Gives the files of a build context, by path; it builds without BuildKit too.

    Args:
        bundle: what it serves.
        contract: what the running server promises.
        lock: which wheels; pip takes them from its index by these hashes.
        python: version of the base's Python, major.minor.
    """
    environment = image_environment(contract)
    dockerfile = _DOCKERFILE.format(
        name=bundle.id.name,
        version=bundle.id.version,
        python=python,
        models=contract.models,
        link=_link(bundle, contract),
        workdir=contract.workdir or "/",
        environment=" \\\n    ".join(f"{key}={_quoted(value)}" for key, value in environment.items()),
        label=BUNDLE_LABEL,
        bundle=bundle.id,
        user=contract.user,
        port=contract.port,
        health=json.dumps(["python3", "-c", _HEALTH.format(port=contract.port, ready=contract.ready)]),
        command=json.dumps(contract.command("python3")),
    )
    files: dict[str, bytes | Path] = {
        "Dockerfile": dockerfile.encode(),
        ".dockerignore": b"*\n!requirements.txt\n!app\n!models\n",
        "requirements.txt": lock.requirements.encode(),
    }
    server: Mapping[str, bytes] = server_files()
    files |= {f"app/{path}": data for path, data in server.items()}
    return files | {f"models/{bundle.id.name}/{path}": source for path, source in folder_files(bundle).items()}


def _link(bundle: Bundle, contract: Contract) -> str:
    """Gives the instruction that leads from where an app's author had its files to them; empty for a model."""
    if not contract.workdir:
        return ""
    code = f"import os; os.makedirs(os.path.dirname({contract.workdir!r}), exist_ok=True)"
    code += f"; os.symlink({app_folder(bundle, contract)!r}, {contract.workdir!r})"
    return f"RUN {json.dumps(['python3', '-c', code])}\n"


def _quoted(value: str) -> str:
    """Gives a value as `ENV` takes it, without a variable of Docker's in it."""
    if re.fullmatch(r"[A-Za-z0-9_./:,+@%=-]*", value):
        return value
    return '"' + re.sub(r'(["$\\])', r"\\\1", value).replace("\n", " ") + '"'
