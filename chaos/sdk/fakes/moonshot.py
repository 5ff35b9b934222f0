"""Moonshot (Kimi): https://platform.moonshot.ai/docs/api/chat. Usage is in the last choice of a stream; partial mode."""

from . import brain
from . import openai_rules as rules
from .checks import anything, flag, integer, maybe, number, one_of, record, refuse, text
from .openai_like import OpenAiLike

STATUSES = {
    "key": (401, "invalid_authentication_error"), "no-key": (401, "invalid_authentication_error"),
    "model": (404, "resource_not_found_error"), "path": (404, "resource_not_found_error"),
    "rate": (429, "rate_limit_reached_error"), "server": (500, "server_error"),
}
FIXED = {"kimi-k2.5": {"temperature": 1, "top_p": 0.95, "n": 1, "presence_penalty": 0, "frequency_penalty": 0}}


class Moonshot(OpenAiLike):
    name = "moonshot"
    base = "/v1"
    key = "sk-moonshot-fake"
    models = ("moonshot-v1-8k", "moonshot-v1-8k-vision-preview", "kimi-k2-thinking", "kimi-k2.5")
    strict = False
    needs_json = False
    shows_thought = True
    extra = {"partial": flag, "reasoning_content": maybe(text)}
    fields = rules.FIELDS | {
        "temperature": maybe(number(0, 1)), "n": maybe(integer(1, 5)), "tool_choice": anything, "user": anything,
        "thinking": maybe(record({"type": one_of("enabled", "disabled")}, ("type",), strict=False)),
        "parallel_tool_calls": anything,
    }

    def authenticate(self, seen):
        if seen.headers.get("authorization") != f"Bearer {self.key}":
            refuse("key", "Invalid Authentication")

    def known(self, model):
        if model not in self.models:
            refuse("model", f"Not found the model {model} or Permission denied")

    def told(self, refusal):
        status, kind = STATUSES.get(refusal.kind, (400, "invalid_request_error"))
        lead = "Invalid request: " if status == 400 else ""
        return status, {"error": {"message": lead + refusal.message, "type": kind}}

    def thinks(self, body):
        if (body.get("thinking") or {}).get("type") == "disabled":
            return False
        return body["model"] in ("kimi-k2-thinking", "kimi-k2.5")

    def rule(self, body):
        if body.get("tool_choice") not in (None, "auto", "none"):
            refuse("value", "tool_choice only supports auto and none", "tool_choice")
        if (body.get("temperature") or 1) < 0.01 and (body.get("n") or 1) > 1:
            refuse("value", "n must be 1 when temperature is close to 0", "n")
        for field, only in FIXED.get(body["model"], {}).items():
            if body.get(field) is not None and body[field] != only:
                refuse("value", f"invalid {field}: only {only} is allowed for this model", field)
        for i, one in enumerate(body["messages"]):
            if one["role"] == "user" and not one["content"]:
                refuse("value", f"message at position {i} with role 'user' must not be empty")
            if one.get("partial") and (one["role"], i) != ("assistant", len(body["messages"]) - 1):
                refuse("value", "partial is only allowed for the last message, with role 'assistant'")

    def ending(self, body, reply, n):
        for i in range(n):
            last = {"index": i, "delta": {}, "finish_reason": self.finish(body, reply), "usage": self.usage(reply)}
            yield self.chunk(body, [last])
        if self.with_usage(body):
            yield self.chunk(body, [], usage=self.usage(reply, n))

    async def estimate(self, request, seen):
        self.authenticate(seen)
        tokens = brain.answer(self.read(seen.body)).prompt_tokens
        return await self.reply(request, None, {"data": {"total_tokens": tokens}})

    def routes(self):
        return [("POST /v1/chat/completions", self.chat), ("GET /v1/models", self.list_models),
                ("POST /v1/tokenizers/estimate-token-count", self.estimate)]


FAKE = Moonshot
