"""What a call's log keeps is what its agent's `privacy` allows, from the ring to the end."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from process import COMMAND, ROOT

NUMBER = "442079460958"
CONFIG = """\
server: {{data_dir: ./data}}
agents:
  a: {{stt: sphinx, llm: scripted, tts: espeak, greeting: Hello., idle: {{after: 0.5s, say: ["Still there?"], max: 1}},
      privacy: {privacy}}}
"""


@pytest.mark.parametrize(("privacy", "shown"), [("full", "44207…58"), ("redacted", "*****…58"), ("none", "(hidden)")])
async def test_the_callers_number_in_the_log(tmp_path: Path, privacy: str, shown: str) -> None:
    (tmp_path / "voxtrad.yaml").write_text(CONFIG.format(privacy=privacy), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "call", "a", "-v", "--from", NUMBER, "-c", "voxtrad.yaml",
        cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, log = await process.communicate()
    said = log.decode()
    assert process.returncode == 0, said
    assert shown in said and NUMBER not in said
    assert "privacy" not in said
