"""Alibaba DashScope: https://help.aliyun.com/zh/model-studio. The native interface (text, pictures, embeddings) and, on the
same port, the one in OpenAI's shape under `/compatible-mode/v1`."""

import json

from . import brain, faults
from . import openai_rules as rules
from .brain import Question, Tool
from .checks import (anything, either, filled, flag, integer, listed, maybe, number, obj, one_of, picture, record, refuse,
                     text)
from .openai_like import pieces_of
from .openai_rest import OpenAiRest
from .server import Fake

ERRORS = {
    "key": (401, "InvalidApiKey"), "no-key": (401, "InvalidApiKey"), "model": (404, "ModelNotFound"),
    "path": (404, "NotFound"), "rate": (429, "Throttling.RateQuota"), "server": (500, "InternalError"),
    "access": (403, "AccessDenied"),
}
TEXT, MULTI = ("qwen-plus", "qwen3-32b"), ("qwen-vl-plus",)
EMBEDDING = ("text-embedding-v3",)
PARAMETERS = record({
    "result_format": one_of("text", "message"), "incremental_output": flag, "temperature": number(0, 1.9999),
    "top_p": number(0, 1, above=True), "top_k": maybe(integer(0)), "max_tokens": integer(1), "seed": integer(0, 2**31 - 1),
    "stop": either((str, text), (list, listed(anything))), "tools": listed(rules.TOOL), "tool_choice": rules.CHOICE,
    "parallel_tool_calls": flag, "enable_thinking": flag, "thinking_budget": integer(1), "enable_search": flag,
    "search_options": obj, "repetition_penalty": number(0, above=True), "presence_penalty": number(-2, 2),
    "response_format": rules.FORMAT, "n": integer(1, 4), "logprobs": flag, "top_logprobs": integer(0, 5),
}, strict=False)
MESSAGE = record({"role": one_of("system", "user", "assistant", "tool"), "tool_calls": maybe(listed(rules.CALL)),
                  "tool_call_id": maybe(text), "reasoning_content": maybe(text), "partial": flag}, ("role",), strict=False)
FINISHES = {"stop": "stop", "length": "length", "tool": "tool_calls", "sequence": "stop"}


class CompatibleMode(OpenAiRest):
    """The interface in OpenAI's shape."""

    name = "dashscope_compatible"
    models = (*TEXT, *MULTI, *EMBEDDING)
    embedding_models = EMBEDDING
    strict = False
    shows_thought = True
    extra = {"reasoning_content": maybe(text), "partial": flag}
    fields = rules.FIELDS | {
        "temperature": maybe(number(0, 1.9999)), "top_p": maybe(number(0, 1, above=True)), "enable_thinking": maybe(flag),
        "thinking_budget": maybe(integer(1)), "enable_search": maybe(flag), "top_k": maybe(integer(0)),
        "n": maybe(integer(1, 4)), "tool_choice": maybe(rules.CHOICE), "parallel_tool_calls": maybe(flag),
    }

    def told(self, refusal):
        status, body = super().told(refusal)
        if refusal.kind == "key":
            body["error"] |= {"message": "Incorrect API key provided. ", "code": "invalid_api_key"}
        elif refusal.kind == "rate":
            body["error"] |= {"type": "limit_requests", "code": "limit_requests"}
        elif status == 400 and refusal.kind != "model":
            body["error"]["code"] = "invalid_parameter_error"
        return status, body | {"request_id": "fake-request"}

    def thinks(self, body):
        return bool(body.get("enable_thinking"))

    def rule(self, body):
        if self.thinks(body) and not body.get("stream"):
            refuse("value", "parameter.enable_thinking must be set to false for non-streaming calls")

    def mounted(self, owner):
        """The routes of this interface on the `owner`'s port."""
        self.key = owner.key
        return [("POST /compatible-mode/v1/chat/completions", self.chat), ("GET /compatible-mode/v1/models", self.list_models),
                ("POST /compatible-mode/v1/embeddings", self.embeddings)]


class DashScope(Fake):
    name = "dashscope"
    key = "sk-dashscope-fake"
    base = ""
    models = (*TEXT, *MULTI, *EMBEDDING)

    def __post_init__(self):
        self.compatible = CompatibleMode()

    def told(self, refusal):
        status, code = ERRORS.get(refusal.kind, (400, "InvalidParameter"))
        return status, {"code": code, "message": refusal.message, "request_id": "fake-request"}

    def error_reply(self, refusal, request=None):
        """Errors have the form of the interface that was called."""
        teller = self.compatible if request.path.startswith("/compatible-mode/") else super()
        return teller.error_reply(refusal, request)

    def authenticate(self, seen):
        said = seen.headers.get("authorization", "")
        if not said.startswith("Bearer "):
            refuse("no-key", "No API-key provided.")
        if said != f"Bearer {self.key}":
            refuse("key", "Invalid API-key provided.")

    def streams(self, seen):
        said = seen.headers.get("x-dashscope-sse")
        return said == "enable" or "text/event-stream" in seen.headers.get("accept", "")

    def body(self, seen, models, required):
        self.authenticate(seen)
        record({"model": filled, "input": record({}, required, strict=False), "parameters": maybe(obj)},
               ("model", "input"), strict=False)(seen.body, "")
        if seen.body["model"] not in self.models:
            refuse("model", "Model can not be found.")
        if seen.body["model"] not in models:
            refuse("value", "url error, please check url!")
        return seen.body, seen.body["input"], seen.body.get("parameters") or {}

    async def text(self, request, seen):
        given = seen.body.get("input") if isinstance(seen.body, dict) else None
        needed = () if isinstance(given, dict) and given.get("prompt") else ("messages",)
        body, given, parameters = self.body(seen, TEXT, needed)
        return await self.generate(request, seen, body, given, parameters, False)

    async def multi(self, request, seen):
        body, given, parameters = self.body(seen, MULTI, ("messages",))
        return await self.generate(request, seen, body, given, parameters, True)

    async def generate(self, request, seen, body, given, parameters, parts):
        PARAMETERS(parameters, "parameters")
        streams = self.streams(seen)
        self.rule(parameters, streams, parts)
        question = self.question(given, parameters, parts)
        fault = faults.asked(question.text)
        faults.before(fault)
        reply = brain.answer(question)
        if not streams:
            return await self.reply(request, fault, self.output(parameters, reply, parts, reply.thought, reply.text,
                                                                self.calls(reply), True))
        error = (b'id:9\nevent:error\n:HTTP_STATUS/500\ndata:{"code":"InternalError","message":"An internal error has '
                 b'occured, please try again later or contact service support.","request_id":"fake-request"}\n\n')
        return await faults.stream(request, fault, self.events(parameters, reply, parts), error,
                                   kind="text/event-stream;charset=UTF-8")

    def rule(self, parameters, streams, parts):
        as_text = parameters.get("result_format", "message" if parts else "text") == "text"
        if parameters.get("tools") and as_text:
            refuse("value", "result_format must be \"message\" when tools are given")
        if parameters.get("enable_thinking") and not streams:
            refuse("value", "parameter.enable_thinking must be set to false for non-streaming calls")
        if parameters.get("enable_thinking") and not parameters.get("incremental_output"):
            refuse("value", "This model only supports incremental_output set to True.")
        if parameters.get("top_logprobs") and not parameters.get("logprobs"):
            refuse("value", "top_logprobs needs logprobs")

    def question(self, given, parameters, parts):
        if given.get("prompt") and not given.get("messages"):
            given = {"messages": [{"role": "user", "content": given["prompt"]}]}
        q = Question(turns=sum(one.get("role") in ("user", "assistant") for one in listed_messages(given)))
        for i, one in enumerate(given["messages"]):
            MESSAGE(one, f"input.messages[{i}]")
            said, pictures = self.content(one, f"input.messages[{i}].content", parts)
            q.prompt.append(said)
            q.pictures += pictures
            if one["role"] == "user":
                q.text, q.results = said, []
            elif one["role"] == "tool":
                q.results.append(said)
            elif one["role"] == "system":
                q.system = f"{q.system} {said}".strip()
        rules.order([one | {"tool_call_id": one.get("tool_call_id")} for one in given["messages"]])
        self.wishes(parameters, q)
        if q.shape is True:
            rules.says_json(q.prompt)
        return q

    def content(self, one, path, parts):
        value = one.get("content")
        if value is None and one["role"] == "assistant" and one.get("tool_calls"):
            return "", []
        if isinstance(value, str):
            if not value and not one.get("tool_calls"):
                refuse("value", "Role must be user or assistant and Content length must be greater than 0")
            return value, []
        listed(record({"text": text, "image": text, "type": text}, strict=False), 1)(value, path)
        if not parts and any("image" in part for part in value):
            refuse("value", "Input should be a valid string: input.messages.content")
        pictures = [picture(part["image"], f"{path}[{k}].image") for k, part in enumerate(value) if "image" in part]
        return " ".join(part["text"] for part in value if "text" in part), pictures

    def wishes(self, parameters, q):
        q.tools = [Tool(one["function"]["name"], one["function"].get("parameters") or {}) for one in parameters.get("tools", [])]
        choice = parameters.get("tool_choice", "auto")
        if choice == "required":
            refuse("value", "tool_choice is one of the strings that should be [\"none\", \"auto\"]")
        q.choice = choice if isinstance(choice, str) else choice["function"]["name"]
        q.parallel = parameters.get("parallel_tool_calls") is True
        shape = parameters.get("response_format", {})
        q.shape = {"json_object": True}.get(shape.get("type"), (shape.get("json_schema") or {}).get("schema"))
        q.thinks, q.limit = parameters.get("enable_thinking", False), parameters.get("max_tokens")
        stop = parameters.get("stop", [])
        q.stops = [stop] if isinstance(stop, str) else [one for one in stop if isinstance(one, str)]

    def calls(self, reply):
        return [{"index": i, "id": f"call_{i}_{one.name}", "type": "function",
                 "function": {"name": one.name, "arguments": one.text()}} for i, one in enumerate(reply.calls)]

    def output(self, parameters, reply, parts, thought, said, calls, last):
        finish = FINISHES[reply.finish] if last else "null"
        usage = {"input_tokens": reply.prompt_tokens, "output_tokens": reply.tokens,
                 "total_tokens": reply.prompt_tokens + reply.tokens}
        if reply.thought_tokens:
            usage["output_tokens_details"] = {"reasoning_tokens": reply.thought_tokens}
        if parameters.get("result_format", "message" if parts else "text") == "text":
            output = {"finish_reason": finish, "text": said}
        else:
            message = {"role": "assistant", "content": ([{"text": said}] if said else []) if parts else said}
            if parameters.get("enable_thinking"):
                message["reasoning_content"] = thought
            if calls:
                message["tool_calls"] = calls
            one = {"finish_reason": finish, "message": message}
            if parameters.get("logprobs") and said:
                one["logprobs"] = CompatibleMode().logprobs(parameters, said)
            output = {"choices": [one]}
        return {"output": output, "usage": usage, "request_id": "fake-request"}

    def pieces(self, reply):
        for one in brain.words(reply.thought):
            yield one, "", []
        for one in brain.words(reply.text):
            yield "", one, []
        for call in self.calls(reply):
            arguments = pieces_of(call["function"]["arguments"])
            yield "", "", [call | {"function": {"name": call["function"]["name"], "arguments": arguments[0]}}]
            for one in arguments[1:]:
                yield "", "", [{"index": call["index"], "id": "", "type": "function", "function": {"arguments": one}}]

    def events(self, parameters, reply, parts):
        """Each event holds what is new, or without `incremental_output` all that there is so far."""
        pieces = list(self.pieces(reply)) + [("", "", [])]
        thought = said = ""
        for i, (more_thought, more, calls) in enumerate(pieces):
            last = i == len(pieces) - 1
            if parameters.get("incremental_output"):
                thought, said = more_thought, more
            else:
                thought, said, calls = thought + more_thought, said + more, self.so_far(pieces[: i + 1])
            data = json.dumps(self.output(parameters, reply, parts, thought, said, calls, last), ensure_ascii=False)
            yield f"id:{i + 1}\nevent:result\n:HTTP_STATUS/200\ndata:{data}\n\n".encode()

    def so_far(self, pieces):
        made = {}
        for _, _, calls in pieces:
            for call in calls:
                before = made.get(call["index"])
                arguments = call["function"]["arguments"]
                if before:
                    arguments = before["function"]["arguments"] + arguments
                made[call["index"]] = (before or call) | {"function": (before or call)["function"] | {"arguments": arguments}}
        return list(made.values())

    async def embed(self, request, seen):
        body, given, parameters = self.body(seen, EMBEDDING, ("texts",))
        listed(filled, 1, 10)(given["texts"], "input.texts")
        record({"dimension": one_of(64, 128, 256, 512, 768, 1024), "text_type": one_of("query", "document"),
                "output_type": one_of("dense", "sparse", "dense&sparse")}, strict=False)(parameters, "parameters")
        faults.before(faults.asked(given["texts"][-1]))
        size = parameters.get("dimension", 8)
        made = [{"text_index": i, "embedding": brain.vector(one, size)} for i, one in enumerate(given["texts"])]
        return await self.reply(request, faults.asked(given["texts"][-1]), {
            "output": {"embeddings": made}, "usage": {"total_tokens": brain.count(*given["texts"])},
            "request_id": "fake-request"})

    def routes(self):
        base = "POST /api/v1/services"
        return [
            (f"{base}/aigc/text-generation/generation", self.text),
            (f"{base}/aigc/multimodal-generation/generation", self.multi),
            (f"{base}/embeddings/text-embedding/text-embedding", self.embed), *self.compatible.mounted(self),
        ]


def listed_messages(given):
    listed(obj, 1)(given["messages"], "input.messages")
    return given["messages"]


FAKE = DashScope
