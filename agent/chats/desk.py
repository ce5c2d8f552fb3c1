"""The desk behind a chat: takes what people say to `conversation.py`, and keeps one message in the thread as things stand.

A platform is a Board (how a post gets into a thread) and whatever calls `take`. What is shown is read off the memory and the forge at each look, so a
restart, or another process that does the work, needs nothing more; events only make it look sooner.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time

from agent import people
from agent.chats import posts
from agent.chats.board import Board, NotNow
from agent.chats.confided import own_forms, pasted, shared_form, without_pasted
from agent.chats.inbox import Inbox, Said, Shown
from agent.chats.posts import Post
from agent.chats.standing import Standing, begun
from agent.conversation import NOTHING
from agent.domain.event import Event
from agent.domain.question import is_cancelled, says_stop
from agent.errors import ConfigurationError, CouldNotTell, NotFound, Refused, SkillOpsError, UsageError
from agent.gateway.gateway import Gateway
from agent.pending import Pending, Result
from reviewers import human

AT_ONCE = 8  # things said that are worked on
EVERY, PAUSE = 5.0, 1.0  # seconds between looks, and at least: Slack takes about fifty edits a minute ("chat.update", tier 3)
AGAIN = 30.0  # seconds until something is tried again that the platform did not take
NO_LONGER = "That question is no longer open."
log = logging.getLogger("agent.chats")


class Desk:
    """Of one chat. `pause` and `every` are seconds."""

    def __init__(self, gateway: Gateway, inbox: Inbox, board: Board, pause: float = PAUSE, every: float = EVERY) -> None:
        self._gateway, self._place, self._inbox, self._board = gateway, gateway.place, inbox, board
        self._memory, self._standing = gateway.place.conversations.memory, Standing(gateway)
        self._pause, self._every = pause, every
        self._wake, self._over = threading.Event(), threading.Event()
        self._busy, self._later, self._lock = dict[str, str](), dict[str, float](), threading.Lock()
        self._thread = threading.Thread(target=self._go_on, name="chat", daemon=True)

    def take(self, said: Said) -> bool:
        """Keeps what was said, to be worked on at once; False where it came before. No more than a write to the disk is waited for."""
        fresh = self._inbox.take(without_pasted(said))
        self._wake.set()
        return fresh

    def takes_part(self, thread: str) -> bool:
        """Whether the agent was called in this thread before."""
        return self._inbox.conversation(thread) is not None

    def hear(self, event: Event) -> None:
        """Something happened (`Tell`)."""
        self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nobody waits for what is under way: it lies in the memory."""
        self._over.set()
        self._wake.set()

    def _go_on(self) -> None:
        while not self._over.is_set():
            self._wake.clear()
            try:
                self._hand_out()
                self._show()
            except (SkillOpsError, OSError) as error:
                log.warning("the chat could not be looked at: %s", error)
            self._over.wait(self._pause)
            self._wake.wait(self._every)

    # ---- what people say -------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Each thing said to a thread of its own, and of one place of talk one after the other."""
        for said in self._inbox.waiting():
            with self._lock:
                where = said.thread if said.kind in ("say", "answer") and not says_stop(said.text) else said.id
                if len(self._busy) >= AT_ONCE or where in self._busy or self._later.get(said.id, 0.0) > time.monotonic():
                    continue
                self._busy[where] = said.id
            threading.Thread(target=self._take_on, args=(said, where), name=f"chat {said.kind}", daemon=True).start()

    def _take_on(self, said: Said, where: str) -> None:
        try:
            self._do(said)
            self._inbox.done(said)
        except NotFound:
            self._inbox.done(said)  # nobody is there to hear of it
        except SkillOpsError as error:  # the platform did not take a word of it
            log.warning("%s of %s: %s", said.kind, said.person, error)
            self._later[said.id] = time.monotonic() + AGAIN
        finally:
            with self._lock:
                self._busy.pop(where, None)
            self._wake.set()

    def _do(self, said: Said) -> None:
        try:
            match said.kind:
                case "stop":
                    self._stop(said)
                case "say" if says_stop(said.text) and not self._questioning(self._inbox.conversation(said.thread) or ""):
                    self._stop(said)
                case "say" if said.about.get("pasted"):
                    for post in pasted(said, self._place.parts):
                        self._board.whisper(said.thread, said.who, post)
                case "say":
                    self._say(said, said.text)
                case "answer":
                    self._say(said, self._choice(said))
                case "secret":
                    self._board.whisper(said.thread, said.who, self._form(said))
                case "approve" | "reject":
                    self._board.whisper(said.thread, said.who, self._judged(said))
        except (Refused, UsageError, ConfigurationError) as error:
            self._board.whisper(said.thread, said.who, Post(text=posts.trouble(error)))

    def _say(self, said: Said, text: str) -> None:
        """One turn of the thread's conversation, with one message of ours that shows what it comes to: where the agent had asked, its question's."""
        memory = self._memory
        conversation = self._inbox.conversation(said.thread)
        if conversation is None:
            conversation = memory.start(said.person)
            self._inbox.bind(said.thread, conversation)
        shown = self._inbox.message(said.id)
        again = shown is not None
        self._may_answer(said, text, conversation)
        earlier = self._questioning(conversation) if shown is None else None
        if shown is None:
            after = max((turn.id for turn in memory.turns(conversation)), default=0)
            stamp = earlier.stamp if earlier else self._board.post(said.thread, posts.WORKING)
            shown = Shown(id=said.id, thread=said.thread, conversation=conversation, stamp=stamp, after=after, turn=earlier.turn if earlier else 0)
            self._inbox.keep(shown)
        if again and any(turn.role == "person" and turn.id > shown.after for turn in memory.turns(conversation)):
            self._taken_up(shown)  # by this process before it was restarted
            return
        if earlier:
            self._inbox.keep(earlier, open_=False)
        try:
            self._place.parts.sync()
            result = self._place.conversations.turn(conversation, text, said.person)
        except SkillOpsError as error:
            self._failed(shown, earlier, error)
            for post in own_forms(said, self._place.parts, error):
                self._board.whisper(said.thread, said.who, post)
            return
        self._came_to(shown, result)

    def _stop(self, said: Said) -> None:
        """Breaks off what the agent is at in the thread; its message says so."""
        conversation = self._inbox.conversation(said.thread)
        result = self._place.conversations.stop(conversation, said.person) if conversation else None
        if result is None or result.turn is None:
            self._board.whisper(said.thread, said.who, Post(text=NOTHING))

    def _came_to(self, shown: Shown, result: Result) -> None:
        if result.turn is None:
            self._inbox.keep(shown.model_copy(update={"trouble": result.text}))
            return
        self._inbox.keep(shown.model_copy(update={"turn": result.turn}))
        if result.kind == "waits":
            self._gateway.raised()

    def _failed(self, shown: Shown, earlier: Shown | None, error: SkillOpsError) -> None:
        """A task that goes on by itself is shown still; of another the person learns why there is none."""
        turn = begun(self._memory, shown)
        if turn or not earlier:
            self._inbox.keep(shown.model_copy(update={"turn": turn, "trouble": "" if turn else posts.trouble(error)}))
            return
        self._inbox.keep(shown, open_=False)
        self._inbox.keep(earlier)  # the question stays as it was, for whom it is for
        raise Refused(error.what, why=error.why, next_step=error.next_step)

    def _taken_up(self, shown: Shown) -> None:
        if turn := begun(self._memory, shown) or shown.turn:
            self._inbox.keep(shown.model_copy(update={"turn": turn}))
            try:
                if (result := self._place.conversations.resume(turn)) and result.kind == "waits":
                    self._gateway.raised()
            except CouldNotTell as error:  # it goes on waiting, and whoever works next tries it again
                log.warning("conversation %s: %s", shown.conversation, error)
            return
        lost = "I was stopped before I could go on with that. Say it again."
        self._inbox.keep(shown.model_copy(update={"trouble": lost}))

    def _questioning(self, conversation: str) -> Shown | None:
        """Our message that shows what the agent asks in the conversation."""
        asking = {task.turn for task in self._memory.undone(conversation) if task.pending.get("question")}
        return next((shown for shown in self._inbox.open() if shown.conversation == conversation and shown.turn in asking), None)

    def _may_answer(self, said: Said, text: str, conversation: str) -> None:
        """Leave for what cannot be taken back is given by people whom somebody knows."""
        if not said.known and not is_cancelled(text):
            for task in self._memory.undone(conversation):
                if (task.pending.get("question") or {}).get("asks_for") == "leave":
                    self._is_somebody(said)

    def _choice(self, said: Said) -> str:
        """The answer that a button stands for, while its question is open."""
        conversation = self._inbox.conversation(said.thread)
        for task in self._memory.undone(conversation) if conversation else ():
            question = Pending.model_validate({**task.pending, "turn": task.turn}).question
            if question and task.turn == said.about.get("turn") and question.until == said.about.get("until"):
                choice = posts.choice_of(question, int(said.about.get("choice", 0)))
                if choice is not None:
                    return choice
        if self._inbox.message(said.id):
            return ""  # it was given, and the process ended before that was noted
        raise Refused(NO_LONGER, next_step="Say in the thread what you would like to have done.")

    # ---- what people decide -----------------------------------------------------------------------------------------

    def _judged(self, said: Said) -> Post:
        number, head = int(said.about["proposal"]), str(said.about["head"])
        verdict: human.Said = "approve" if said.kind == "approve" else "reject"
        self._is_somebody(said)
        people.judge(self._place.parts, verdict, number, said.person, said.text, seen=head)
        self._gateway.raised()
        return Post(text=f"Noted: you {verdict} proposal #{number} at {head[:8]}.", page=f"/proposals/{number}")

    def _form(self, said: Said) -> Post:
        self._is_somebody(said)
        return shared_form(said, self._place.parts, self._standing)

    def _is_somebody(self, said: Said) -> None:
        if not said.known:
            raise Refused(
                f"{said.person} is nobody that the policy could know.", why="The setting slack_people names no person for this account.",
                next_step=f"Whoever runs SkillOps adds it: slack_people = {{{said.who} = \"their login\"}}.",
            )  # fmt: skip

    # ---- what people see --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        with self._lock:
            busy = set(self._busy.values())
        for shown in self._inbox.open():
            if self._later.get(shown.stamp, 0.0) > time.monotonic():
                continue
            try:
                post, over = self._standing.look(shown, busy=shown.id in busy)
                as_of = hashlib.sha256(post.model_dump_json().encode()).hexdigest()[:16]
                if as_of != shown.as_of:
                    over = self._edited(shown, post) or over
                if over and not shown.trouble:
                    shown = self._drawn(shown)
            except SkillOpsError as error:
                log.warning("conversation %s: %s", shown.conversation, error)
                self._later[shown.stamp] = time.monotonic() + (error.seconds if isinstance(error, NotNow) else AGAIN)
                continue
            if over or as_of != shown.as_of:
                self._inbox.drawn(shown, as_of, over=over)

    def _drawn(self, shown: Shown) -> Shown:
        """Puts up the pictures of what an answer came to, each once; one that the platform does not take is on the page."""
        pictures = [each for each in self._memory.drawings(shown.turn) if each.ending]
        for number, each in enumerate(pictures[shown.sent :], shown.sent + 1):
            shown = shown.model_copy(update={"sent": number})
            self._inbox.keep(shown)
            try:
                self._board.picture(shown.thread, f"picture-{number}.{each.ending}", each.data)
            except SkillOpsError as error:
                log.warning("conversation %s: a picture was not taken: %s", shown.conversation, error)
        return shown

    def _edited(self, shown: Shown, post: Post) -> bool:
        """Puts the post in the place of what the message says; whether it is gone, so that nobody sees it any more."""
        try:
            self._board.edit(shown.thread, shown.stamp, post)
        except NotFound:
            return True
        return False
