"""OpenAI and the many servers that speak its API: where they are and the key they want."""

from __future__ import annotations

from pydantic import Field, SecretStr

from voxtrad.providers.options import HTTPConnection


class OpenAIConnection(HTTPConnection):
    api_key: SecretStr | None = Field(
        default=None,
        description="The API key. A compatible server of your own (Ollama, vLLM, llama.cpp) usually needs none.",
    )
    organization: str | None = Field(
        default=None, description="The organization that is billed, where there are several."
    )
    project: str | None = Field(default=None, description="The project that is billed, where there are several.")
