"""The doctor of a repository on GitHub: rights, rules, secrets, variables and workflows, with a fix for each fault.

What the key may not look at is told as that, and is no fault by itself: the key of a workflow sees little.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from agent import wiring
from agent.doctor import Diagnosis
from agent.errors import InvalidFile, SkillOpsError
from agent.forges.github_rights import covers, of_the_app
from agent.settings import Settings

PERMISSIONS = of_the_app()
# The secrets of each environment, and the variables; whether the work stands still without one.
SECRETS = {("skillops-app", "SKILLOPS_APP_KEY"): True, ("skillops-model", "SKILLOPS_API_KEY"): False}
VARIABLES = {"SKILLOPS_APP_CLIENT_ID": True, "SKILLOPS_GITHUB_LOGIN": True, "SKILLOPS_MODEL": False, "SKILLOPS_VERSION": True}
LABELS = ".github/labels.json"
_PLAIN = "ededed"  # the colour that GitHub gives to a label which comes to be by being used


class _Place(NamedTuple):
    """`ask` gives what GitHub has at a path of the repository, None where there is nothing."""

    settings: Settings
    forge: Any
    ask: Callable[[str], Any]


def examine_github(repository: Path, *, fix: bool = False) -> tuple[Diagnosis, ...]:
    """Everything that the workflows need on GitHub, in the order in which it is set up. With `fix`, what may be mended without a word
    to anybody is: the labels.
    """
    try:
        settings, checkout = wiring.settings_of(repository)
        if settings.forge != "github":
            step = "Set SKILLOPS_FORGE=github, or run `skillops init DIR --github OWNER/REPO`."
            return (Diagnosis(what="repository", ok=False, found="its forge is on this machine", fix=step),)
        forge: Any = wiring.forge_of(settings, checkout.kept)[0]
    except SkillOpsError as error:
        return (Diagnosis(what="repository", ok=False, found=error.fault, fix=error.next_step),)
    place = _Place(settings, forge, forge.api.get)
    looks = {"repository": _repository, "rights": _rights, "workflow files": _files, "workflows": _workflows, "required checks": _required,
             "secrets": _secrets, "variables": _variables, "labels": _mended_labels if fix else _labels}  # fmt: skip
    return tuple(_looked(what, look, place) for what, look in looks.items())


def _looked(what: str, look: Callable[[_Place], Diagnosis], place: _Place) -> Diagnosis:
    try:
        return look(place)
    except SkillOpsError as error:
        return Diagnosis(what=what, ok=False, found=f"the key may not look: {error.fault}", fix=error.next_step, needed=False)


def _repository(place: _Place) -> Diagnosis:
    told = place.ask("")
    if told.get("archived"):
        return Diagnosis(what="repository", ok=False, found=f"{told['full_name']} is archived", fix="Unarchive it in its settings.")
    known = place.forge.head(place.forge.main) is not None
    return Diagnosis(
        what="repository", ok=known, found=told["full_name"] if known else "nothing is on main", fix="git push --set-upstream origin main"
    )


def _rights(place: _Place) -> Diagnosis:
    """Of an App, what its installation may; of a token, whether it may push."""
    has = place.forge.installation_permissions(place.settings.github_app_id, place.settings.github_app_key.get_secret_value())
    if has is None:
        may = (place.ask("").get("permissions") or {}).get("push", False)
        fix = "Set SKILLOPS_GITHUB_APP_ID and SKILLOPS_GITHUB_APP_KEY; then the App's permissions are compared with what is needed."
        return Diagnosis(what="rights", ok=bool(may), found=f"the token may {'push' if may else 'only read'}", fix=fix, needed=False)
    lacks = [f"{name}: {level}" for name, level in PERMISSIONS.items() if not covers(has.get(name, ""), level)]
    fix = "Give them to the App (Settings, Developer settings, GitHub Apps, Permissions), then accept them where it is installed."
    return Diagnosis(what="rights", ok=not lacks, found=f"the App lacks {', '.join(lacks)}" if lacks else "the App has what it needs", fix=fix)


def _files(place: _Place) -> Diagnosis:
    from agent.starter.hosted import github_files

    ours = {path: data for path, data in github_files().items() if path.startswith((".github/workflows/", ".github/actions/"))}
    found = {path: place.forge.read(place.forge.main, path) for path in ours}
    absent, other = [path for path in ours if found[path] is None], [path for path in ours if found[path] not in (None, ours[path])]
    said = "; ".join(f"{what}: {', '.join(paths)}" for what, paths in (("missing", absent), ("other than this version's", other)) if paths)
    fix = "`skillops init DIR --github OWNER/REPO` writes them; copy DIR/.github in a pull request of its own."
    return Diagnosis(what="workflow files", ok=not said, found=said or "as this version has them", fix=fix, needed=bool(absent))


def _workflows(place: _Place) -> Diagnosis:
    told = place.ask("actions/workflows?per_page=100")
    if told is None:
        return Diagnosis(what="workflows", ok=False, found="there are no Actions", fix="Turn Actions on in the repository's settings.")
    off = [each["name"] for each in told["workflows"] if each["state"] != "active"]
    fix = "; ".join(f"gh workflow enable {name}" for name in off)
    return Diagnosis(what="workflows", ok=not off, found=f"turned off: {', '.join(off)}" if off else f"{len(told['workflows'])} are active", fix=fix)


def _required(place: _Place) -> Diagnosis:
    """The checks that main requires, by rulesets or by branch protection: each of ours, and from our App alone."""
    found = dict[str, Any]()
    for rule in place.ask(f"rules/branches/{place.forge.main}?per_page=100") or ():
        if rule["type"] == "required_status_checks":
            found |= {each["context"]: each.get("integration_id") for each in rule["parameters"]["required_status_checks"]}
    if not found:
        told = (place.ask(f"branches/{place.forge.main}/protection") or {}).get("required_status_checks") or {}
        found = dict.fromkeys(told.get("contexts", ())) | {each["context"]: each.get("app_id") for each in told.get("checks", ())}
    absent = [name for name in wiring.CHECKS if name not in found]
    loose = [name for name in wiring.CHECKS if name in found and found[name] in (None, -1)]
    said = "; ".join(f"{what}: {', '.join(names)}" for what, names in (("not required on main", absent), ("required from anybody", loose)) if names)
    fix = "Import .github/ruleset.json (Settings, Rules, Rulesets), with your App's id in place of 0: a check from anybody else must not count."
    return Diagnosis(what="required checks", ok=not said, found=said or f"all {len(wiring.CHECKS)}, from one App", fix=fix)


def _secrets(place: _Place) -> Diagnosis:
    everywhere = _names(place, "actions/secrets", "secrets")
    if everywhere is None:  # as the App's own key may not, which the workflows hold
        fix = "Use a key that has `secrets: read` and `environments: read`."
        return Diagnosis(what="secrets", ok=False, found="the key may not look", fix=fix, needed=False)
    lacks = {
        f"{name} of {environment}": needed for (environment, name), needed in SECRETS.items()
        if name not in everywhere | (_names(place, f"environments/{environment}/secrets", "secrets") or set())
    }  # fmt: skip
    fix = "; ".join(f"gh secret set {name.split()[0]} --env {name.split()[2]}" for name in lacks)
    return Diagnosis(what="secrets", ok=not lacks, found=f"missing: {', '.join(lacks)}" if lacks else "set", fix=fix, needed=any(lacks.values()))


def _variables(place: _Place) -> Diagnosis:
    names = _names(place, "actions/variables", "variables")
    if names is None:
        fix = "Use a key that has `variables: read`."
        return Diagnosis(what="variables", ok=False, found="the key may not look", fix=fix, needed=False)
    lacks = [name for name in VARIABLES if name not in names]
    fix, needed = "; ".join(f"gh variable set {name}" for name in lacks), any(VARIABLES[name] for name in lacks)
    return Diagnosis(what="variables", ok=not lacks, found=f"missing: {', '.join(lacks)}" if lacks else "set", fix=fix, needed=needed)


def _names(place: _Place, path: str, inside: str) -> set[str] | None:
    told = place.ask(f"{path}?per_page=100")
    return None if told is None else {each["name"] for each in told[inside]}


def _labels(place: _Place) -> Diagnosis:
    odd = [f"{name} ({'missing' if known is None else 'without its colour'})" for name, known in _odd_labels(place).items()]
    step = "skillops doctor --github --fix"
    return Diagnosis(what="labels", ok=not odd, found=", ".join(odd) or f"as {LABELS} has them", fix=step, needed=False)


def _mended_labels(place: _Place) -> Diagnosis:
    """Makes the labels that are missing, and gives those their colour that came to be by being used. What a person chose is left."""
    odd, wanted = _odd_labels(place), {label["name"]: label for label in _wanted_labels(place)}
    for name, known in odd.items():
        if known is None:
            place.forge.api.send("POST", "labels", wanted[name], allow=(422,))  # somebody else was faster
        else:
            place.forge.api.send("PATCH", f"labels/{quote(name, safe='')}", {key: wanted[name][key] for key in ("color", "description")})
    return Diagnosis(what="labels", ok=True, found=f"mended: {', '.join(odd)}" if odd else f"as {LABELS} has them")


def _odd_labels(place: _Place) -> dict[str, dict[str, Any] | None]:
    """The labels that are not there (None), or that nobody gave a colour and a description, by name."""
    known = {label["name"].lower(): label for label in place.forge.api.pages("labels")}
    found = {label["name"]: known.get(label["name"].lower()) for label in _wanted_labels(place)}
    return {name: label for name, label in found.items() if label is None or (label["color"] == _PLAIN and not label["description"])}


def _wanted_labels(place: _Place) -> list[dict[str, str]]:
    """Those of the repository's own file; of the shipped one where it has none."""
    from agent.starter.hosted import github_files

    try:
        told = json.loads(place.forge.read(place.forge.main, LABELS) or github_files()[LABELS])
        return [{key: str(label[key]) for key in ("name", "color", "description")} for label in told]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidFile(LABELS, f"a list of labels with name, color and description was expected: {error!r}") from None
