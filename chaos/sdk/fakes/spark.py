"""iFlytek Spark: https://www.xfyun.cn/doc/spark. The WebSocket interface, opened by a signed URL (`/v3.5/chat` and others),
and on the same port the HTTP one (`/v1/chat/completions`), which is almost OpenAI's."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from email.utils import parsedate_to_datetime

from aiohttp import WSMsgType, web

from . import brain, faults
from .brain import Question, Tool
from .checks import Refusal, filled, flag, integer, listed, maybe, number, obj, one_of, record, refuse, text
from .server import Fake
from .spark_http import SparkHttp

DOMAINS = {
    "/v1.1/chat": "lite", "/v3.1/chat": "generalv3", "/chat/pro-128k": "pro-128k", "/v3.5/chat": "generalv3.5",
    "/chat/max-32k": "max-32k", "/v4.0/chat": "4.0Ultra", "/v1/x1": "x1",
}
FUNCTIONS = record({"text": listed(record({"name": filled, "description": text, "parameters": obj},
                                          ("name", "description", "parameters")), 1)}, ("text",))
ASK = record({
    "header": record({"app_id": filled, "uid": text, "patch_id": listed(text)}, ("app_id",)),
    "parameter": record({"chat": record({
        "domain": filled, "temperature": number(0, 1, above=True), "top_k": integer(1, 6), "top_p": number(0, 1),
        "max_tokens": integer(1, 32768), "auditing": text, "chat_id": text, "presence_penalty": number(-2, 2),
        "frequency_penalty": number(-2, 2), "question_type": text, "show_ref_label": flag, "tools": listed(obj),
        "response_format": record({"type": one_of("text", "json_object")}), "thinking": obj,
    }, ("domain",))}, ("chat",)),
    "payload": record({
        "message": record({"text": listed(record({"role": one_of("system", "user", "assistant"), "content": text,
                                                  "content_type": text, "function_call": obj, "index": integer(),
                                                  "reasoning_content": maybe(text)}, ("role", "content")), 1)}, ("text",)),
        "functions": FUNCTIONS}, ("message",)),
}, ("header", "parameter", "payload"))
CODES = {
    "app": (11200, "AppIdNoAuthError"), "domain": (10404, "domain not found"), "rate": (11202, "QpsOverFlow"),
    "server": (10012, "EngineInternalError"), "json": (10003, "user message format error"),
}
AUTHORIZATION = re.compile(r'^api_key="([^"]*)", ?algorithm="([^"]*)", ?headers="([^"]*)", ?signature="([^"]*)"$')
SKEW = 300


class Spark(Fake):
    """`key`, `secret` and `app_id` are for the WebSocket, `password` for HTTP."""

    name = "spark"
    key = "spark-fake-api-key"
    secret = "spark-fake-api-secret"
    app_id = "fakeapp1"
    password = "spark-fake-key:spark-fake-secret"
    models = tuple(DOMAINS.values())

    def __post_init__(self):
        self.http = SparkHttp()
        self.http.key = self.password

    def card(self):
        more = {"secret": self.secret, "app_id": self.app_id, "password": self.password, "ws": self.ws}
        return super().card() | more | {"paths": {domain: path for path, domain in DOMAINS.items()}}

    @property
    def ws(self):
        return f"ws://{self.host}"

    def told(self, refusal):
        """Of a handshake that is refused."""
        status = {"date": 403, "path": 404, "upgrade": 400}.get(refusal.kind, 401)
        return status, {"message": refusal.message}

    def error_reply(self, refusal, request=None):
        teller = self.http if request.path == "/v1/chat/completions" else super()
        return teller.error_reply(refusal, request)

    def authenticate(self, request, seen):
        said = seen.query.get("authorization")
        if not said:
            refuse("no-key", "Unauthorized")
        try:
            opened = AUTHORIZATION.match(base64.b64decode(said, validate=True).decode())
        except ValueError:
            opened = None
        if not opened or opened.group(1) != self.key or opened.group(2, 3) != ("hmac-sha256", "host date request-line"):
            refuse("key", "HMAC signature cannot be verified")
        self.fresh(seen.query.get("date", ""))
        host = seen.query.get("host")
        if host not in (self.host, "127.0.0.1", "localhost"):
            refuse("key", "HMAC signature cannot be verified: wrong host")
        origin = f"host: {host}\ndate: {seen.query['date']}\nGET {request.path} HTTP/1.1"
        right = base64.b64encode(hmac.new(self.secret.encode(), origin.encode(), hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(right, opened.group(4)):
            refuse("key", "HMAC signature does not match")

    def fresh(self, date):
        try:
            skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
        except (ValueError, TypeError):
            skew = SKEW + 1
        if skew > SKEW or not date.endswith("GMT"):
            refuse("date", "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC "
                   "Authentication")

    async def open(self, request, seen):
        self.authenticate(request, seen)
        ws = web.WebSocketResponse(compress=False)
        if not ws.can_prepare(request).ok:
            refuse("upgrade", "Upgrade to websocket failed")
        await ws.prepare(request)
        got = await ws.receive(timeout=60)
        if got.type == WSMsgType.TEXT:
            try:
                seen.body = json.loads(got.data)
                await self.converse(request, ws, seen.body)
            except (Refusal, ValueError) as error:
                await self.refuse_message(request, error)
        if request.transport is not None:
            await ws.close()
        return ws

    async def refuse_message(self, request, error):
        refusal = error if isinstance(error, Refusal) else Refusal("json", str(error))
        (self.faults if refusal.fault else self.refused)[refusal.reason()] += 1
        code, lead = CODES.get(refusal.kind, (10163, "EngineParamSchemaError"))
        await send(request, self.failed(code, f"{lead}:({refusal.message})"))

    def failed(self, code, message):
        return {"header": {"code": code, "message": message, "sid": "cht-fake", "status": 2}}

    async def converse(self, request, ws, body):
        question = self.read(request.path, body)
        fault = faults.asked(question.text)
        faults.before(fault)
        frames = list(self.frames(brain.answer(question)))
        if fault == "garbage":
            return await send(request, faults.GARBAGE)
        for i, one in enumerate(frames):
            if i == max(1, len(frames) // 2) and fault == "cut":
                return request.transport.abort()
            if i == max(1, len(frames) // 2) and fault == "error-in-stream":
                return await send(request, self.failed(10012, "EngineInternalError:(fake)"))
            await send(request, one)
            await asyncio.sleep(faults.PAUSE if fault == "slow" else 0)

    def read(self, path, body):
        ASK(body, "$")
        if body["header"]["app_id"] != self.app_id:
            refuse("app", "the app_id is not of this key")
        chat = body["parameter"]["chat"]
        if chat["domain"] != DOMAINS[path]:
            refuse("domain", f"{chat['domain']} at {path}")
        messages = body["payload"]["message"]["text"]
        if messages[-1]["role"] != "user":
            refuse("order", "$.payload.message.text: the last message must be the user's")
        q = Question(turns=sum(one["role"] != "system" for one in messages), prompt=[one["content"] for one in messages])
        q.text = messages[-1]["content"]
        q.system = " ".join(one["content"] for one in messages if one["role"] == "system")
        functions = body["payload"].get("functions", {}).get("text", [])
        q.tools = [Tool(one["name"], one["parameters"]) for one in functions]
        q.parallel, q.thinks, q.limit = False, chat["domain"] == "x1", chat.get("max_tokens")
        q.shape = chat.get("response_format", {}).get("type") == "json_object" or None
        return q

    def frames(self, reply):
        texts = [{"content": "", "reasoning_content": one} for one in brain.words(reply.thought)]
        texts += [{"content": one} for one in brain.words(reply.text)]
        texts += [{"content": "", "content_type": "text", "function_call": {"name": one.name, "arguments": one.text()}}
                  for one in reply.calls]
        texts = texts if len(texts) > 1 else texts + [{"content": ""}] * (not reply.calls)
        for i, one in enumerate(texts):
            last = i == len(texts) - 1
            status = 2 if last else 1 if i else 0
            made = {"header": {"code": 0, "message": "Success", "sid": "cht-fake", "status": status},
                    "payload": {"choices": {"status": status, "seq": i, "text": [one | {"role": "assistant", "index": 0}]}}}
            if last:
                made["payload"]["usage"] = {"text": {
                    "question_tokens": reply.prompt_tokens, "prompt_tokens": reply.prompt_tokens,
                    "completion_tokens": reply.tokens, "total_tokens": reply.prompt_tokens + reply.tokens}}
            yield made

    def routes(self):
        return [*((f"GET {path}", self.open) for path in DOMAINS), ("POST /v1/chat/completions", self.http.chat)]


async def send(request, value):
    """A text message in three fragments, cut without regard to characters, as the protocol allows."""
    data = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    cuts = (0, max(1, len(data) // 3 + 1), max(2, len(data) * 2 // 3 + 1), len(data))
    for i in range(3):
        part = data[cuts[i] : cuts[i + 1]]
        head = bytes([(0x80 if i == 2 else 0) | (1 if i == 0 else 0)])
        size = len(part)
        head += bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else (
            b"\x7f" + size.to_bytes(8, "big"))
        request.transport.write(head + part)
        await asyncio.sleep(0)


FAKE = Spark
