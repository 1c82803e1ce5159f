"""A plugin of kubeconfig, as a program: `python sign_in.py MODE [FOLDER]`. Runs are counted in FOLDER."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

PEM = Path(__file__).parent / "pem"


def main(mode: str, folder: str = "") -> None:
    told = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
    run = 0
    if folder:
        run = len(list(Path(folder).iterdir()))
        Path(folder, f"run-{run}").write_text(json.dumps(told), encoding="utf-8")
    status: dict[str, object] = {"token": f"token-{run}"}
    if mode == "certificate":
        name = ("kim", "robin")[run % 2]
        status = {
            "clientCertificateData": (PEM / f"{name}.pem").read_text(encoding="utf-8"),
            "clientKeyData": (PEM / f"{name}.key").read_text(encoding="utf-8"),
        }
    elif mode == "expired":
        status["expirationTimestamp"] = "2020-01-01T00:00:00Z"
    elif mode == "lasting":
        status["expirationTimestamp"] = "2120-01-01T00:00:00Z"
    elif mode == "environment":
        status["token"] = os.environ["WORD"]
    elif mode == "failing":
        sys.exit(3)
    elif mode == "hanging":
        time.sleep(60)
    elif mode == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    elif mode == "deaf":
        sys.stdout.close()
        os.close(1)
        time.sleep(60)
    elif mode == "rubbish":
        sys.stdout.write("s3cret-of-tests is your token")
        return
    elif mode.startswith("{"):
        status = json.loads(mode)
    api = "client.authentication.k8s.io/v0" if mode == "other" else told["apiVersion"]
    json.dump({"apiVersion": api, "kind": "ExecCredential", "status": status}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
