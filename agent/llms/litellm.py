"""Live models through LiteLLM: the one door to it. Importing it takes seconds, so that happens at the first question."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

from agent import halting
from agent.errors import ModelUnavailable
from agent.llms.tended import Embed, Embedded
from agent.ports import Availability, Completion, Question
from agent.settings import Settings

ATTEMPTS = 4
_STARTING = threading.Lock()
GRACE = 1.0  # seconds beyond the timeout in which the client may end a call itself
OLLAMA_WINDOW = 32_768  # tokens: its own default is 4,096, and what is longer it cuts without a word (docs.ollama.com/context-length)
EXPLAIN = "`skillops config` shows what is set."
_SHAPED = {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"}


class LiteLLMModel:
    """The model that the settings name. Errors that pass (rate limits, 5xx, lost connections) are tried again."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.model
        self._settings = settings
        self._formats: list[str] | None = None

    def available(self) -> Availability:
        """Whether the model's provider is known and its key is set; nothing is called."""
        import openai

        litellm = _litellm()
        try:
            provider = litellm.get_llm_provider(self.name, api_base=self._settings.api_base or None)[1]
        except openai.OpenAIError:
            return Availability(ok=False, why=f"LiteLLM knows no provider for the model {self.name!r}.", fix=_unknown(self.name))
        if missing := self._missing_keys():
            return Availability(ok=False, why=f"No key for {provider} is set.", fix=f"Set {' or '.join(missing)}, or SKILLOPS_API_KEY.")
        return Availability(ok=True)

    def complete(self, question: Question) -> Completion:
        able = self.available()
        if not able.ok:
            raise ModelUnavailable(f"The model {self.name} cannot be asked.", why=able.why, next_step=able.fix)
        started = time.monotonic()
        response = self._respond(question)
        if not response.choices:
            raise ModelUnavailable(f"The model {self.name} gave no answer: its reply holds no choice.", next_step=f"Is this its endpoint? {EXPLAIN}")
        message, usage, finish = response.choices[0].message, response.usage, response.choices[0].finish_reason
        refusal = getattr(message, "refusal", None) or (message.provider_specific_fields or {}).get("refusal") or ""
        ended = finish if finish in ("length", "content_filter") else "refusal" if refusal and not message.content else ""
        return Completion(
            text=message.content or refusal,
            model=self.name,
            stopped=ended,
            tokens_in=usage.prompt_tokens or 0,
            tokens_out=usage.completion_tokens or 0,
            cost=response._hidden_params.get("response_cost") or 0.0,
            seconds=time.monotonic() - started,
        )

    def _respond(self, question: Question) -> Any:
        """Asks in the strictest form that the provider takes: one that it refuses is not tried with it again."""
        import openai

        litellm = _litellm()
        if self._formats is None:
            self._formats = _formats(litellm, self.name)
        schema, window = question.answer_schema, {"num_ctx": OLLAMA_WINDOW} if self.name.startswith(("ollama/", "ollama_chat/")) else {}
        for form in [each for each in self._formats if each != "json_schema" or _closed(schema)]:
            wanted: dict[str, Any] = {}
            if form == "json_schema":
                wanted = {"response_format": {"type": form, "json_schema": {"name": question.purpose.replace("-", "_"), "schema": schema}}}
            elif form == "json_object":
                wanted = {"response_format": {"type": form}}
            try:
                return self._call(litellm.acompletion, messages=[message.model_dump() for message in question.messages], **wanted, **window)
            except openai.BadRequestError as error:
                final = litellm.ContextWindowExceededError, litellm.ContentPolicyViolationError
                if not wanted or isinstance(error, final):
                    raise _explained(self._settings, error) from error
                self._formats = [each for each in self._formats if each != form]
            except openai.OpenAIError as error:
                raise _explained(self._settings, error) from error
        raise AssertionError("the last form is the plain one")

    def _call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Waits for it; where a person says stop, the connection is closed and Stopped raised."""
        return halting.wait(asyncio.run_coroutine_threadsafe(self._tried(function, **arguments), _loop()))

    async def _tried(self, function: Callable[..., Any], **arguments: Any) -> Any:
        import stamina

        async for attempt in stamina.retry_context(on=self._again_in, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=20.0):
            with attempt:
                call = function(
                    model=self.name,
                    api_base=self._settings.api_base or None,
                    api_key=self._settings.api_key.get_secret_value() or ("none" if self._keyless() else None),
                    timeout=self._settings.model_timeout,
                    drop_params=True,
                    num_retries=0,
                    max_retries=0,
                    **arguments,
                )
                return await _within(self._settings.model_timeout + GRACE, call)
        raise AssertionError("retry_context ends by returning or raising")

    def _again_in(self, error: Exception) -> bool | float:
        """Whether to try again, or in how many seconds where the provider says so. No longer than a call may take: then a person hears of it."""
        if not _passes(error):
            return False
        asked = _retry_after(error)
        return asked <= self._settings.model_timeout and (asked or True)

    def _missing_keys(self) -> list[str]:
        if self._settings.api_key.get_secret_value() or self._keyless():
            return []
        missing = _litellm().validate_environment(self.name, api_base=self._settings.api_base or None)["missing_keys"]
        return [name for name in missing if name != "OLLAMA_API_BASE"]  # it has a default: this machine

    def _keyless(self) -> bool:
        """An endpoint of one's own that speaks OpenAI's protocol often wants no key, but its client insists on one."""
        return bool(self._settings.api_base) and self.name.startswith("openai/") and "OPENAI_API_KEY" not in os.environ


def embedder(settings: Settings) -> Embed:
    """Texts to vectors, one each, by the embedding model of the settings. Raises ModelUnavailable."""
    model = LiteLLMModel(settings.model_copy(update={"model": settings.embedding_model}))

    def vectors(texts: Sequence[str]) -> Embedded:
        import openai

        able = model.available()
        if not able.ok:
            raise ModelUnavailable(f"The embedding model {model.name} cannot be asked.", why=able.why, next_step=able.fix)
        try:
            response = model._call(_litellm().aembedding, input=list(texts), encoding_format="float")
        except openai.OpenAIError as error:
            raise _explained(model._settings, error) from error
        found = [list(item["embedding"]) for item in sorted(response.data, key=lambda item: item["index"])]
        tokens = getattr(response.usage, "total_tokens", 0) or 0
        return Embedded(found, tokens, response._hidden_params.get("response_cost") or 0.0)

    return vectors


async def _within(seconds: float, call: Awaitable[Any]) -> Any:
    """The client's own timeout is that of one read: an endpoint that sends a byte now and then would never end it."""
    import httpx
    import openai

    try:
        return await asyncio.wait_for(call, seconds)
    except TimeoutError:
        raise openai.APITimeoutError(request=httpx.Request("POST", "http://model")) from None


def _loop() -> asyncio.AbstractEventLoop:
    """The one loop in which all calls are made: LiteLLM keeps its connections for the loop that opened them."""
    with _STARTING:  # reviewers are asked side by side, also first of all
        return _started_loop()


@lru_cache(maxsize=1)
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="models", daemon=True).start()
    return loop


def _litellm() -> Any:
    """LiteLLM, made quiet: no look-up of prices over the network, nothing on standard output."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    collects = gc.isenabled()
    gc.disable()  # what its three thousand modules consist of stays; to look through it again and again takes a fifth of the time
    try:
        import litellm
    finally:
        if collects:
            gc.enable()
    from stamina import instrumentation

    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    instrumentation.set_on_retry_hooks([])
    return litellm


def _formats(litellm: Any, model: str) -> list[str]:
    known = litellm.get_supported_openai_params(model) or []
    schema = ["json_schema"] if litellm.supports_response_schema(model) else []
    return [*schema, *(["json_object"] if "response_format" in known else []), "plain"]


def _closed(schema: Any) -> bool:
    """Whether every object in `schema` names its properties. Providers that decode by schema leave open ones empty."""
    if isinstance(schema, list):
        return all(map(_closed, schema))
    if not isinstance(schema, dict):
        return True
    open_object = schema.get("type") == "object" and schema.get("additionalProperties") is not False
    members = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    anything = any(_SHAPED.isdisjoint(member) for member in members)
    return not open_object and not anything and all(map(_closed, schema.values()))


def _passes(error: Exception) -> bool:
    """Whether trying again may help. A timeout has used its time already."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return False
    return isinstance(error, openai.RateLimitError | openai.APIConnectionError) or getattr(error, "status_code", 0) in (500, 502, 503, 504, 529)


def _retry_after(error: Exception) -> float:
    """The seconds of the header Retry-After (RFC 9110, 10.2.3); 0 where there is none, or a date."""
    headers = getattr(error, "litellm_response_headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers.get("retry-after", 0)))
    except ValueError:
        return 0.0


def _unknown(model: str) -> str:
    return f"Set SKILLOPS_MODEL to provider/model, as openai/gpt-5, anthropic/claude-sonnet-4-5 or ollama/qwen3; it is {model!r}."


def _explained(settings: Settings, error: Exception) -> ModelUnavailable:
    import openai

    place = settings.api_base or "the provider's own address"
    status = 408 if isinstance(error, openai.APITimeoutError) else getattr(error, "status_code", 0)
    refused = "the key was refused", "Set the provider's key (SKILLOPS_API_KEY or its own variable)."
    unfit = "it refused the question", "Set another model with SKILLOPS_MODEL."
    later = f"in {wait:g} s" if (wait := _retry_after(error)) else "later"
    why, fix = {
        400: unfit,
        401: refused,
        403: refused,
        404: ("it is not known there", _unknown(settings.model)),
        408: (f"it took longer than {settings.model_timeout:g} s", "Raise SKILLOPS_MODEL_TIMEOUT, or try again later."),
        413: unfit,
        422: unfit,
        429: ("too many calls, or the account's quota is spent", f"Try again {later}, or set another model with SKILLOPS_MODEL."),
    }.get(status, ("it could not be reached, or is in trouble", f"Is {place} right and up? SKILLOPS_API_BASE sets it."))
    if type(error).__name__ == "ContextWindowExceededError":
        why = "the question is longer than it can take"
        fix = "Start a new conversation, ask for less at once, or set a model that takes more with SKILLOPS_MODEL."
    said = " ".join(str(error).split())[:300]
    return ModelUnavailable(
        f"The model {settings.model} gave no answer: {why}.", why=f"It was asked at {place} and said: {said}", next_step=f"{fix} {EXPLAIN}"
    )
