"""Baidu Qianfan, version 1 (ERNIE-Bot): https://cloud.baidu.com/doc/WENXINWORKSHOP. A key and a secret are exchanged for an
access token, which goes into the query and ends some day. Errors come with status 200, in the body."""

import time

from . import brain, faults
from .brain import Question, Tool
from .checks import either, filled, flag, integer, listed, maybe, number, obj, one_of, record, refuse, text
from .openai_like import CREATED, sse
from .server import Fake

PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
ENDPOINTS = {"completions_pro": "ERNIE-4.0-8K", "completions": "ERNIE-3.5-8K", "ernie-speed-128k": "ERNIE-Speed-128K",
             "eb-instant": "ERNIE-Lite-8K"}
CALL = record({"name": text, "arguments": text, "thoughts": text}, ("name", "arguments"))
FUNCTION = record({"name": filled, "description": text, "parameters": obj, "responses": obj, "examples": listed(listed(obj))},
                  ("name", "description", "parameters"))
CHAT = record({
    "messages": listed(obj, 1), "functions": listed(FUNCTION, 1), "temperature": number(0, 1, above=True),
    "top_p": number(0, 1), "penalty_score": number(1, 2), "stream": flag, "system": text,
    "stop": listed(text, 0, 4), "disable_search": flag, "enable_citation": flag, "enable_trace": flag,
    "max_output_tokens": integer(2, 2048), "response_format": one_of("text", "json_object"), "user_id": text,
    "tool_choice": record({"type": one_of("function"), "function": record({"name": text}, ("name",))}, ("type", "function")),
}, ("messages",))
MESSAGE = record({"role": one_of("user", "assistant", "function"), "content": maybe(text), "name": text,
                  "function_call": CALL}, ("role",))
FINISHES = {"stop": "normal", "length": "length", "tool": "function_call", "sequence": "stop"}
CODES = {"no-token": 100, "token": 110, "expired": 111, "path": 3, "rate": 18, "server": 336000, "json": 336002,
         "missing": 336003, "field": 336003, "type": 336003, "value": 336003, "order": 336003, "permission": 6}


class QianfanV1(Fake):
    """`lifetime` is how many seconds a new token is good for; `forget` makes all of them unknown, `expire` old."""

    name = "qianfan_v1"
    key = "qianfan-fake-key"
    secret = "qianfan-fake-secret"
    lifetime = 2_592_000
    models = (*ENDPOINTS, "embedding-v1")

    def card(self):
        return super().card() | {"secret": self.secret}

    def __post_init__(self):
        self.tokens = {}

    def forget(self):
        self.tokens.clear()

    def expire(self):
        self.tokens = dict.fromkeys(self.tokens, 0)

    def told(self, refusal):
        if refusal.kind == "client":
            return 401, {"error": "invalid_client", "error_description": refusal.message}
        if refusal.kind == "grant":
            return 400, {"error": "unsupported_grant_type", "error_description": refusal.message}
        known = {"rate": "Open api qps request limit reached", "server": "Internal error"}
        return 200, {"error_code": CODES[refusal.kind], "error_msg": known.get(refusal.kind, refusal.message), "id": "as-fake"}

    async def exchange(self, request, seen):
        given = seen.query | (seen.body if isinstance(seen.body, dict) else {})
        if given.get("grant_type") != "client_credentials":
            refuse("grant", "The authorization grant type is not supported")
        if given.get("client_id") != self.key:
            refuse("client", "unknown client id")
        if given.get("client_secret") != self.secret:
            refuse("client", "Client authentication failed")
        token = f"24.fake.{len(self.tokens) + 1}.{self.lifetime}"
        self.tokens[token] = time.monotonic() + self.lifetime
        return await self.reply(request, None, {
            "refresh_token": "25.fake", "expires_in": self.lifetime, "session_key": "", "access_token": token,
            "scope": "public wenxinworkshop", "session_secret": ""})

    def authenticate(self, seen):
        token = seen.query.get("access_token")
        if not token:
            refuse("no-token", "Invalid parameter")
        if token not in self.tokens:
            refuse("token", "Access token invalid or no longer valid")
        if self.tokens[token] < time.monotonic():
            refuse("expired", "Access token expired")

    async def chat(self, request, seen):
        self.authenticate(seen)
        if request.match_info["endpoint"] not in ENDPOINTS:
            refuse("path", "Unsupported openapi method")
        body = seen.body
        question = self.read(body)
        fault = faults.asked(question.text)
        faults.before(fault)
        reply = brain.answer(question)
        if body.get("stream"):
            error = sse({"error_code": 336100, "error_msg": "the max server load", "id": "as-fake"})
            return await faults.stream(request, fault, self.chunks(reply), error)
        return await self.reply(request, fault, self.head("chat.completion") | self.part(reply, reply.text, True)
                                | {"usage": self.usage(reply)})

    def read(self, body):
        CHAT(body, "")
        messages = body["messages"]
        for i, one in enumerate(messages):
            MESSAGE(one, f"messages[{i}]")
            if not one.get("content") and not one.get("function_call"):
                refuse("value", "the content of message can not be empty")
            if one["role"] == "function" and not one.get("name"):
                refuse("missing", "the name of a function message can not be empty")
            if (one["role"] == "assistant") != (i % 2 == 1):
                wanted = "odd index in the messages must be assistant" if i % 2 else "even index must be user or function"
                refuse("order", f"the role of message with {wanted}")
            self.answered(messages, i)
        if len(messages) % 2 == 0:
            refuse("order", "the length of messages must be an odd number")
        return self.question(body)

    def answered(self, messages, i):
        one, before = messages[i], messages[i - 1] if i else {}
        if one["role"] == "function" and before.get("function_call", {}).get("name") != one["name"]:
            refuse("order", "function message must follow an assistant message with the same function_call")

    def question(self, body):
        q = Question(system=body.get("system", ""), turns=sum(one["role"] != "function" for one in body["messages"]))
        for one in body["messages"]:
            q.prompt.append(one.get("content") or "")
            if one["role"] == "user":
                q.text, q.results = one["content"], []
            elif one["role"] == "function":
                q.results.append(one["content"])
        q.prompt.append(q.system)
        q.tools = [Tool(one["name"], one["parameters"]) for one in body.get("functions", [])]
        q.choice, q.parallel = body.get("tool_choice", {}).get("function", {}).get("name", "auto"), False
        q.shape = body.get("response_format") == "json_object" or None
        q.limit, q.stops = body.get("max_output_tokens"), body.get("stop", [])
        return q

    def head(self, kind):
        return {"id": "as-fake", "object": kind, "created": CREATED}

    def usage(self, reply):
        return {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.tokens,
                "total_tokens": reply.prompt_tokens + reply.tokens}

    def part(self, reply, text, last):
        made = {"result": text, "is_truncated": reply.finish == "length", "need_clear_history": False,
                "finish_reason": FINISHES[reply.finish] if last else "normal"}
        if reply.calls and last:
            call = reply.calls[0]
            made["function_call"] = {"name": call.name, "arguments": call.text(), "thoughts": f"I call {call.name}"}
        return made

    def chunks(self, reply):
        pieces = brain.words(reply.text) + [""]
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            yield sse(self.head("chat.completion") | {"sentence_id": i, "is_end": last} | self.part(reply, piece, last)
                      | {"usage": self.usage(reply)})

    async def embeddings(self, request, seen):
        self.authenticate(seen)
        record({"input": listed(either((str, filled)), 1, 16), "user_id": text}, ("input",))(seen.body, "")
        texts = seen.body["input"]
        faults.before(faults.asked(texts[-1]))
        used = brain.count(*texts)
        return await self.reply(request, faults.asked(texts[-1]), self.head("embedding_list") | {
            "data": [{"object": "embedding", "index": i, "embedding": brain.vector(one)} for i, one in enumerate(texts)],
            "usage": {"prompt_tokens": used, "total_tokens": used}})

    def routes(self):
        return [("POST /oauth/2.0/token", self.exchange), ("GET /oauth/2.0/token", self.exchange),
                (f"POST {PATH}/chat/{{endpoint}}", self.chat), (f"POST {PATH}/embeddings/embedding-v1", self.embeddings)]


FAKE = QianfanV1
