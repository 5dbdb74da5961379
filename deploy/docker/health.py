"""Asks `/live` of the voxtrad in this container: exit code 0 when it answers, 1 otherwise. For HEALTHCHECK.

Where `server.listen` is not what VOXTRAD_LISTEN says, or is https, set VOXTRAD_HEALTH_URL.
"""

import os
import ssl
import sys
from urllib.request import urlopen


def url() -> str:
    """Where to ask."""
    port = os.environ.get("VOXTRAD_LISTEN", "").rpartition(":")[2] or "8090"
    return os.environ.get("VOXTRAD_HEALTH_URL") or f"http://127.0.0.1:{port}/live"


def main() -> int:
    # The certificate names the public host, and this is the loopback address: whose it is does not matter here.
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    try:
        with urlopen(url(), timeout=4, context=unchecked):
            return 0
    except OSError as error:
        print(f"{url()}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
