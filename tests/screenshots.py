"""Pictures of the pages, as the README shows them: `python -m tests.screenshots docs/screenshots`.

The demo's story is told on a throw-away repository, a colleague's proposal waits for a decision, and each page is opened in Debian's
chromium: by day at a desk, and some by night or on a phone.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from agent import wiring
from agent.demo import tell_story
from agent.domain.capability import Capability
from agent.domain.check import CheckResult, Finding, Outcome, TestRun
from agent.domain.event import Event
from agent.domain.proposal import ProposalDraft
from agent.domain.review import Remark, Review
from agent.gateway.pages.feed import Feed
from agent.gateway.server import configured, listen, url_of
from agent.manifest_file import read_manifest, write_manifest
from agent.parts import Parts
from agent.screen import Quiet
from agent.workplace import Workplace
from tests.builders import a_manifest
from tests.chromium import a_chromium
from tests.gateways import publish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WHO, SKILL, OWN = "you", "duration-to-seconds", "issue-list"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CHANGE = '''


def remembered(text: str) -> int | None:
    """What the team's clock service says of a name like "sprint"."""
    import urllib.request

    with urllib.request.urlopen(f"https://clock.example.com/{text}", timeout=5) as answer:
        return int(answer.read())
'''
SHOTS: tuple[tuple[str, str, str], ...] = (
    ("sign-in", "/sign-in", "day"), ("needs-attention", "/attention", "day"), ("ask", "{talk}", "day"), ("proposal", "/proposals/{number}", "day"),
    ("tests", "/proposals/{number}#checks", "day"), ("conversations", "/ask", "day"), ("log", f"/skills/{SKILL}/logs", "day"),
    ("timeline", "/proposals/2#timeline", "day"), ("diff", "/proposals/{number}#diff", "day"), ("proposals", "/proposals?state=all", "day"),
    ("requests", "/requests?state=all", "day"), ("request", "/requests/1", "day"), ("skills", "/skills", "day"), ("skill", f"/skills/{SKILL}", "day"),
    ("try", f"/skills/{SKILL}#try", "day"), ("registry", "/registry", "day"), ("ledger", "/ledger", "day"), ("vault", "/vault", "day"),
    ("settings", "/settings#policy", "day"), ("own-secrets", "/own-secrets", "day"),
    ("needs-attention-night", "/attention", "night"), ("proposal-night", "/proposals/{number}", "night"),
    ("needs-attention-phone", "/attention", "phone"), ("proposal-phone", "/proposals/{number}", "phone"), ("ask-phone", "{talk}", "phone"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="Where the pictures go.")
    parser.add_argument("--only", nargs="*", help="The pictures to take; all where left out.")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="skillops-") as folder:
        home = Path(folder) / "skills"
        tell_story(Quiet(), home, live=False, record=None, rekey=None)
        place = wiring.open_workplace(home, feed := Feed(), user=WHO)
        try:
            a_skill_that_takes_secrets(place)
            number = a_colleagues_proposal(place.parts)
            place.parts.vault.set("WEATHER_API_KEY", "not shown", WHO, ["weather"])
            place.parts.vault.set("GITHUB_TOKEN", "not shown", WHO, [OWN], person=WHO)
            gateway = wiring.gateway_of(place, "127.0.0.1", work=False, feed=feed)
            key, listening = gateway.keys.create(WHO, ["admin"])[1], listen("127.0.0.1", 0)
            server = uvicorn.Server(configured(wiring.app_of(gateway)))
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            serving.start()
            use(url_of(listening), key)
            talk = place.conversations.memory.latest(WHO)
            words = {"talk": f"/ask/{talk.id if talk else ''}", "number": number}
            with a_chromium() as browser:
                take(browser, url_of(listening), key, asked.folder, words, asked.only)
            server.should_exit = True
            server.config.app.leave()  # type: ignore[union-attr]
            serving.join(20)
        finally:
            place.parts.runtime.shutdown()  # type: ignore[attr-defined]


def a_skill_that_takes_secrets(place: Workplace) -> None:
    """One that works for each who calls it with their own keys, put on main by hand."""
    secrets = ["GITHUB_TOKEN", "TRACKER_TOKEN"]
    described = "List the issues that wait for you, in both places. Use when somebody asks what there is to do."
    publish(place, a_manifest(name=OWN, description=described, permissions={"secrets": secrets, "personal": secrets}))


def a_colleagues_proposal(parts: Parts) -> int:
    """A next version of the demo's skill that asks for a host, with all that was said of it."""
    parts.sync()
    forge, folder = parts.forge, f"skills/{SKILL}"
    manifest = read_manifest(forge.read("main", f"{folder}/skill.yaml") or b"", "skill.yaml")
    wider = manifest.model_copy(
        update={"version": "1.2.0", "permissions": manifest.permissions.model_copy(update={"network": ("clock.example.com:443",)})}
    )
    code = (forge.read("main", f"{folder}/skill.py") or b"").decode()
    files: dict[str, bytes | None] = {f"{folder}/skill.yaml": write_manifest(wider), f"{folder}/skill.py": (code + CHANGE).encode()}
    branch, line = "skill/named-durations", len(code.splitlines()) + 7
    forge.commit(branch, files, parent=None, message="Names of durations", author="grace")
    draft = ProposalDraft(branch=branch, skill=SKILL, kind="person", title="Read names of durations, like a sprint", body="", author="grace")
    proposal = forge.open_proposal(draft)
    for each in parts.checks:
        noted = (Finding(message="urlopen reads from the network: see that it is meant", path=f"{folder}/skill.py", line=line, level="note"),)
        found = noted if each.name == "security" else ()
        can = Capability(kind="network", what="urllib.request.urlopen", path=f"{folder}/skill.py", line=line, gained=True)
        result = CheckResult(
            name=each.name,
            outcome=Outcome.PASSED,
            head=proposal.head,
            summary=_SUMMARIES.get(each.name, "Nothing to mend."),
            seconds=0.4,
            findings=found,
            capabilities=(can,) if found else (),
        ).with_tests(_TESTS.get(each.name, ()))
        forge.post_check(proposal.number, result)
        event = Event(
            stage="checking", what="checked", actor="check", proposal=proposal.number, skill=SKILL, commit=proposal.head, outcome="passed",
            seconds=0.4, note=result.summary, data={"check": each.name},
        )  # fmt: skip
        parts.record(event)
    for name in ("correctness", "security", "fit"):
        remark = Remark(
            message="The service is asked for every text that is no duration. Should it be asked for known names alone?", path="skill.py", line=line
        )
        review = Review(
            reviewer=name, head=proposal.head, verdict="approve", summary="It does what its title says.", tokens=2140, cost=0.011, seconds=3.2,
            remarks=(remark,) if name == "correctness" else (),
        )  # fmt: skip
        forge.post_review(proposal.number, review)
    return proposal.number


_NAMES = ("hours_and_minutes_add_up", "a_day_has_86400_seconds", "a_blank_between_parts_is_allowed", "what_is_none_is_refused", "capitals_count")
_TESTS = {
    "tests": [TestRun(id=f"tests/test_skill.py::test_{name}", outcome="passed", seconds=0.002 + len(name) / 9000) for name in _NAMES],
    "contract": [TestRun(id=f"example {number}", outcome="passed", seconds=0.004) for number in (1, 2)],
}
_SUMMARIES = {"tests": "5 tests passed, 97% of the lines run, 24 of 26 mutants noticed.", "scope": f"Only skills/{SKILL}/ changes."}


def use(url: str, key: str) -> None:
    """Some calls, so that there is something to draw."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        for number in range(40):
            text = "PT2H5M" if number % 9 else "no duration"
            client.post(f"/skills/{SKILL}/execute", json={"inputs": {"text": text}})


def take(browser: Browser, url: str, key: str, folder: Path, words: dict[str, Any], only: list[str] | None) -> None:
    pages = {light: _signed_in(browser, url, key, light) for light in ("day", "night", "phone")}
    for name, path, light in SHOTS:
        if only and name not in only:
            continue
        page = pages[light]
        if name == "sign-in":
            page = browser.new_context(viewport=DESK).new_page()
        page.goto(url + path.format(**words))
        page.wait_for_load_state("load")
        page.wait_for_timeout(1000)
        if name == "tests":
            page.locator("details.tests summary").last.click()
            page.evaluate("document.getElementById('checks').scrollIntoView()")
        page.screenshot(path=folder / f"{name}.png")


def _signed_in(browser: Browser, url: str, key: str, light: str) -> Page:
    viewport: Any = PHONE if light == "phone" else DESK
    page = browser.new_context(viewport=viewport, color_scheme="dark" if light == "night" else "light").new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_label("Your key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/attention")
    return page


if __name__ == "__main__":
    main()
