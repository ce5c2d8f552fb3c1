"""The journeys of people through the pages, in a real browser, on a gateway in a process of its own that can be killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.domain.check import CheckResult, Finding, Outcome, TestRun
from agent.domain.event import Event
from agent.domain.proposal import Proposal, ProposalDraft
from agent.domain.review import Remark
from agent.manifest_file import write_manifest
from agent.wiring import open_workplace
from tests.builders import a_manifest, a_review
from tests.chromium import a_chromium, faults
from tests.pages_server import keys_in
from tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 30_000  # milliseconds, on a machine that does other things as well
PHONE = {"width": 360, "height": 740}
PAGES = ("/attention", "/ask", "/requests", "/requests/1", "/proposals?state=all", "/proposals/2", "/skills", "/skills/text-length", "/registry",
         "/ledger", "/settings", "/vault", "/own-secrets")  # fmt: skip
BY_NIGHT = ("/skills/text-length", "/ledger")


class Site:
    """The gateway, and the people who visit it. What a browser complains of is kept: a page may give it no cause."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder, self.browser, self.port = folder, browser, free_port()
        self.complaints: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.pages_server", str(self.folder), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline() or b"{}").get("url") == self.url

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def key(self, name: str, *scopes: str) -> str:
        return keys_in(self.folder).create(name, scopes or ("admin",))[1]

    def visitor(self, name: str = "ada", path: str = "/attention", **traits: Any) -> Page:
        """A page of somebody who has signed in, in a browser of their own."""
        page = self.watched(self.browser.new_context(**traits)).new_page()
        page.goto(f"{self.url}/sign-in?to={path}")
        page.get_by_label("Your key").fill(self.key(name))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}{path}")
        return page

    def watched(self, context: BrowserContext) -> BrowserContext:
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        return context

    def closed(self) -> None:
        """Everybody leaves: a browser keeps six connections to one host, and each page that is looked at has one."""
        while self._contexts:
            self._contexts.pop().close()


@pytest.fixture(autouse=True)
def everybody_leaves(site: Site) -> Iterator[None]:
    yield
    site.closed()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from playwright.sync_api import expect

    with a_chromium() as browser:
        expect.set_options(timeout=PATIENCE)
        site = Site(tmp_path_factory.mktemp("pages"), browser)
        site.start()
        yield site
        site.kill()


@pytest.fixture(scope="module")
def talk(site: Site) -> str:
    """Where Ada talked with the agent: she asked for what no skill could do, approved the skill where she was led to it, and came back."""
    page = site.visitor(path="/ask")
    page.get_by_label("What would you like to have done?").fill('How many words has "to be or not to be"?')
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/ask/[0-9a-f]{32}$"))
    page.get_by_text("No skill of mine does this yet").wait_for()
    page.get_by_role("list", name="How far request #1 is").wait_for()
    talk = page.url
    page.get_by_role("link", name="Look and decide on proposal #2").click()
    page.get_by_role("heading", name="#2 Add word-count").wait_for()
    page.get_by_label("Reason").fill("It does what I asked for.")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Your approval is noted.").wait_for()
    page.goto(talk)
    page.get_by_text("It has 6 words.").wait_for()
    site.closed()
    return talk.removeprefix(site.url)


def test_a_question_that_no_skill_answers_is_answered_once_its_skill_was_approved_in_the_page(site: Site, talk: str) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path=talk)
    expect(page.get_by_text("Receipt: called word-count 1.0.0")).to_contain_text("proposal #2, approved by ada")
    page.get_by_text("The plan, 1 step").click()
    expect(page.get_by_role("link", name="word-count").first).to_be_visible()
    page.get_by_role("link", name="proposal #2").first.click()
    expect(page.get_by_role("heading", name="Merged")).to_be_visible()
    expect(page.get_by_role("region", name="Timeline")).to_contain_text("draft 1")
    expect(page.get_by_role("region", name="Changes of skills/word-count/skill.py")).to_contain_text("def execute")
    assert page.title().startswith("Add word-count"), "a script in the author's notes was run"


def test_a_skill_is_tried_by_the_form_of_its_schema(site: Site, talk: str) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/skills")
    page.keyboard.press("/")
    page.keyboard.type("how many words")
    expect(page.get_by_text("found for “how many words”")).to_be_visible()
    page.get_by_role("link", name="word-count").click()
    page.get_by_label("text").fill("one two three")
    page.get_by_role("button", name="Call word-count").click()
    expect(page.get_by_label("Outputs")).to_contain_text('"words": 3')
    expect(page.get_by_text("Receipt: word-count 1.0.0")).to_be_visible()
    page.reload()
    expect(page.get_by_role("img", name=re.compile("Calls a minute"))).to_be_visible()


def test_a_secret_is_set_by_a_form_and_seen_no_more(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/vault")
    page.get_by_label("Name").fill("WEATHER_KEY")
    page.get_by_label("Skills that may have it").fill("text-length")
    page.get_by_role("button", name="Make a one-time form").click()
    page.get_by_role("link", name="Open the form").click()
    page.get_by_label("Value of WEATHER_KEY").fill("sunny-4711")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("heading", name="WEATHER_KEY is set")).to_be_visible()
    page.goto(f"{site.url}/vault")
    expect(page.get_by_role("region", name="Secrets")).to_contain_text("WEATHER_KEY")
    assert "sunny-4711" not in page.content()


def test_a_persons_own_secret_is_given_in_a_form_for_them_alone_and_taken_back(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/own-secrets")
    table = page.get_by_role("region", name="Your secrets")
    expect(table).to_contain_text("own-length LENGTH_TOKEN not given yet", use_inner_text=True)
    page.get_by_role("button", name="Give LENGTH_TOKEN of own-length").click()
    page.get_by_role("link", name="Open the form").click()
    expect(page.get_by_text("This is for ada")).to_be_visible()
    page.get_by_label("Value of LENGTH_TOKEN").fill("mine-4711")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("heading", name="LENGTH_TOKEN is set")).to_be_visible()
    page.goto(f"{site.url}/own-secrets")
    expect(table).to_contain_text("set just now")
    assert "mine-4711" not in page.content()
    other = site.visitor("bob", "/own-secrets")
    expect(other.get_by_role("region", name="Your secrets")).to_contain_text("not given yet")
    page.get_by_role("button", name="Remove LENGTH_TOKEN of own-length").click()
    expect(page.get_by_text("The secret is removed.")).to_be_visible()
    expect(table).to_contain_text("not given yet")


def test_what_is_searched_for_stays_found_while_things_change_and_when_somebody_comes_back(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/ledger")
    expect(page.locator("#link-state")).to_have_text("live")
    page.get_by_label("Search the ledger").fill("zebra")
    expect(page.get_by_text("Nothing of this is in the ledger.")).to_be_visible()
    parts = open_workplace(site.folder / "skills", user="bob").parts
    for note in ("about a zebra", "about a horse"):
        parts.record(Event(stage="people", what="held", actor="bob", request=1, note=note))
    expect(page.get_by_text("about a zebra")).to_be_visible()  # came in by itself, among what was searched for
    expect(page.get_by_text("about a horse")).to_have_count(0)
    page.get_by_role("link", name="#1").click()
    page.wait_for_url("**/requests/1")
    page.go_back()
    expect(page.get_by_label("Search the ledger")).to_have_value("zebra")
    expect(page.get_by_text("about a horse")).to_have_count(0)


def test_a_skill_is_rolled_back_through_the_gates_while_another_tab_looks_on(site: Site) -> None:
    from playwright.sync_api import expect

    page, looking = site.visitor(path="/skills/text-length"), site.visitor("bob", "/skills/text-length")
    page.get_by_role("button", name="Roll back to 1.0.0").click()
    page.get_by_text("The proposal is open, and passes the gates.").wait_for()
    other = site.visitor("bob", page.url.removeprefix(site.url).partition("?")[0])
    expect(other.get_by_role("heading", name="Waits for a person")).to_be_visible()
    other.get_by_label("Reason").fill("not yet de")
    other.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Merged")).to_be_visible()  # in the tab that nobody touched
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(looking.get_by_role("region", name="Versions")).to_contain_text("1.1.1")


@pytest.fixture(scope="module")
def failing(site: Site, talk: str) -> Proposal:
    """Bob's proposal, whose tests fail and which a reviewer holds something against, each at a line of the code."""
    place = open_workplace(site.folder / "skills", user="bob")
    forge, path = place.parts.forge, "skills/text-length/skill.py"
    wider = a_manifest(name="text-length", version="2.0.0", permissions={"network": ["words.example.com:443"]})
    code = b"def execute(inputs, context):\n    return {'words': 1}\n"
    forge.commit("people/text-length-2", {path: code, "skills/text-length/skill.yaml": write_manifest(wider)}, parent=None, message="2", author="bob")
    draft = {"branch": "people/text-length-2", "skill": "text-length", "kind": "person", "title": "Ask a host", "body": "", "author": "bob"}
    proposal = forge.open_proposal(ProposalDraft(**draft))
    ran = (TestRun(id="test_skill.py::test_two", outcome="failed", message="1 is not 2", seconds=0.5), TestRun(id="t::one", outcome="passed"))
    for check in place.parts.checks:
        result = CheckResult(name=check.name, outcome=Outcome.PASSED, head=proposal.head, summary="Nothing to mend.", seconds=0.2)
        if check.name == "tests":
            found = Finding(message="every text has one word", path=path, line=2)
            told = {"outcome": Outcome.FAILED, "summary": "every text has one word", "findings": (found,)}
            result = result.model_copy(update=told).with_tests(ran)
        forge.post_check(proposal.number, result)
    remark = Remark(message="“a b” has two words.", path="skill.py", line=2, blocking=True, reproduced=True)
    for name in ("correctness", "security", "fit"):
        held = {"verdict": "revise", "remarks": (remark,)} if name == "correctness" else {}
        forge.post_review(proposal.number, a_review(name, head=proposal.head, **held))
    return proposal


def test_what_fails_and_what_a_reviewer_holds_against_it_stand_on_their_lines_and_what_is_typed_outlives_what_comes_in(
    site: Site, failing: Proposal
) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path=f"/proposals/{failing.number}")
    rows = page.get_by_role("region", name="Changes of skills/text-length/skill.py").locator("tr.plus, tr.remark")
    said = ("return", "tests.*blocks.*every text has one word", "correctness.*blocks.*two words")
    expect(rows).to_have_text([re.compile(each, re.DOTALL) for each in said])
    expect(page.get_by_role("region", name="Test results of tests")).to_contain_text("1 is not 2")
    expect(page.get_by_role("region", name="What it asks for")).to_contain_text("words.example.com:443")
    folded = page.locator("details.file", has_text="skill.yaml")
    folded.locator("summary").click()
    page.get_by_label("Reason").fill("It counts nothing.")
    expect(page.locator("#link-state")).to_have_text("live")
    forge = open_workplace(site.folder / "skills", user="bob").parts.forge
    forge.post_review(failing.number, a_review("carl", head=failing.head, kind="person", summary="I wait for the tests.", verdict="revise"))
    expect(page.get_by_text("I wait for the tests.").first).to_be_visible()  # came in by itself
    expect(page.get_by_label("Reason")).to_have_value("It counts nothing.")
    expect(folded).not_to_have_attribute("open", "")


def test_a_proposal_goes_back_with_a_reason_and_its_author_is_watched_at_work_and_stopped(site: Site, talk: str) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/requests")
    page.get_by_text("Ask for an ability").click()
    page.get_by_label("What is missing").fill("Count the letters of a text.")
    page.get_by_role("button", name="Raise the request").click()
    page.get_by_role("link", name=re.compile("^proposal #")).first.click()
    expect(page.get_by_role("heading", name="Waits for a person")).to_be_visible()
    page.get_by_label("Reason").fill("Count accents, and do it slowly.")
    page.get_by_role("button", name="Send back").click()
    page.get_by_text("It goes back to its author.").wait_for()
    work = page.get_by_role("list", name="What was done, the latest last")
    expect(work).to_contain_text("proposing …")  # live, while the author is at it
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("It is stopped, until somebody lets it go on.").wait_for()
    expect(work).to_contain_text("ada stopped what was being done")
    expect(work).not_to_contain_text("proposing …")
    page.get_by_label("Reason").fill("Enough.")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("heading", name="Closed")).to_be_visible()


def test_what_the_agent_is_at_is_stopped_where_it_was_asked(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.visitor(path="/ask")
    page.get_by_label("What would you like to have done?").fill("Count something, slowly.")
    page.keyboard.press("Enter")
    page.get_by_text("planning …").wait_for()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped: ada said so.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def test_a_page_outlives_its_gateway(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.visitor()
    page.route("**/live/**", lambda route: route.abort(), times=1)  # the first connection is lost on its way
    page.goto(f"{site.url}/requests")
    state = page.locator("#link-state")
    expect(state).to_have_text("live")
    site.kill()
    expect(state).to_contain_text("connection lost")
    page.get_by_text("Ask for an ability").click()
    page.get_by_label("What is missing").fill(wish := "Count the words of a text, parted by white space.")
    page.get_by_role("button", name="Raise the request").click()
    expect(page.get_by_text("The server does not answer. Nothing was sent")).to_be_visible()
    site.start()
    expect(state).to_have_text("live")  # by itself, and nobody was signed out
    expect(page.get_by_label("What is missing")).to_have_value(wish)
    slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}  # 400 ms, 400 kbit/s
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Raise the request").dblclick()
    expect(page.get_by_text("The request is raised.")).to_be_visible()
    assert len(posted) == 1, "an impatient second click sends nothing"
    site.complaints.clear()  # that nobody answered is what the browser said of it


def test_everything_is_reached_by_the_keyboard_alone(site: Site) -> None:
    from playwright.sync_api import expect

    page = site.watched(site.browser.new_context()).new_page()
    page.goto(site.url)
    key = site.key("eve")
    expect(page.get_by_label("Your key")).to_be_focused()  # by itself, when the page is drawn
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/attention")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen = list[str]()
    while len(seen) < 40 and "Skills" not in seen:
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
    page.keyboard.press("Enter")
    page.wait_for_url("**/skills")


def test_a_phones_width_is_enough_and_nothing_serious_keeps_anybody_out(site: Site, talk: str, failing: Proposal) -> None:
    """On every page nothing is wider than a phone's screen, and axe-core finds nothing serious: there by day, or at a desk by night."""
    phone, desk = site.visitor(viewport=PHONE, has_touch=True), site.visitor(color_scheme="dark", reduced_motion="reduce")
    found = dict[str, list[str]]()
    rough = f"/proposals/{failing.number}"
    for path in (*PAGES, talk, rough):
        phone.goto(site.url + path)
        if phone.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found[f"{path} on a phone"] = ["wider than the screen"]
        if by_night := path in (*BY_NIGHT, rough):
            desk.goto(site.url + path)
        found[path] = faults(desk if by_night else phone)
    assert {path: told for path, told in found.items() if told} == {}


def test_the_browser_had_nothing_to_complain_of(site: Site) -> None:
    """No script failed, and nothing was refused by the policy of the pages: the last test, for what all before it left."""
    assert site.complaints == []
