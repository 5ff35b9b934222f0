"""Spark over HTTP: OpenAI's shape with a code beside it. A tool's call is an object, not a list, unless
`tool_calls_switch` is on; a stream is one `data:` after the other with `code`, `message` and `sid` in each."""

from . import openai_rules as rules
from .checks import anything, flag, integer, listed, maybe, number, obj, one_of, record, refuse, text
from .openai_like import OpenAiLike, sse

CODES = {"key": (401, "11200"), "no-key": (401, "11200"), "model": (400, "10404"), "rate": (429, "11202"),
         "server": (500, "10012"), "path": (404, None)}
TOOL = record({"type": one_of("function", "web_search"), "function": rules.FUNCTION, "web_search": obj}, ("type",))


class SparkHttp(OpenAiLike):
    name = "spark_http"
    models = ("lite", "generalv3", "pro-128k", "generalv3.5", "max-32k", "4.0Ultra")
    strict = False
    needs_json = False
    id_prefix = "cht-"
    roles = rules.ROLES | {"user": ("text",)}
    fields = rules.FIELDS | {
        "temperature": maybe(number(0, 2)), "top_k": maybe(integer(1, 6)), "max_tokens": maybe(integer(1, 32768)),
        "top_p": maybe(number(0, 1, above=True)), "tools": maybe(listed(TOOL)), "tool_calls_switch": maybe(flag),
        "response_format": maybe(record({"type": one_of("text", "json_object")}, ("type",))), "user": maybe(text),
        "tool_choice": maybe(rules.CHOICE), "stream_options": anything, "n": anything, "stop": anything,
    }

    def authenticate(self, seen):
        if seen.headers.get("authorization") != f"Bearer {self.key}":
            refuse("key", "HMAC secret key does not match")

    def known(self, model):
        if model not in self.models:
            refuse("model", "model not found")

    def told(self, refusal):
        status, code = CODES.get(refusal.kind, (400, "10163"))
        if refusal.kind == "key":
            return status, {"message": refusal.message}
        return status, {"error": {"message": f"{refusal.message} (sid: cht-fake)", "type": "api_error", "param": None,
                                  "code": code}}

    def question(self, body, found):
        made = super().question(body, found)
        made.parallel, made.stops = False, []
        return made

    def head(self, body, kind):
        made = {"code": 0, "message": "Success", "sid": "cht-fake"}
        return made | ({"id": "cht-fake", "created": 1_700_000_000} if kind.endswith("chunk") else {})

    def usage(self, reply, n=1):
        return {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.tokens,
                "total_tokens": reply.prompt_tokens + reply.tokens}

    def whole(self, body, reply):
        message = {"role": "assistant", "content": reply.text}
        if reply.calls:
            calls = self.calls(reply)
            message["tool_calls"] = calls if body.get("tool_calls_switch") else calls[0]
        return self.head(body, "") | {"choices": [{"message": message, "index": 0}], "usage": self.usage(reply)}

    def chunks(self, body, reply):
        pieces = [text for _, text in self.deltas(body, reply) if text]
        for piece in pieces:
            yield self.chunk(body, [{"delta": {"role": "assistant", "content": piece}, "index": 0}])
        if reply.calls:
            calls = [one | {"index": i} for i, one in enumerate(self.calls(reply))]
            shown = calls if body.get("tool_calls_switch") else calls[0]
            yield self.chunk(body, [{"delta": {"role": "assistant", "content": "", "tool_calls": shown}, "index": 0}])
        yield self.chunk(body, [{"delta": {"role": "assistant", "content": ""}, "index": 0}], usage=self.usage(reply))
        yield sse(b"[DONE]")

    def with_usage(self, body):
        return False

    def stream_error(self):
        return sse({"code": 10012, "message": "EngineInternalError:(fake)", "sid": "cht-fake"})
