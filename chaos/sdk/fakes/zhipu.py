"""Zhipu (BigModel): https://docs.bigmodel.cn/api-reference. The key is `id.secret`; it goes as it is, or as a signed token
that it makes (HS256, `sign_type: SIGN`, times in milliseconds). Errors have codes of four digits, as text."""

import base64
import hashlib
import hmac
import json
import time

from . import openai_rules as rules
from .checks import anything, either, filled, flag, integer, listed, maybe, number, obj, one_of, record, refuse, text
from .openai_rest import OpenAiRest

CODES = {
    "no-key": (401, "1001"), "key": (401, "1002"), "expired": (401, "1003"), "signature": (401, "1000"),
    "model": (400, "1211"), "missing": (400, "1213"), "value": (400, "1214"), "type": (400, "1214"), "order": (400, "1214"),
    "json": (400, "1210"), "path": (404, "1222"), "rate": (429, "1302"), "server": (500, "500"),
}
TOOL = record({"type": one_of("function", "web_search", "retrieval", "mcp"), "function": rules.FUNCTION, "web_search": obj,
               "retrieval": obj, "mcp": obj}, ("type",), strict=False)


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def opened(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Zhipu(OpenAiRest):
    name = "zhipu"
    base = "/api/paas/v4"
    key = "0123456789abcdef.secretsecret"
    models = ("glm-4-plus", "glm-4.5", "glm-4v-plus", "embedding-3")
    embedding_models = ("embedding-3",)
    strict = False
    needs_json = False
    shows_thought = True
    extra = {"reasoning_content": maybe(text)}
    fields = {
        "model": filled, "messages": listed(obj, 1), "request_id": either((str, text)), "do_sample": maybe(flag),
        "stream": maybe(flag), "thinking": maybe(record({"type": one_of("enabled", "disabled")}, strict=False)),
        "temperature": maybe(number(0, 1)), "top_p": maybe(number(0, 1)), "max_tokens": maybe(integer(1, 131072)),
        "stop": maybe(listed(text, 0, 4)), "tools": maybe(listed(TOOL, 0, 128)), "tool_choice": maybe(one_of("auto")),
        "response_format": maybe(record({"type": one_of("text", "json_object")}, ("type",))), "user_id": maybe(text),
        "tool_stream": maybe(flag), "meta": anything,
    }

    def authenticate(self, seen):
        said = seen.headers.get("authorization")
        if not said:
            refuse("no-key", "Header中未收到Authentication参数，无法进行身份验证")
        token = said.removeprefix("Bearer ")
        if token != self.key:
            self.signed(token)

    def signed(self, token):
        """Checks a token: its form, its signature, its key, its end."""
        ident, secret = self.key.split(".")
        try:
            head, claims, signature = token.split(".")
            heading, said = json.loads(opened(head)), json.loads(opened(claims))
            expires, made, who = int(said["exp"]), int(said["timestamp"]), said["api_key"]
        except (ValueError, KeyError, TypeError):
            refuse("key", "Authentication Token非法，请确认Authentication Token正确传递。")
        if heading.get("alg") != "HS256" or heading.get("sign_type") != "SIGN":
            refuse("key", "Authentication Token非法，请确认Authentication Token正确传递。")
        right = unpadded(hmac.new(secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest())
        if who != ident or not hmac.compare_digest(right, signature):
            refuse("signature", "身份验证失败。")
        now = time.time() * 1000
        if expires < now or made > now + 60_000:
            refuse("expired", "Authentication Token已过期，请重新生成/获取。")
        if expires > now + 3_650 * 86_400_000:
            refuse("key", "Authentication Token非法: exp is in milliseconds.")

    def known(self, model):
        if model not in self.models:
            refuse("model", "模型不存在，请检查模型代码。")

    def told(self, refusal):
        status, code = CODES.get(refusal.kind, (400, "1210"))
        return status, {"error": {"code": code, "message": refusal.message}}

    def thinks(self, body):
        return (body.get("thinking") or {}).get("type") == "enabled"

    def rule(self, body):
        if all(one["role"] == "system" for one in body["messages"]):
            refuse("value", "messages 参数非法。请检查文档。", "messages")
        ident = body.get("user_id")
        if ident is not None and not 6 <= len(ident) <= 128:
            refuse("value", "user_id 参数非法。请检查文档。", "user_id")
        for i, tool in enumerate(body.get("tools") or []):
            if tool["type"] == "function" and not tool.get("function"):
                refuse("missing", f"未正常接收到tools[{i}].function参数。")

    def head(self, body, kind):
        made = super().head(body, kind) | {"request_id": body.get("request_id") or "fake-request"}
        made.pop("object")
        return made

    def deltas(self, body, reply):
        """Calls come in one piece each, unless `tool_stream` asks otherwise."""
        if not reply.calls or body.get("tool_stream"):
            yield from super().deltas(body, reply)
            return
        yield {"role": "assistant", "content": ""}, ""
        for one in reply.thought and [reply.thought] or []:
            yield {"role": "assistant", "reasoning_content": one}, ""
        for i, call in enumerate(self.calls(reply)):
            yield {"role": "assistant", "tool_calls": [call | {"index": i}]}, ""

    def ending(self, body, reply, n):
        last = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": self.finish(body, reply)}
        yield self.chunk(body, [last], usage=self.usage(reply))

    def stream_error(self):
        return b'data: {"error":{"code":"1234","message":"\xe7\xbd\x91\xe7\xbb\x9c\xe9\x94\x99\xe8\xaf\xaf"}}\n\n'

    def routes(self):
        return [("POST /api/paas/v4/chat/completions", self.chat), ("POST /api/paas/v4/embeddings", self.embeddings),
                ("GET /api/paas/v4/models", self.list_models)]


FAKE = Zhipu
