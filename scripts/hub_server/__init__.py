"""A small Hub on the standard library, for the unmodified clients (huggingface_hub, transformers, datasets).

    with HubServer(root) as hub:
        hub.add_user("me", token="hf_...")
        subprocess.run(..., env=os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_...", "HF_HUB_DISABLE_XET": "1"})

It speaks the client's protocol; the real Hub's policies (quota, YAML schema, moderation) it only imitates.
"""

from .server import HubServer
from .store import Refused, Repo, Store

__all__ = ["HubServer", "Refused", "Repo", "Store"]
