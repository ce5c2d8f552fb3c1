"""Advisories on packages, from a database that speaks OSV's API (google.github.io/osv.dev/api): PyPI's, npm's and Go's own are all in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.domain.audit import Advisory
from agent.domain.package import Package
from agent.errors import CouldNotTell

BATCH = 1000  # queries that one call takes
PAGES = 20
MOST = 500  # advisories whose text is asked for
SECONDS = 30.0
_NEXT = "Look at the network and the setting `advisories`, then try again."


def ask(packages: Sequence[Package], address: str) -> tuple[Advisory, ...]:
    """What is known of these very versions; withdrawn advisories are left out. CouldNotTell where the database does not answer in full."""
    if not packages:
        return ()
    if not address:
        raise CouldNotTell("No database of advisories is set.", next_step="Set `advisories` in skillops.toml, like https://api.osv.dev.")
    import httpx

    try:
        with httpx.Client(base_url=address.rstrip("/"), timeout=SECONDS) as client:
            return _asked(client, packages)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CouldNotTell("The database of advisories is out of reach.", why=str(error)[:300], next_step=_NEXT) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CouldNotTell("The database of advisories gave no answer that can be read.", why=f"{error!r}"[:300], next_step=_NEXT) from None


def _asked(client: Any, packages: Sequence[Package]) -> tuple[Advisory, ...]:
    concerned = [(found, package) for start in range(0, len(packages), BATCH) for found, package in _found(client, packages[start : start + BATCH])]
    ids = sorted({found for found, _ in concerned})
    if len(ids) > MOST:
        raise CouldNotTell(f"There are {len(ids)} advisories; {MOST} is the most that are read.", next_step="Update the dependencies first.")
    told = {each: _json(client.get(f"/v1/vulns/{each}")) for each in ids}
    return tuple(
        Advisory(id=found, package=package, summary=str(told[found].get("summary") or told[found].get("details") or "")[:300],
                 fixed=_fixed(told[found], package))
        for found, package in concerned if not told[found].get("withdrawn")
    )  # fmt: skip


def _found(client: Any, packages: Sequence[Package]) -> list[tuple[str, Package]]:
    """The ids of the advisories on each; a long list comes in pages."""
    left, found = [(package, "") for package in packages], []
    for _ in range(PAGES):
        queries = [{**_query(package), **({"page_token": token} if token else {})} for package, token in left]
        results = _json(client.post("/v1/querybatch", json={"queries": queries}))["results"]
        found += [(each["id"], package) for (package, _), told in zip(left, results, strict=True) for each in told.get("vulns", ())]
        left = [(package, told["next_page_token"]) for (package, _), told in zip(left, results, strict=True) if told.get("next_page_token")]
        if not left:
            return found
    raise CouldNotTell("The database of advisories has no end.", next_step=_NEXT)


def _query(package: Package) -> dict[str, Any]:
    version = package.version.removeprefix("v") if package.ecosystem == "Go" else package.version  # OSV has Go's versions without it
    return {"package": {"name": package.name, "ecosystem": package.ecosystem}, "version": version}


def _fixed(told: dict[str, Any], package: Package) -> tuple[str, ...]:
    events = [
        event for affected in told.get("affected", ()) if affected.get("package", {}).get("name") == package.name
        for each in affected.get("ranges", ()) if each.get("type") != "GIT" for event in each.get("events", ())
    ]  # fmt: skip
    return tuple(dict.fromkeys(str(event["fixed"]) for event in events if "fixed" in event))


def _json(answer: Any) -> Any:
    answer.raise_for_status()
    return answer.json()
