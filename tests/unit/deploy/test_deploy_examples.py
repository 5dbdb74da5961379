"""The tool server in Node: asked by the starter's own tool, and by others who should not."""

from __future__ import annotations

import re

import pytest

from tests.unit.deploy.toolserver import (
    DEMO_SECRET,
    EXAMPLES,
    OTHER_SECRET,
    ROOT,
    answers_as_the_contract_says,
    look_up,
    refuses_what_is_not_voxtrads,
    serving,
)
from voxtrad.tools.base import ToolError

NODE = ["node", str(EXAMPLES / "node/server.mjs")]
LISTEN = {"LISTEN": "127.0.0.1:{port}"}


async def test_node_answers_the_starters_tool() -> None:
    async with serving(NODE, LISTEN) as url:
        await answers_as_the_contract_says(url)
        await refuses_what_is_not_voxtrads(url)


async def test_both_sides_can_have_another_secret() -> None:
    async with serving(NODE, {**LISTEN, "TOOLS_SECRET": OTHER_SECRET}) as url:
        assert (await look_up(url, "2345", secret=OTHER_SECRET)).result is not None
        with pytest.raises(ToolError, match="the signature is wrong"):
            await look_up(url, "2345", secret=DEMO_SECRET)


@pytest.mark.parametrize(
    "file",
    [
        "config/tools/orders.yaml",
        "docker-compose.yml",
        "deploy/examples/node/server.mjs",
        "deploy/examples/php/index.php",
    ],
)
def test_all_sides_have_the_same_demo_secret(file: str) -> None:
    assert re.findall(r"whsec_\w+=*", (ROOT / file).read_text(encoding="utf-8")) == [DEMO_SECRET]
