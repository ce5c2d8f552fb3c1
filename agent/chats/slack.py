"""Slack: what is said to the agent there, and how a post looks. Over HTTP (Slack calls us, and signs it) or socket mode (we call Slack).

Sources: Slack's "Events API", "Handling user interaction", "Verifying requests from Slack", "Formatting message text"; bolt does the first three.
What was said is on the disk before it is acknowledged; nothing on that way asks Slack or a model, so three seconds are plenty.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.chats.board import NotNow
from agent.chats.inbox import Said
from agent.chats.posts import Post
from agent.chats.slack_blocks import blocks_of, plain_of, reason_form
from agent.errors import ConfigurationError, CouldNotTell, NotFound
from agent.settings import Settings

if TYPE_CHECKING:
    from slack_bolt import App
    from slack_sdk import WebClient

    from agent.chats.desk import Desk

MANIFEST = "docs/slack.md has an app manifest to paste."
CALL_SECONDS, RETRIES = 15, 2  # of one call of Slack's API; how often it is repeated when Slack says 429, after as long as it says
TOO_OFTEN = 30.0  # seconds until the next edit where Slack says 429 and not for how long
log = logging.getLogger("agent.chats")
GONE = frozenset(("message_not_found", "channel_not_found", "is_archived", "cant_update_message"))
_MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>")
_WORDS = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}  # what Slack escapes


def is_set_up(settings: Settings) -> bool:
    """Whether there is a chat in Slack. ConfigurationError where it is set up by half."""
    token, signing, app = (each.get_secret_value() for each in (settings.slack_bot_token, settings.slack_signing_secret, settings.slack_app_token))
    if token and not (signing or app):
        raise ConfigurationError(
            "slack_bot_token is set, and nothing by which Slack reaches us.",
            next_step=f"Set slack_signing_secret (HTTP) or slack_app_token (socket mode). {MANIFEST}",
        )
    if (signing or app) and not token:
        raise ConfigurationError(
            "Slack is set up without slack_bot_token.", next_step=f"It is under OAuth & Permissions, and begins with xoxb-. {MANIFEST}"
        )
    return bool(token)


def client_of(settings: Settings, *, waits: bool = True) -> WebClient:
    """Slack's API; `waits`: as long as Slack says, where it is called too often."""
    from slack_sdk import WebClient
    from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler

    client = WebClient(token=settings.slack_bot_token.get_secret_value(), base_url=settings.slack_api, timeout=CALL_SECONDS)
    client.retry_handlers = [ConnectionErrorRetryHandler(max_retry_count=1)]
    client.retry_handlers += [RateLimitErrorRetryHandler(max_retry_count=RETRIES)] if waits else []
    return client


def who_we_are(client: WebClient) -> Mapping[str, Any]:
    """The `team`, `user_id` and more of our token ("auth.test"). ConfigurationError where Slack does not know it."""
    from slack_sdk.errors import SlackApiError

    try:
        told: Any = client.auth_test().data
    except SlackApiError as error:
        why = str(error.response.get("error", ""))
        raise ConfigurationError(
            "Slack does not take slack_bot_token.", why=f"It says {why}.", next_step=f"Install the app again and copy its xoxb- token. {MANIFEST}"
        ) from None
    except OSError as error:
        raise CouldNotTell("Slack cannot be reached.", why=str(error), next_step="Check the way out to https://slack.com/api.") from None
    return dict(told)


def our_user(client: WebClient) -> str:
    """Our own user in Slack; empty where that cannot be asked now, as each event says it as well."""
    try:
        return str(who_we_are(client).get("user_id", ""))
    except CouldNotTell as error:
        log.warning("%s", error)
        return ""


class SlackBoard:
    """A Board in Slack. A thread is TEAM/CHANNEL/TS. `base` is the gateway's address, where pages are linked; empty: nowhere.

    `edits` is a client that does not wait where Slack is called too often: all messages are edited by one thread, and none waits for another's turn.
    """

    def __init__(self, client: WebClient, base: str = "", edits: WebClient | None = None) -> None:
        self._client, self._base, self._edits = client, base, edits or client

    def post(self, thread: str, post: Post) -> str:
        _, channel, ts = thread.split("/")
        return str(self._call("chat.postMessage", channel=channel, thread_ts=ts, unfurl_links=False, unfurl_media=False, **self._of(post))["ts"])

    def edit(self, thread: str, stamp: str, post: Post) -> None:
        self._call("chat.update", self._edits, channel=thread.split("/")[1], ts=stamp, **self._of(post))

    def whisper(self, thread: str, who: str, post: Post) -> None:
        _, channel, ts = thread.split("/")
        self._call("chat.postEphemeral", channel=channel, thread_ts=ts, user=who, **self._of(post))

    def picture(self, thread: str, name: str, data: bytes) -> None:
        from slack_sdk.errors import SlackApiError, SlackClientError

        _, channel, ts = thread.split("/")
        try:  # files.getUploadURLExternal, the bytes, files.completeUploadExternal
            self._client.files_upload_v2(file=data, filename=name, title=name, alt_txt="A picture that a skill made", channel=channel, thread_ts=ts)
        except SlackApiError as error:
            why = str(error.response.get("error", ""))
            hint = f"The app needs the scope files:write. {MANIFEST}" if why == "missing_scope" else "The page of the conversation has it."
            raise CouldNotTell("Slack did not take a picture.", why=why, next_step=hint) from None
        except (SlackClientError, OSError) as error:
            raise CouldNotTell("Slack did not take a picture.", why=str(error), next_step="The page of the conversation has it.") from None

    def ask_reason(self, trigger: str, about: Mapping[str, Any]) -> None:
        """Opens the form in which a person says why they reject something."""
        self._call("views.open", trigger_id=trigger, view=reason_form(about))

    def _of(self, post: Post) -> dict[str, Any]:
        # Nobody is called by what a model or a skill said: `parse` and `link_names` would make mentions of plain text.
        return {"text": plain_of(post), "blocks": blocks_of(post, self._base), "parse": "none", "link_names": False}

    def _call(self, method: str, client: WebClient | None = None, **arguments: Any) -> Mapping[str, Any]:
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            told: Any = (client or self._client).api_call(method, json=arguments).data
        except SlackApiError as error:
            why = str(error.response.get("error", ""))
            if why in GONE:
                raise NotFound("The message or its channel is gone.", why=why) from None
            if error.response.status_code == 429:
                raise NotNow(f"Slack is called too often with {method}.", _seconds(error.response.headers)) from None
            raise CouldNotTell(f"Slack refused {method}.", why=why, next_step="`skillops doctor` looks at it.") from None
        except (SlackClientError, OSError) as error:
            raise CouldNotTell("Slack cannot be reached.", why=str(error), next_step="It is tried again.") from None
        return dict(told)


class Slack:
    """The listeners of one app. `us` is our user in Slack, whose mention calls us; `people` are logins by Slack's user id."""

    def __init__(self, desk: Desk, board: SlackBoard, us: str, settings: Settings) -> None:
        from slack_bolt import App
        from slack_bolt.authorization import AuthorizeResult
        from slack_sdk import WebClient

        self._desk, self._board, self._us, self._people = desk, board, us, settings.slack_people
        self._app_token, token = settings.slack_app_token.get_secret_value(), settings.slack_bot_token.get_secret_value()

        def authorized(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_user_id=us, bot_token=token)  # Slack is not asked at each event

        signing = settings.slack_signing_secret.get_secret_value()
        without_token = WebClient(base_url=settings.slack_api, timeout=CALL_SECONDS)  # of bolt's own calls only socket mode's is made
        self._app = App(
            client=without_token, signing_secret=signing or "unused", authorize=authorized, request_verification_enabled=bool(signing),
            process_before_response=True,
        )  # fmt: skip
        self._listen(self._app)
        self._socket: Any = None

    def _listen(self, app: App) -> None:
        app.event("app_mention")(self._said)
        app.event("message")(self._said)
        app.action(re.compile("^(approve|secret|answer|stop):"))(self._pressed)
        app.action(re.compile("^reject:"))(ack=_acknowledged, lazy=[self._reason_asked])
        app.view("reject")(self._rejected)

    def answer(self, body: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """What Slack is told over HTTP: status, headers, body. 401 where its signature or the age of that is not right."""
        from slack_bolt import BoltRequest

        told = self._app.dispatch(BoltRequest(body=body, headers={name: [value] for name, value in headers.items()}))
        return told.status, {name: values[0] for name, values in told.headers.items() if name != "set-cookie"}, (told.body or "").encode()

    def start(self) -> None:
        """Begins to work on what is said; in socket mode, where that is set up, also to listen. It connects again by itself."""
        self._desk.start()
        if self._app_token:
            from slack_bolt.adapter.socket_mode import SocketModeHandler

            self._socket = SocketModeHandler(self._app, self._app_token)
            self._socket.connect()

    def stop(self) -> None:
        if self._socket:
            self._socket.close()
        self._desk.stop()

    # ---- what comes in: each is one write to the disk ----------------------------------------------------------------

    def _said(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        """A mention, a message to us alone, or what is said in a thread that we were called in. One that mentions us comes as two kinds of event, and
        is one thing said; one that begins with somebody else's name is for them."""
        text, user, channel, ts = (str(event.get(name) or "") for name in ("text", "user", "channel", "ts"))
        us = self._us or str((body.get("authorizations") or [{}])[0].get("user_id") or "")
        direct = event.get("channel_type") == "im" or channel.startswith("D")
        called = event.get("type") == "app_mention" or us in _MENTION.findall(text)
        if not (user and channel and ts) or event.get("subtype") or event.get("bot_id") or user == us:
            return
        team = str(event.get("team") or body.get("team_id") or "T")
        place = f"{body.get('team_id') or team}/{channel}/{event.get('thread_ts') or ts}"
        if not (direct or called) and (_MENTION.match(text.lstrip()) or not event.get("thread_ts") or not self._desk.takes_part(place)):
            return
        words = _MENTION.sub(lambda found: "" if found[1] == us else f"@{found[1]}", text)
        self._take("say", f"{channel}/{ts}", place, team, user, _unescaped(words).strip())

    def _pressed(self, ack: Any, body: dict[str, Any], action: dict[str, Any]) -> None:
        kind, about = str(action["action_id"]).partition(":")[0], _about(action.get("value"))
        message, channel = body.get("message") or {}, str(body["channel"]["id"])
        place = f"{body['team']['id']}/{channel}/{message.get('thread_ts') or message.get('ts')}"
        user, what = str(body["user"]["id"]), json.dumps(about, sort_keys=True)
        # Where pressing it once more is meant, as of the form for a secret, Slack's time of it tells the two apart.
        once = str(action.get("action_ts", "")) if kind in ("secret", "approve", "stop") else ""
        self._take(kind, f"{kind}/{channel}/{message.get('ts')}/{user}/{what}/{once}", place, str(body["user"].get("team_id") or ""), user, "", about)
        ack()

    def _reason_asked(self, body: dict[str, Any], action: dict[str, Any]) -> None:
        message, channel = body.get("message") or {}, str(body["channel"]["id"])
        place = f"{body['team']['id']}/{channel}/{message.get('thread_ts') or message.get('ts')}"
        self._board.ask_reason(str(body.get("trigger_id", "")), {**_about(action.get("value")), "place": place})

    def _rejected(self, ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        about = _about(view.get("private_metadata"))
        why = str(view["state"]["values"]["why"]["why"].get("value") or "")
        user, place = str(body["user"]["id"]), str(about.pop("place", ""))
        self._take("reject", f"reject/{view['id']}", place, str(body["user"].get("team_id") or ""), user, why, about)
        ack()

    def _take(self, kind: Any, ident: str, place: str, team: str, user: str, text: str, about: Mapping[str, Any] | None = None) -> None:
        login = self._people.get(user) or self._people.get(f"{team}/{user}")
        person = login or f"slack:{team or place.split('/')[0]}/{user}"
        self._desk.take(Said(id=ident, kind=kind, thread=place, who=user, person=person, known=bool(login), text=text, about=dict(about or {})))


def _seconds(headers: Mapping[str, str]) -> float:
    """How long Slack wants to be left alone ("Rate limits": Retry-After, in seconds)."""
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(told) if told.isdecimal() and len(told) < 5 else TOO_OFTEN


def _acknowledged(ack: Any) -> None:
    ack()


def _about(value: object) -> dict[str, Any]:
    """What a button of ours carries: Slack gives it back as it was, in what it signed."""
    try:
        told = json.loads(str(value or "{}"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _unescaped(text: str) -> str:
    return re.sub("&lt;|&gt;|&amp;", lambda found: _WORDS[found[0]], text)
