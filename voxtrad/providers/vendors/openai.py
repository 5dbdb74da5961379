"""OpenAI and the many servers that speak its API: where they are and the key they want."""

from __future__ import annotations

from voxtrad.config.types import Name, Secret
from voxtrad.providers.options import NetworkConnection


class OpenAIConnection(NetworkConnection):
    api_key: Secret | None = None
    """The API key. A compatible server of your own (Ollama, vLLM, llama.cpp) usually needs none."""
    organization: Name | None = None
    """The organization that is billed, where there are several."""
    project: Name | None = None
    """The project that is billed, where there are several."""
