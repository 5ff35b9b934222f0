"""DeepSeek: https://api-docs.deepseek.com. Chat with reasoning, keep-alive lines and comments, 402 and 422."""

from . import openai_rules as rules
from .checks import flag, integer, listed, maybe, number, one_of, record, refuse, text
from .openai_like import OpenAiLike

FORMAT = record({"type": one_of("text", "json_object")}, ("type",))
STATUSES = {
    "key": (401, "authentication_error"), "no-key": (401, "authentication_error"), "rate": (429, "rate_limit_error"),
    "server": (500, "server_error"), "path": (404, "invalid_request_error"), "type": (422, "invalid_request_error"),
    "missing": (422, "invalid_request_error"), "funds": (402, "unknown_error"),
}


class DeepSeek(OpenAiLike):
    """`poor` makes every call answer that the balance is used up."""

    name = "deepseek"
    key = "sk-deepseek-fake"
    models = ("deepseek-chat", "deepseek-reasoner")
    strict = False
    shows_thought = True
    poor = False
    roles = rules.ROLES | {"user": ("text",)}
    extra = {"prefix": flag, "reasoning_content": maybe(text)}
    fields = rules.FIELDS | {
        "max_tokens": maybe(integer(1, 65536)), "response_format": maybe(FORMAT), "tools": maybe(listed(rules.TOOL, 0, 128)),
        "stop": maybe(rules.either((str, text), (list, listed(text, 0, 16)))), "top_p": maybe(number(0, 1)),
        "tool_choice": maybe(rules.CHOICE), "thinking": maybe(record({"type": one_of("enabled", "disabled")}, ("type",))),
        "parallel_tool_calls": rules.anything, "user": rules.anything,
    }

    def authenticate(self, seen):
        said = seen.headers.get("authorization", "")
        if said != f"Bearer {self.key}":
            refuse("key", f"Authentication Fails, Your api key: ****{said[-4:]} is invalid", None, "invalid_request_error")
        if self.poor:
            refuse("funds", "Insufficient Balance", None, "invalid_request_error")

    def known(self, model):
        if model not in self.models:
            refuse("value", "Model Not Exist", None, "invalid_request_error")

    def told(self, refusal):
        status, kind = STATUSES.get(refusal.kind, (400, "invalid_request_error"))
        message = refusal.message
        if status == 422:
            message = f"Failed to deserialize the JSON body into the target type: {message}"
        return status, {"error": {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}}

    def thinks(self, body):
        return body["model"] == "deepseek-reasoner" or (body.get("thinking") or {}).get("type") == "enabled"

    def rule(self, body):
        if not self.thinks(body):
            return
        for field in ("logprobs", "top_logprobs"):
            if body.get(field):
                refuse("value", f"deepseek-reasoner does not support the parameter `{field}`", field)
        last = max((i for i, one in enumerate(body["messages"]) if one["role"] == "user"), default=0)
        for i, one in enumerate(body["messages"]):
            if i > last and one.get("tool_calls") and not one.get("reasoning_content"):
                refuse("value", f"Missing `reasoning_content` field in the assistant message at message index {i}. For more "
                       "information, please refer to https://api-docs.deepseek.com/guides/thinking_mode#tool-calls")

    def usage(self, reply, n=1):
        made = super().usage(reply, n)
        made["prompt_cache_hit_tokens"], made["prompt_cache_miss_tokens"] = 0, reply.prompt_tokens
        return made

    async def reply(self, request, fault, body, status=200, **more):
        lead = b"\n\n" if "chat" in request.path else b""
        return await super().reply(request, fault, body, status, lead=lead, **more)

    def chunks(self, body, reply):
        for i, chunk in enumerate(super().chunks(body, reply)):
            if i % 3 == 0:
                yield b": keep-alive\n\n"
            yield chunk

    def ending(self, body, reply, n):
        """The usage is in the chunk that ends the answer, asked for or not, and in one of its own where asked for."""
        last = {"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": self.finish(body, reply)}
        yield self.chunk(body, [last], usage=self.usage(reply))
        if self.with_usage(body):
            yield self.chunk(body, [], usage=self.usage(reply))

    def routes(self):
        each = [("POST {}/chat/completions", self.chat), ("GET {}/models", self.list_models)]
        return [(route.format(base), handler) for base in ("", "/v1", "/beta") for route, handler in each]


FAKE = DeepSeek
