"""The console in a real Chromium: a spoken question is answered on the page, for eyes, ears and keyboards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from operator_page import Operator, Premises, call_and_hang_up, looking
from playwright.async_api import Locator, expect

from tests.unit.api.running_server import running, write_config
from voxtrad.events.types import AgentSpeechEnded, RecordingReady

pytestmark = pytest.mark.browser

TOKEN = "the-operator-s-own-token"
LISTENER = "a-token-that-may-only-look"
SECTIONS = ("#/calls", "#/phone", "#/agents", "#/health")


THERE = {
    "#/calls": "tbody tr",
    "#/phone": "form.handset",
    "#/agents": "details table",
    "#/health": "[aria-label=Providers] tbody tr:first-child",
}
"""What is there when a section has its content."""


OWN_RATE_ONLY = """{
    const source = AudioContext.prototype.createMediaStreamSource;
    AudioContext.prototype.createMediaStreamSource = function (stream) {
        if (this.sampleRate === 16000) throw new DOMException("of another rate", "NotSupportedError");
        return source.call(this, stream);
    };
}"""


def lines(operator: Operator, kind: str) -> Locator:
    return operator.page.locator(f".conversation {kind}")


async def serious(operator: Operator) -> list[tuple[str, str]]:
    """What axe finds that keeps somebody out: the rule, and the first place."""
    found = (await Axe().run(operator.page)).response["violations"]
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")]


async def test_a_spoken_question_is_answered_and_only_keys_are_needed(premises: Premises) -> None:
    async with premises.open() as operator:
        page = operator.page
        await operator.open()
        await operator.tab_to("Test phone")
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Agent", exact=True)).to_have_value("support")
        await operator.tab_to("Call")
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("status").filter(has_text="Connected")).to_be_visible()
        await expect(lines(operator, ".agent").first).to_contain_text("Thanks for calling Acme")
        assert await operator.loudest("Agent") > 0.02, "the agent's voice arrives"
        await expect(lines(operator, ".tool").first).to_contain_text("lookup_order")
        await expect(lines(operator, ".caller").filter(has_text="my order number is").first).to_be_visible()
        assert await operator.loudest("You") > 0.02, "the microphone is heard"
        await expect(lines(operator, ".tool").first).to_contain_text("on its way")
        await expect(lines(operator, ".agent").filter(has_text="Your order is on its way.").first).to_be_visible()
        await expect(page.locator(".waterfall li").first).to_contain_text("end of turn")

        await operator.tab_to("Keypad")
        await operator.tab_to("5")
        await page.keyboard.press("Enter")
        await expect(page.locator(".timeline")).to_contain_text("dtmf.received 5")
        await page.keyboard.press("7")
        await expect(page.locator(".timeline")).to_contain_text("dtmf.received 7")
        await page.get_by_role("button", name="Hang up").press("Enter")
        await expect(page.get_by_role("status").filter(has_text="You hung up.")).to_be_visible()
        await expect(page.locator(".timeline")).to_contain_text("call.ended")

        await page.get_by_role("link", name="This call’s page").press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("test phone → support")
        await expect(page.locator(".call-head")).to_contain_text("caller hangup")
        await expect(lines(operator, ".tool").first).to_contain_text("lookup_order")
        await expect(page.locator(".waterfall li").first).to_contain_text("end of turn")
        assert operator.complaints == []
        assert operator.hosts == {operator.url.removeprefix("http://")}


async def test_who_interrupts_the_agent_is_heard_at_once(premises: Premises) -> None:
    """In a browser that takes no microphone into a context of another rate, as some do."""
    greeting = " ".join(f"This is sentence number {number} of a very long greeting." for number in range(1, 30))
    premises.change(premises.folder / "agents/support.yaml", r'greeting: ".*"', f'greeting: "{greeting}"')
    async with premises.open() as operator:
        page = operator.page
        await page.add_init_script(OWN_RATE_ONLY)
        await operator.open("#/phone")
        await page.get_by_role("button", name="Call", exact=True).click()
        first = lines(operator, ".agent").first
        await expect(first).to_contain_text("interrupted")
        said = (await first.locator("p").inner_text()).removesuffix(" — interrupted")
        assert said in greeting and len(said) < len(greeting) / 2, said
        await expect(page.locator(".timeline")).to_contain_text("barge_in")
        await expect(lines(operator, ".caller").first).to_be_visible()
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.locator(".timeline")).to_contain_text("call.ended")
        assert operator.complaints == []


async def test_a_live_call_is_seen_on_the_list_and_hung_up_from_its_page(premises: Premises) -> None:
    async with premises.open() as operator:
        page = operator.page
        await operator.open("#/phone")
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.get_by_role("link", name="This call’s page")).to_be_visible()
        other = await page.context.new_page()
        await other.goto(f"{operator.url}/#/calls")
        row = other.locator(".live li").first
        await expect(row).to_contain_text(re.compile("Thanks for calling Acme|Your order is on its way"))  # the last
        await row.get_by_role("link").click()
        await expect(other.locator(".conversation")).to_contain_text("Thanks for calling Acme")
        await other.get_by_role("button", name="Hang up").click()
        await expect(other.locator(".call-head")).to_contain_text("hung up by local")
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
        await other.get_by_role("link", name="Calls", exact=True).click()
        await expect(other.locator(".live li")).to_have_count(0)
        await expect(other.locator("tbody tr")).to_have_count(1)
        await other.get_by_label("Number").fill("+44")
        await expect(other.get_by_text("No such call.")).to_be_visible()


async def test_a_recording_is_heard(tmp_path: Path, chromium: str, microphone: Path) -> None:
    async with running(write_config(tmp_path, agent="record: true")) as house:
        async with house.call():
            await house.happened(AgentSpeechEnded)
        await house.happened(RecordingReady)
        await house.server.ledger.flush()
        (call,) = (await house.ask("GET", "/v1/calls")).json["items"]
        async with looking(chromium, house.url, microphone) as operator:
            page = operator.page
            await operator.open(f"#/calls/{call['id']}")
            await page.get_by_role("button", name="Load the recording").click()
            audio = page.locator("audio")
            await audio.evaluate("audio => audio.play()")
            assert await audio.evaluate("audio => audio.duration") > 0.3
            await expect(page.get_by_role("link", name="Save")).to_have_attribute("download", f"{call['id']}.wav")
            assert operator.complaints == []


WEBHOOKS = """
webhooks:
  - {name: crm, url: "http://127.0.0.1:1/events", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
"""
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


async def test_everybody_can_use_it(premises: Premises) -> None:
    """axe finds nothing serious, and nothing sticks out of the screen."""
    with premises.config.open("a", encoding="utf-8") as config:
        config.write(WEBHOOKS)
    async with premises.open() as operator:
        page = operator.page
        call = await call_and_hang_up(operator.url)
        for section in (*SECTIONS, f"#/calls/{call}"):
            await operator.open(section)
            await expect(page.get_by_role("heading", level=1)).to_be_attached()
            await expect(page.get_by_role("status").first).to_contain_text("eady")
            await expect(page.locator(THERE.get(section, "h1"))).to_be_visible()
            for scheme, width in LOOKS:
                await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await page.set_viewport_size({"width": width, "height": 900})
                assert await serious(operator) == [], (section, scheme, width)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (section, width)
        assert operator.complaints == []
        await operator.open("#/health")
        owed = page.get_by_role("table", name="Webhook endpoints").get_by_role("row", name="crm").get_by_role("cell")
        await expect(owed.first).not_to_have_text("0")
        await expect(page.get_by_text("call.ended to crm")).to_be_visible()


async def test_a_token_is_asked_for_once(premises: Premises) -> None:
    boss, eye = f"{{name: boss, token: {TOKEN}, scopes: [read, calls, events]}}", f"{{name: eye, token: {LISTENER}}}"
    premises.change(premises.config, r"max_calls: 100 .*", f"tokens: [{boss}, {eye}]")
    async with premises.open() as operator:
        page = operator.page
        await operator.open("#/agents")
        door = page.get_by_role("dialog", name="A token, please")
        await expect(door).to_be_visible()
        assert await serious(operator) == []
        await page.keyboard.press("Escape")
        await expect(door).to_be_visible()
        await page.keyboard.type("not-a-token-of-this-server")
        await page.keyboard.press("Enter")
        await expect(door.get_by_role("alert")).to_be_visible()
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await expect(page.locator("summary")).to_contain_text("support")
        await page.reload()
        await expect(page.locator("summary")).to_contain_text("support")
        await expect(door).to_be_hidden()
        await page.get_by_role("link", name="Test phone").click()
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.get_by_role("status").filter(has_text="Connected")).to_be_visible()
        await page.get_by_role("button", name="Hang up").click()

        await page.evaluate("token => sessionStorage.setItem('voxtrad.token', token)", LISTENER)
        await page.reload()
        await page.get_by_role("button", name="Call", exact=True).click()
        await expect(page.get_by_text("The server refused the phone")).to_be_visible()
        await page.get_by_role("link", name="Calls", exact=True).click()
        await expect(page.get_by_text("has no scope 'events'")).to_be_visible()
        await page.get_by_role("button", name="Forget token").click()
        await expect(door).to_be_visible()


async def test_a_page_that_is_open_for_a_day_does_not_grow(premises: Premises) -> None:
    async with premises.open() as operator:
        page = operator.page
        await operator.open("#/health")
        counted = await page.evaluate("""async () => {
            const { CallBoard } = await import("/console/call-board.js");
            const { Live } = await import("/console/live.js");
            const board = new CallBoard(), live = new Live();
            const stages = { endpointing: 0.5, llm_first_token: 0.1, llm_first_sentence: 0.2, tts_first_byte: 0.1 };
            for (let turn = 1; turn <= 3000; turn++) {
                const timestamp = new Date(1e12 + turn * 1000).toISOString();
                const say = (type, data) => {
                    const event = { type, timestamp, data: { call_id: `c_${turn}`, agent: "a", ...data } };
                    board.take(event);
                    live.take(event);
                };
                say("call.started", { from: "1", to: "2", channel: "x", direction: "inbound" });
                say("user.transcript", { text: "<img src=x onerror=alert(1)>" });
                say("tool.called", { tool: "t", tool_call_id: `tc_${turn}`, arguments: {} });
                say("turn.ended", { turn, latency: 1, stages });
                say("call.ended", { outcome: "completed", reason: "", duration: 1 });
            }
            return {
                nodes: board.element.querySelectorAll("*").length, tools: board.tools.size,
                latencies: board.latencies.length, live: live.calls.size,
                images: board.element.querySelectorAll("img").length,
            };
        }""")
        assert counted["nodes"] < 30_000 and counted["tools"] <= 1000 and counted["latencies"] <= 1000, counted
        assert counted["live"] == counted["images"] == 0
        assert operator.complaints == []


async def test_what_is_not_from_here_does_not_run(premises: Premises) -> None:
    """The policy, as the browser keeps it."""
    async with premises.open() as operator:
        page = operator.page
        answer = await page.goto(operator.url)
        assert answer is not None and "default-src 'none'" in answer.headers["content-security-policy"]
        ran = await page.evaluate("""() => {
            const script = document.createElement("script");
            script.append("window.ran = true");
            document.head.append(script);
            return window.ran === true;
        }""")
        assert ran is False
        with pytest.raises(Exception, match="Failed to fetch"):
            await page.evaluate("fetch('http://127.0.0.1:1/elsewhere')")
