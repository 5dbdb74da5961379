"""Dashboard and rules use only what exists, every alert is tried by promtool, and a Prometheus reads the server."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.unit.api.running_server import Running, running, write_config
from tests.unit.observability.debian import program
from tests.unit.observability.exposition import families, whole_metrics
from tests.unit.observability.test_observability_metrics import goodbye
from voxtrad.events.types import AgentSpeechEnded, CallEnded

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "voxtrad.rules.yml"
RULE_TESTS = DEPLOY / "prometheus" / "voxtrad.rules.test.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "voxtrad.json"


@dataclass(frozen=True)
class Query:
    where: str
    expr: str
    texts: tuple[str, ...] = ()
    """What is made of its labels: legends, annotations."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[Query]:
    for rule in rules():
        yield Query(f"alert {rule['alert']}", rule["expr"], tuple(rule["annotations"].values()))
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield Query(f"panel {panel['title']}", target["expr"], (target["legendFormat"],))
    for annotation in board["annotations"]["list"]:
        yield Query(f"annotation {annotation['name']}", annotation["expr"], (annotation["titleFormat"],))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]  # it must match
            yield Query(f"variable {variable['name']}", f"sum by ({label}) ({metric})")


ALL = list(queries())


def known(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Name of every sample -> its labels -> their values; what Prometheus adds included."""
    found: dict[str, dict[str, set[str]]] = {"up": {"job": {"voxtrad"}, "instance": set()}}
    for family in families(whole_metrics(folder)).values():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {"instance": set(), "job": {"voxtrad"}})
            for label, text in sample.labels.items():
                labels.setdefault(label, set()).add(text)
    return found


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.where)
def test_only_what_exists_is_asked_for(tmp_path: Path, query: Query) -> None:
    exists = known(tmp_path)
    asked = re.findall(r"\b(voxtrad_\w+|up)\b(?:{([^}]*)})?", query.expr)
    assert asked, "it asks for nothing"
    labels: set[str] = set()
    for metric, matchers in asked:
        assert metric in exists, f"there is no {metric}"
        labels |= set(exists[metric])
        for label, operator, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in exists[metric], f"{metric} has no label {label}"
            if "$" not in text and label not in ("instance", "agent"):
                words = text.split("|") if "~" in operator else [text]
                assert set(words) <= exists[metric][label], f"{metric} has no {label} {text}"
    for by in re.findall(r"\bby \(([^)]*)\)", query.expr):
        assert {name.strip() for name in by.split(",")} <= labels, by
    for text in query.texts:
        for label in re.findall(r"{{\s*(?:\$labels\.)?([a-z_]+)\s*}}", text):
            assert label in labels, f"{label} in {text!r}"


def test_every_promised_series_is_on_the_dashboard_or_watched(tmp_path: Path) -> None:
    text = " ".join(query.expr for query in ALL)
    for name in families(whole_metrics(tmp_path)):
        assert name in text, f"nobody looks at {name}"


def test_the_dashboard_can_be_loaded() -> None:
    board = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    assert board["uid"] == "voxtrad" and len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, f"{panel['title']} lies over another"
        taken |= cells


def test_every_alert_is_tried_and_says_what_to_do() -> None:
    tried = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    fired = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]


@pytest.mark.parametrize(
    "check", ["check rules voxtrad.rules.yml", "check config prometheus.yml", "test rules voxtrad.rules.test.yml"]
)
def test_promtool_agrees(check: str) -> None:
    done = subprocess.run(
        [program("promtool"), *check.split()],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- a real Prometheus ------------------------------------------------------------------------------------------------


class Prometheus:
    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def get(self, path: str, **query: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1/{path}", params=query) as answer:
            return await answer.json()

    async def values(self, expr: str) -> list[float]:
        answer = await self.get("query", query=expr)
        assert answer["status"] == "success", f"{expr}: {answer}"
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    async def until(self, expr: str, least: float) -> None:
        """Wait until a scrape has brought it."""
        async with asyncio.timeout(30):
            while not any(found >= least for found in await self.values(expr)):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(house: Running, folder: Path) -> AsyncIterator[Prometheus]:
    """The configuration that is shipped, scraping this server, and often."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "250ms"
    config["rule_files"] = [str(RULES)]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [house.url.removeprefix("http://")]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:0", "--log.format=json",
        stderr=asyncio.subprocess.PIPE, limit=1 << 20,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        address = ""
        async with asyncio.timeout(30):
            while not address:
                line = json.loads(await process.stderr.readline())
                if line.get("msg") == "Listening on":
                    address = line["address"]
        draining = asyncio.create_task(process.stderr.read())
        yield Prometheus(f"http://{address}", house.http)
    finally:
        process.terminate()
        await process.wait()
        await draining


async def test_a_real_prometheus_reads_the_real_server(tmp_path: Path) -> None:
    word = await goodbye()
    webhooks = 'webhooks: [{name: crm, url: "http://127.0.0.1:9/", secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}]'
    async with running(write_config(tmp_path, top=webhooks)) as house, prometheus(house, tmp_path) as watcher:
        async with house.call() as leg:
            await house.happened(AgentSpeechEnded)
            await watcher.until("voxtrad_calls_active", 1)
            await leg.say(word)
            await house.happened(CallEnded)
        async with house.call():
            pass
        await watcher.until('voxtrad_calls_total{agent="support", outcome="caller_hangup"}', 1)
        assert await watcher.values('up{job="voxtrad"}') == [1.0]
        assert await watcher.values("voxtrad_build_info") == [1.0]
        for query in ALL:
            expr = query.expr.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$agent", ".*")
            found = await watcher.values(expr)
            assert found or not query.where.startswith("panel"), f"{query.where} shows nothing: {expr}"
        names = (await watcher.get("label/__name__/values"))["data"]
        assert {name for name in known(tmp_path) if not name.endswith("_bucket")} - set(names) <= UNUSED_HERE
        loaded = (await watcher.get("rules"))["data"]["groups"][0]["rules"]
        assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in rules()}
        assert not any(rule["lastError"] for rule in loaded if "lastError" in rule)


UNUSED_HERE = {
    "voxtrad_webhook_deliveries_total", "voxtrad_webhook_dead_letters_total", "voxtrad_provider_requests_total",
}  # fmt: skip
"""Series of things that this test's configuration has none of."""
