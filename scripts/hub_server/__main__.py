"""Serve a Hub on 127.0.0.1 until Ctrl-C: python -m scripts.hub_server --root DIR [--port 8999]

Then, in another terminal: export HF_ENDPOINT=http://127.0.0.1:8999 HF_TOKEN=hf_local HF_HUB_DISABLE_XET=1
"""

import argparse
import threading
from pathlib import Path

from .server import HubServer

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", required=True, type=Path, help="directory for the blobs; repositories live in memory"
    )
    parser.add_argument("--port", type=int, default=8999)
    parser.add_argument("--user", default="me")
    parser.add_argument("--token", default="hf_local")
    options = parser.parse_args()
    with HubServer(options.root, options.port) as hub:
        hub.store.add_user(options.user, options.token)
        print(f"serving on {hub.url}, user {options.user}, token {options.token}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
