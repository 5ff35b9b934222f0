"""Chat in OpenAI's shape, for OpenAI itself and for the providers that took the shape over with rules of their own."""

import json

from . import brain, faults
from . import openai_rules as rules
from .brain import Question, Tool
from .checks import record, refuse
from .server import Fake

CREATED = 1_700_000_000


def sse(value):
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()) + b"\n\n"


def pieces_of(text, size=6):
    return [text[i : i + size] for i in range(0, len(text), size)]


class OpenAiLike(Fake):
    """Hooks, all with OpenAI's own value: `fields`, `roles`, `extra` (further fields of messages), `strict` (whether
    unknown fields are refused), `needs_json`, `shows_thought` (reasoning_content), `finishes`."""

    fields = rules.FIELDS
    roles = rules.ROLES
    extra = {}
    strict = True
    needs_json = True
    shows_thought = False
    finishes = {"stop": "stop", "length": "length", "tool": "tool_calls", "sequence": "stop"}
    id_prefix = "chatcmpl-"

    # what a subclass may change

    def authenticate(self, seen):
        said = seen.headers.get("authorization", "")
        if not said.startswith("Bearer "):
            refuse("no-key", "You didn't provide an API key. You need to provide your API key in an Authorization header "
                   "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
        if said != f"Bearer {self.key}":
            refuse("key", f"Incorrect API key provided: {said[7:11]}****. You can find your API key at "
                   "https://platform.openai.com/account/api-keys.", None, "invalid_api_key")

    def known(self, model):
        if model not in self.models:
            refuse("model", f"The model `{model}` does not exist or you do not have access to it.", None, "model_not_found")

    def thinks(self, body):
        return body.get("reasoning_effort") not in (None, "none")

    def rule(self, body):
        """Rules of this provider beyond the fields' own."""

    def told(self, refusal):
        status, kind = {
            "key": (401, "invalid_request_error"), "no-key": (401, "invalid_request_error"),
            "model": (404, "invalid_request_error"), "path": (404, "invalid_request_error"),
            "rate": (429, "requests"), "server": (500, "server_error"),
        }.get(refusal.kind, (400, "invalid_request_error"))
        code = refusal.code or {"rate": "rate_limit_exceeded"}.get(refusal.kind)
        return status, {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": code}}

    def stream_error(self):
        return sse({"error": {"message": "The server had an error while processing your request. Sorry about that!",
                              "type": "server_error", "param": None, "code": None}})

    # the call

    async def chat(self, request, seen):
        self.authenticate(seen)
        body = seen.body
        question = self.read(body)
        fault = faults.asked(question.text)
        faults.before(fault)
        reply = brain.answer(question)
        if body.get("stream"):
            return await faults.stream(request, fault, self.chunks(body, reply), self.stream_error())
        return await self.reply(request, fault, self.whole(body, reply))

    def read(self, body):
        """Checks the body and gives the question in it."""
        record(self.fields, ("model", "messages"), self.strict)(body, "")
        self.known(body["model"])
        found = [rules.message(one, i, self.roles, self.extra, self.strict) for i, one in enumerate(body["messages"])]
        rules.order(body["messages"])
        rules.together(body)
        self.rule(body)
        question = self.question(body, found)
        shape = (body.get("response_format") or {}).get("type")
        if shape == "json_object" and self.needs_json:
            rules.says_json(question.prompt)
        return question

    def question(self, body, found):
        messages = body["messages"]
        made = Question(thinks=self.thinks(body))
        made.prompt = [one for texts, _ in found for one in texts]
        made.pictures = [one for _, pictures in found for one in pictures]
        made.system = " ".join(one for m, (texts, _) in zip(messages, found) if m["role"] in ("system", "developer")
                               for one in texts)
        made.turns = sum(m["role"] in ("user", "assistant") for m in messages)
        for m, (texts, _) in zip(messages, found):
            if m["role"] == "user":
                made.text, made.results = " ".join(texts), []
            elif m["role"] in ("tool", "function"):
                made.results.append(" ".join(texts))
        self.wishes(body, made)
        return made

    def wishes(self, body, made):
        """Tools, form and length of the answer."""
        functions = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
        functions += body.get("functions") or []
        made.tools = [Tool(one["name"], one.get("parameters") or {}) for one in functions]
        choice = body.get("tool_choice") or body.get("function_call") or "auto"
        made.choice = choice if isinstance(choice, str) else (choice.get("function") or choice)["name"]
        made.parallel = body.get("parallel_tool_calls") is not False
        shape = body.get("response_format") or {}
        if shape.get("type") == "json_schema":
            made.shape = shape["json_schema"].get("schema") or True
        elif shape.get("type") == "json_object":
            made.shape = True
        made.limit = body.get("max_completion_tokens") or body.get("max_tokens")
        stop = body.get("stop") or []
        made.stops = [stop] if isinstance(stop, str) else stop

    # the answer

    def usage(self, reply, n=1):
        done = reply.tokens * n
        return {
            "prompt_tokens": reply.prompt_tokens, "completion_tokens": done, "total_tokens": reply.prompt_tokens + done,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reply.thought_tokens * n, "audio_tokens": 0,
                                          "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
        }

    def calls(self, reply):
        return [{"id": f"call_{i}_{call.name}", "type": "function",
                 "function": {"name": call.name, "arguments": call.text()}} for i, call in enumerate(reply.calls)]

    def message(self, body, reply):
        made = {"role": "assistant", "content": None if reply.calls else reply.text}
        if self.name in ("openai", "azure"):
            made["refusal"] = None
        if self.shows_thought and reply.thought:
            made["reasoning_content"] = reply.thought
        if reply.calls and body.get("functions"):
            made["function_call"] = self.calls(reply)[0]["function"]
        elif reply.calls:
            made["tool_calls"] = self.calls(reply)
        return made

    def finish(self, body, reply):
        return "function_call" if reply.calls and body.get("functions") else self.finishes[reply.finish]

    def logprobs(self, body, text, at=0):
        if not body.get("logprobs"):
            return None
        top = body.get("top_logprobs") or 0

        def one(token, value):
            return {"token": token, "logprob": value, "bytes": list(token.encode())}

        return {"refusal": None, "content": [
            one(token, brain.probability(at + i))
            | {"top_logprobs": [one(token if k == 0 else f"other{k}", brain.probability(at + i) - k) for k in range(top)]}
            for i, token in enumerate(brain.words(text))]}

    def head(self, body, kind):
        return {"id": f"{self.id_prefix}{self.name}1", "object": kind, "created": CREATED, "model": body["model"]}

    def whole(self, body, reply):
        n = body.get("n") or 1
        choices = [{"index": i, "message": self.message(body, reply), "logprobs": self.logprobs(body, reply.text),
                    "finish_reason": self.finish(body, reply)} for i in range(n)]
        return self.head(body, "chat.completion") | {"choices": choices, "usage": self.usage(reply, n)}

    def deltas(self, body, reply):
        """The pieces of one choice with the text in them, in the order of the stream."""
        yield {"role": "assistant", "content": None if reply.calls else ""}, ""
        if self.shows_thought:
            for piece in brain.words(reply.thought):
                yield {"content": None, "reasoning_content": piece}, ""
        for i, call in enumerate(self.calls(reply)):
            function = call["function"]
            if body.get("functions"):
                yield {"function_call": {"name": function["name"], "arguments": ""}}, ""
                for piece in pieces_of(function["arguments"]):
                    yield {"function_call": {"arguments": piece}}, ""
                break
            begun = call | {"index": i, "function": {"name": function["name"], "arguments": ""}}
            yield {"tool_calls": [begun]}, ""
            for piece in pieces_of(function["arguments"]):
                yield {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}, ""
        for piece in brain.words(reply.text):
            yield {"content": piece}, piece

    def chunk(self, body, choices, **more):
        made = self.head(body, "chat.completion.chunk") | {"choices": choices}
        if self.with_usage(body):
            made["usage"] = None
        return sse(made | more)

    def with_usage(self, body):
        return bool((body.get("stream_options") or {}).get("include_usage"))

    def chunks(self, body, reply):
        n, at = body.get("n") or 1, 0
        for delta, text in self.deltas(body, reply):
            logprobs = self.logprobs(body, text, at) if text else None
            at += bool(text)
            for i in range(n):
                yield self.chunk(body, [{"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": None}])
        yield from self.ending(body, reply, n)
        yield sse(b"[DONE]")

    def ending(self, body, reply, n):
        """The chunks with the reason of the end and the usage."""
        for i in range(n):
            yield self.chunk(body, [{"index": i, "delta": {}, "logprobs": None, "finish_reason": self.finish(body, reply)}])
        if self.with_usage(body):
            yield self.chunk(body, [], usage=self.usage(reply, n))

    # lists of models

    async def list_models(self, request, seen):
        self.authenticate(seen)
        return await self.reply(request, None, {"object": "list", "data": [self.model_card(one) for one in self.models]})

    async def one_model(self, request, seen):
        self.authenticate(seen)
        self.known(request.match_info["model"])
        return await self.reply(request, None, self.model_card(request.match_info["model"]))

    def model_card(self, model):
        return {"id": model, "object": "model", "created": CREATED, "owned_by": self.name}
