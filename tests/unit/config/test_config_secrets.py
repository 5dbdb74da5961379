"""Every secret of a configuration is found, wherever it stands, and nothing that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from provider_models import TYPES
from pydantic import BaseModel, SecretStr

from voxtrad.config.diagnostics import ConfigError, as_github, as_json, as_text
from voxtrad.config.effective import in_effect
from voxtrad.config.loader import load
from voxtrad.config.secrets import secrets_in
from voxtrad.providers.registry import provider_types

WEBHOOK = "whsec_dGhlIHNlY3JldCBvZiB0aGUgc2VjcmV0cyB0ZXN0IQ=="
OLD = "whsec_dGhlIG9sZCBvbmUgb2YgdGhlIHNlY3JldHMgdGVzdCE="
TOOL = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdG9vbHMgdGVzdHMuLi4="
TEXT = f"""
asterisk: {{password: "${{env:PASSWORD}}", url: "http://user:in-the-url@pbx:8088"}}
server: {{tokens: [{{name: crm, token: "${{file:token}}"}}]}}
webhooks: [{{name: crm, url: "https://crm.example/", secret: [{WEBHOOK}, {OLD}]}}]
providers: {{vendor: {{type: deepgram, api_key: vendors-api-key}}}}
agents:
  a: {{stt: vendor, llm: scripted, tts: espeak, variables: {{company: Acme-and-Sons, token: the-variable-token}}}}
tools:
  t: {{description: x, webhook: {{url: "http://127.0.0.1/", secret: {TOOL}}}, fixed: {{api_key: a-fixed-key}}}}
  h:
    description: x
    http:
      url: https://api.example/
      headers: {{Authorization: "Bearer header-token", X-Tier: "{{{{ vars.token }}}}"}}
"""


def test_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "voxtrad.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "token").write_text("the-token-of-crm\n", encoding="utf-8")
    environment = {"PASSWORD": "pass-from-environment"}
    config = load(tmp_path / "voxtrad.yaml", provider_types=TYPES, environment=environment, not_yet=()).config
    whsec = {WEBHOOK, OLD, TOOL}
    assert secrets_in(config) == {
        "pass-from-environment", "in-the-url", "the-token-of-crm", "vendors-api-key", "the-variable-token",
        "a-fixed-key", "Bearer header-token", "header-token",
        *whsec, *(secret.removeprefix("whsec_") for secret in whsec),
    }  # fmt: skip


def test_none_of_the_starter_but_its_own() -> None:
    starter = Path(__file__).parents[3] / "config/voxtrad.yaml"
    found = secrets_in(load(starter, provider_types=provider_types(), environment={}).config)
    assert {secret[:8] for secret in found} == {"whsec_dG", "dGhlLXN0"}


def test_a_password_that_is_the_users_name_is_no_secret() -> None:
    class Account(BaseModel):
        username: str = "voxtrad"
        password: SecretStr = SecretStr("voxtrad")
        token: SecretStr = SecretStr("a-real-secret")

    assert secrets_in(Account()) == {"a-real-secret"}


@pytest.mark.parametrize(
    "text",
    [
        "providers: {openai: Secret-99}", "providers:\n  openai:\n    Secret-99", "providers: {openai: [Secret-99]}",
        "asterisk:\n  password:Secret-99", "asterisk: {password Secret-99}", "asterisk: {password:Secret-99}",
        "server: {tokens: [Secret-99]}", "server: {tokens: Secret-99}", "server: {tokens: {crm: Secret-99}}",
        "server:\n  tokens:\n    - Secret-99",
        "x-a: &k Secret-99\nasterisk: {password: *k}\nserver: {country: *k}",
        "lookup: {webhook: {url: 'htp://x/?api_key=Secret-99'}}",
    ],
)  # fmt: skip
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "voxtrad.yaml"
    path.write_text(f"{text}\nagents: {{a: {{stt: sphinx, llm: scripted, tts: espeak}}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(path, provider_types=TYPES, environment={})
    found = raised.value.diagnostics
    for said in (as_text(found), as_json(found), as_github(found)):
        assert "Secret" not in said
    assert "***" in as_text(found)


def test_explain_hides_a_secret_in_the_query_of_a_url(tmp_path: Path) -> None:
    path = tmp_path / "voxtrad.yaml"
    path.write_text(
        "agents: {a: {stt: sphinx, llm: scripted, tts: espeak, tools: [t]}}\n"
        "tools: {t: {description: d, http: {url: 'http://x/?a=1&api_key=Secret-99'}}}\n",
        encoding="utf-8",
    )
    result = load(path, provider_types=TYPES, environment={})
    shown = "\n".join(str(line.value) for line in in_effect(result.config.tools["t"], ("tools", "t"), result.origin))
    assert "a=1&api_key=***" in shown and "Secret" not in shown
