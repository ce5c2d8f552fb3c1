"""The workflow files under act (github.com/nektos/act), on this machine instead of in images: no registry of images is needed.

Actions that need the outside are replaced on act's command line alone, by composite ones that are written down here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from agent.starter.hosted import github_files
from tests import hub
from tests.go_programs import installed

ACT = ("github.com/nektos/act", "v0.2.89")
# A python that makes an environment whose `skillops` is this checkout's; its pip installs nothing.
PYTHON = """\
mkdir -p "$RUNNER_TEMP/python"
cat > "$RUNNER_TEMP/python/python" <<'END'
#!/bin/bash
mkdir -p "${@: -1}/bin" && ln -sf "$HUB_COMMAND" "${@: -1}/bin/skillops"
printf '#!/bin/bash\\n' > "${@: -1}/bin/python" && chmod +x "${@: -1}/bin/python"
END
chmod +x "$RUNNER_TEMP/python/python"
echo "$RUNNER_TEMP/python" >> "$GITHUB_PATH"
"""
STAND_INS = {
    "actions/checkout": 'find . -mindepth 1 -delete\ngit clone --quiet --branch "${REF:-main}" "file://$HUB_ORIGIN" .\n',
    "actions/setup-python": PYTHON,
    "actions/upload-artifact": 'test -f "$PATH_" || exit 0\nto="$HUB_ARTIFACTS/$HUB_RUN/$NAME"\nmkdir -p "$to" && cp "$PATH_" "$to/"\n',
    "actions/download-artifact": 'mkdir -p "$PATH_" && cp "$HUB_ARTIFACTS/${RUN_ID:-$HUB_RUN}/$NAME/"* "$PATH_/"\n',
    "actions/create-github-app-token": 'test "$PRIVATE_KEY" = the-key-of-the-app\necho "token=$HUB_APP_TOKEN" >> "$GITHUB_OUTPUT"\n',
}
_INPUTS = (
    "ref", "fetch-depth", "persist-credentials", "python-version", "name", "path", "if-no-files-found", "retention-days", "run-id", "github-token",
    "client-id", "private-key", *(f"permission-{name}" for name in ("checks", "contents", "issues", "pull-requests")),
)  # fmt: skip


class Act:
    """act for one repository on the hub; `root` is a clone with the workflow files, `origin` what its jobs check out; `command` has a `skillops`."""

    def __init__(
        self, server: hub.Hub, repository: str, root: Path, origin: Path, folder: Path, variables: Mapping[str, str], secrets: Mapping[str, str],
        command: Path,
    ) -> None:  # fmt: skip
        self.server, self.repository, self.root, self.origin, self.folder = server, repository, root, origin, folder
        self.variables, self.secrets, self.command, self.runs = variables, secrets, command, 0
        folder.mkdir()
        for name, script in STAND_INS.items():
            _write_action(folder / name, script)

    def run(self, workflow: str, event_name: str, event: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """One run of a workflow for an event. `runs` is its number, which its artifacts are under."""
        self.runs += 1
        told = self.folder / f"event-{self.runs}.json"
        told.write_text(json.dumps(event))
        env = {
            "HUB_ORIGIN": str(self.origin), "HUB_ARTIFACTS": str(self.folder / "artifacts"), "HUB_RUN": str(self.runs),
            "HUB_APP_TOKEN": hub.token_of(hub.BOT), "HUB_COMMAND": str(self.command / "skillops"), "GITHUB_API_URL": self.server.url,
            "GITHUB_REPOSITORY": self.repository,
        }  # fmt: skip
        command = [str(installed(*ACT)), event_name, "--workflows", f".github/workflows/{workflow}", "--eventpath", str(told), "--no-recurse",
                   "--platform", "ubuntu-24.04=-self-hosted", "--no-skip-checkout"]  # fmt: skip
        command += [part for name, value in env.items() for part in ("--env", f"{name}={value}")]
        command += [part for name, value in self.variables.items() for part in ("--var", f"{name}={value}")]
        command += [
            part for name, value in {**self.secrets, "GITHUB_TOKEN": hub.token_of(hub.MALLORY)}.items() for part in ("--secret", f"{name}={value}")
        ]
        command += [part for used in pinned() for part in ("--local-repository", f"{used}={self.folder / used.partition('@')[0]}")]
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache"), "LANG": "C.UTF-8"}
        return subprocess.run(command, cwd=self.root, env=own, capture_output=True, text=True, check=False, timeout=500)


def pinned() -> list[str]:
    """Every action of somebody else that the files use, as owner/name@commit."""
    found = {used for data in github_files().values() for used in re.findall(r"uses: ([\w-]+/[\w-]+@[0-9a-f]{40})", data.decode())}
    return sorted(found)


def _write_action(folder: Path, script: str) -> None:
    env = {f"{name.replace('-', '_').upper()}{'_' if name == 'path' else ''}": f"${{{{ inputs.{name} }}}}" for name in _INPUTS}
    outputs = {"token": {"description": "The token", "value": "${{ steps.do.outputs.token }}"}}
    step = {"id": "do", "shell": "bash", "env": env, "run": script}
    action = {"name": folder.name, "description": "A stand-in", "inputs": {name: {"description": name, "default": ""} for name in _INPUTS},
              "outputs": outputs, "runs": {"using": "composite", "steps": [step]}}  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text(yaml.safe_dump(action))
