"""Baidu Qianfan, version 2: https://cloud.baidu.com/doc/qianfan-api. OpenAI's shape with its own ranges and errors."""

from . import openai_rules as rules
from .checks import anything, flag, integer, maybe, number, obj, one_of, record, refuse, text
from .openai_rest import OpenAiRest

SCHEMAS = record({"type": one_of("text", "json_object", "json_schema"), "json_schema": obj}, ("type",), strict=False)
ERRORS = {
    "key": (401, "invalid_request_error", "invalid_iam_token"), "no-key": (401, "invalid_request_error", "invalid_iam_token"),
    "model": (401, "invalid_request_error", "invalid_model"), "json": (400, "invalid_request_error", "malformed_json"),
    "order": (400, "invalid_request_error", "invalid_messages"), "path": (404, "invalid_request_error", "invalid_request_path"),
    "rate": (429, "rate_limit_exceeded", "rpm_rate_limit_exceeded"), "server": (500, "internal_error", "internal_error"),
}


class QianfanV2(OpenAiRest):
    name = "qianfan_v2"
    base = "/v2"
    key = "bce-v3/ALTAK-fake/0123456789"
    models = ("ernie-4.0-8k", "ernie-x1-turbo-32k", "ernie-4.5-turbo-vl", "embedding-v1")
    embedding_models = ("embedding-v1",)
    strict = False
    needs_json = False
    shows_thought = True
    id_prefix = "as-"
    finishes = {"stop": "stop", "length": "length", "tool": "tool_calls", "sequence": "stop"}
    extra = {"reasoning_content": maybe(text)}
    fields = rules.FIELDS | {
        "temperature": maybe(number(0, 1, above=True)), "penalty_score": maybe(number(1, 2)), "max_tokens": maybe(integer(2)),
        "max_completion_tokens": maybe(integer(2)), "response_format": maybe(SCHEMAS), "web_search": maybe(obj),
        "enable_thinking": maybe(flag), "repetition_penalty": maybe(number(0)), "tool_choice": maybe(rules.CHOICE),
        "parallel_tool_calls": maybe(flag), "user": maybe(text), "metadata": maybe(obj), "reasoning_effort": anything,
    }

    def authenticate(self, seen):
        if seen.headers.get("authorization") != f"Bearer {self.key}":
            refuse("key", "IAM Certification failed")

    def known(self, model):
        if model not in self.models:
            refuse("model", "No permission to use the model")

    def told(self, refusal):
        status, kind, code = ERRORS.get(refusal.kind, (400, "invalid_request_error", "invalid_argument"))
        if (refusal.param or "").startswith("messages"):
            code = "invalid_messages"
        elif refusal.param == "model" and refusal.kind == "missing":
            code = "invalid_model"
        return status, {"error": {"code": code, "message": refusal.message, "type": kind}, "id": "as-fake"}

    def thinks(self, body):
        return "-x1" in body["model"] or bool(body.get("enable_thinking"))

    def head(self, body, kind):
        return super().head(body, kind) | {"id": "as-fake"}

    def whole(self, body, reply):
        made = super().whole(body, reply)
        made["choices"] = [one | {"flag": 0} for one in made["choices"]]
        return made

    def stream_error(self):
        return (b'data: {"error":{"code":"internal_error","message":"Internal error","type":"internal_error"},"id":"as-fake"}'
                b"\n\n")

    def routes(self):
        return [("POST /v2/chat/completions", self.chat), ("POST /v2/embeddings", self.embeddings),
                ("GET /v2/models", self.list_models)]


FAKE = QianfanV2
