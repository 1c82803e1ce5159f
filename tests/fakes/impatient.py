"""The server of an app as it is, but for how long its supervisor lets it be silent beyond the longest request."""

from __future__ import annotations

import sys

from shipway.serving import __main__, supervisor

supervisor._PATIENCE_SECONDS = 2.0

if __name__ == "__main__":
    sys.exit(__main__.main(sys.argv[1:]))
