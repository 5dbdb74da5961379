"""Greetings are ready at every sample rate that a call can have, before the first such call."""

import pytest

from voxtrad.config.loader import load
from voxtrad.core import rates_of
from voxtrad.providers.registry import provider_types

CONFIG = """\
version: 1
asterisk: {{url: "http://127.0.0.1:8088", username: a, password: b, media: {{format: {form}}}}}
agents: {{support: {{greeting: Hello., stt: sphinx, tts: espeak, llm: {{provider: scripted, otherwise: Well.}}}}}}
"""


@pytest.mark.parametrize(("form", "rates"), [("auto", (8000, 16000)), ("slin", (8000,)), ("slin16", (16000,))])
def test_rates_are_those_that_the_pbx_is_asked_for(tmp_path, form, rates):
    file = tmp_path / "voxtrad.yaml"
    file.write_text(CONFIG.format(form=form))
    assert rates_of(load(file, provider_types=provider_types()).config) == rates
