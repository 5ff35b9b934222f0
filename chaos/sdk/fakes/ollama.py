"""Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md. No key; lines of JSON, and a stream unless told not to."""

import json

from . import brain, faults
from .brain import Question, Tool
from .checks import either, filled, flag, integer, listed, maybe, number, obj, one_of, picture, record, refuse, text
from .server import Fake

MOMENT = "2024-01-01T00:00:00.000000Z"
FINISHES = {"stop": "stop", "length": "length", "tool": "stop", "sequence": "stop"}
STATUSES = {"model": 404, "path": 404, "rate": 429, "server": 500}
CAPABILITIES = {
    "llama3.2:latest": ["completion", "tools"], "qwen3:latest": ["completion", "tools", "thinking"],
    "llava:latest": ["completion", "vision"], "all-minilm:latest": ["embedding"],
}
THINK = either((bool, flag), (str, one_of("low", "medium", "high", "max")))
FORM = either((str, one_of("", "json")), (dict, obj))
OPTIONS = record({"num_predict": integer(), "temperature": number(), "top_p": number(), "top_k": integer(), "seed": integer(),
                  "stop": listed(text), "num_ctx": integer(), "repeat_penalty": number(), "presence_penalty": number(),
                  "frequency_penalty": number(), "min_p": number()}, strict=False)
COMMON = {"model": filled, "stream": maybe(flag), "format": maybe(FORM), "options": maybe(OPTIONS), "think": maybe(THINK),
          "keep_alive": maybe(either((str, text), (int, integer()), (float, number()))), "logprobs": maybe(flag),
          "top_logprobs": maybe(integer(0, 20))}
CALL = record({"function": record({"name": filled, "arguments": obj}, ("name", "arguments"), strict=False)}, ("function",),
              strict=False)
MESSAGE = record({"role": one_of("system", "user", "assistant", "tool"), "content": maybe(text), "thinking": maybe(text),
                  "images": maybe(listed(text)), "tool_calls": maybe(listed(CALL)), "tool_name": maybe(text)}, ("role",),
                 strict=False)
TOOL = record({"type": text, "function": record({"name": filled, "parameters": maybe(obj)}, ("name",), strict=False)},
              ("function",), strict=False)
CHAT = record(COMMON | {"messages": maybe(listed(MESSAGE)), "tools": maybe(listed(TOOL))}, ("model",), strict=False)
GENERATE = record(COMMON | {"prompt": maybe(text), "suffix": maybe(text), "system": maybe(text), "template": maybe(text),
                            "images": maybe(listed(text)), "raw": maybe(flag), "context": maybe(listed(integer()))},
                  ("model",), strict=False)
EMBED = record({"model": filled, "input": either((str, text), (list, listed(text))), "truncate": maybe(flag),
                "dimensions": maybe(integer(1)), "options": maybe(OPTIONS)}, ("model",), strict=False)


class Ollama(Fake):
    name = "ollama"
    key = ""
    models = tuple(CAPABILITIES)

    def told(self, refusal):
        return STATUSES.get(refusal.kind, 400), {"error": refusal.message}

    def full(self, model):
        """The model's name with its tag, and that it is there."""
        named = model if ":" in model else f"{model}:latest"
        if named not in CAPABILITIES:
            refuse("model", f"model '{model}' not found")
        return named

    def can(self, model, *needed):
        for one in needed:
            if one not in CAPABILITIES[self.full(model)]:
                said = {"completion": "chat", "vision": "image input"}.get(one, one)
                refuse("value", f"\"{model}\" does not support {said}")

    async def chat(self, request, seen):
        body = seen.body
        CHAT(body, "")
        self.can(body["model"], "completion", *["tools"] * bool(body.get("tools")), *["thinking"] * bool(body.get("think")))
        if not body.get("messages"):
            return await self.reply(request, None, self.line(body, {"message": {"role": "assistant", "content": ""}})
                                    | {"done": True, "done_reason": "load"})
        q = Question(turns=sum(one["role"] in ("user", "assistant") for one in body["messages"]))
        for i, one in enumerate(body["messages"]):
            said = one.get("content") or ""
            q.prompt.append(said)
            q.pictures += self.pictures(body, one, f"messages[{i}].images")
            if one["role"] == "user":
                q.text, q.results = said, []
            elif one["role"] == "tool":
                self.after_call(body["messages"], i)
                q.results.append(said)
            elif one["role"] == "system":
                q.system = f"{q.system} {said}".strip()
        functions = [one["function"] for one in body.get("tools") or []]
        q.tools = [Tool(one["name"], one.get("parameters") or {}) for one in functions]
        return await self.answer(request, body, q, self.message)

    def after_call(self, messages, i):
        """The real one takes a tool's result anywhere; a chat template makes nothing of one without a call."""
        before = next((one for one in reversed(messages[:i]) if one["role"] != "tool"), {})
        if not before.get("tool_calls"):
            refuse("order", "a tool message must follow an assistant message with tool_calls")
        named = messages[i].get("tool_name")
        if named and named not in [one["function"]["name"] for one in before["tool_calls"]]:
            refuse("order", f"no call of the tool {named}")

    def pictures(self, body, holder, path):
        found = holder.get("images") or []
        if found:
            self.can(body["model"], "vision")
        return [picture(one, f"{path}[{i}]", bare=True) for i, one in enumerate(found)]

    async def generate(self, request, seen):
        body = seen.body
        GENERATE(body, "")
        self.can(body["model"], "completion", *["thinking"] * bool(body.get("think")))
        if not body.get("prompt"):
            return await self.reply(request, None, self.line(body, {"response": ""}) | {"done": True, "done_reason": "load"})
        q = Question(text=body["prompt"], system=body.get("system") or "", prompt=[body["prompt"], body.get("system") or ""])
        q.pictures = self.pictures(body, body, "images")
        return await self.answer(request, body, q, self.response)

    async def answer(self, request, body, q, part):
        options = body.get("options") or {}
        q.shape = {"json": True, "": None}.get(body["format"]) if isinstance(body.get("format"), str) else body.get("format")
        q.limit = options.get("num_predict") if (options.get("num_predict") or -1) > 0 else None
        q.stops, q.thinks = options.get("stop", []), bool(body.get("think"))
        fault = faults.asked(q.text)
        faults.before(fault)
        reply = brain.answer(q)
        if body.get("stream") is False:
            whole = self.line(body, part(thought=reply.thought, text=reply.text, calls=reply.calls)) | self.end(reply)
            return await self.reply(request, fault, whole | self.logprobs(body, reply.text, 0))
        error = dump({"error": "an error was encountered while running the model: unexpected EOF"})
        return await faults.stream(request, fault, self.lines(body, reply, part), error, kind="application/x-ndjson")

    def message(self, thought="", text="", calls=()):
        made = {"role": "assistant", "content": text} | ({"thinking": thought} if thought else {})
        if calls:
            made["tool_calls"] = [{"id": f"call_{i}", "function": {"index": i, "name": one.name, "arguments": one.arguments}}
                                  for i, one in enumerate(calls)]
        return {"message": made}

    def response(self, thought="", text="", calls=()):
        return {"response": text} | ({"thinking": thought} if thought else {})

    def line(self, body, part):
        return {"model": body["model"], "created_at": MOMENT, **part, "done": False}

    def end(self, reply):
        return {"done": True, "done_reason": FINISHES[reply.finish], "total_duration": 4_000_000, "load_duration": 1_000_000,
                "prompt_eval_count": reply.prompt_tokens, "prompt_eval_duration": 1_000_000, "eval_count": reply.tokens,
                "eval_duration": 2_000_000}

    def logprobs(self, body, text, at):
        if not body.get("logprobs") or not text:
            return {}
        top = body.get("top_logprobs") or 0

        def one(token, value):
            return {"token": token, "logprob": value, "bytes": list(token.encode())}

        return {"logprobs": [
            one(token, brain.probability(at + i))
            | ({"top_logprobs": [one(token, brain.probability(at + i) - k) for k in range(top)]} if top else {})
            for i, token in enumerate(brain.words(text))]}

    def lines(self, body, reply, part):
        for piece in brain.words(reply.thought):
            yield dump(self.line(body, part(thought=piece)))
        for i, piece in enumerate(brain.words(reply.text)):
            yield dump(self.line(body, part(text=piece)) | self.logprobs(body, piece, i))
        if reply.calls:
            yield dump(self.line(body, part(calls=reply.calls)))
        yield dump(self.line(body, part()) | self.end(reply))

    async def embed(self, request, seen):
        body = seen.body
        EMBED(body, "")
        self.can(body["model"], "embedding")
        given = body.get("input") or []
        texts = [given] if isinstance(given, str) else given
        fault = faults.asked(texts[-1]) if texts else None
        faults.before(fault)
        made = [brain.vector(one, body.get("dimensions") or 8) for one in texts]
        return await self.reply(request, fault, {"model": body["model"], "embeddings": made, "total_duration": 2_000_000,
                                                 "load_duration": 1_000_000, "prompt_eval_count": brain.count(*texts)})

    def details(self):
        return {"parent_model": "", "format": "gguf", "family": "fake", "families": ["fake"], "parameter_size": "1B",
                "quantization_level": "Q4_0"}

    async def tags(self, request, seen):
        return await self.reply(request, None, {"models": [
            {"name": one, "model": one, "modified_at": MOMENT, "size": 1000, "digest": "0" * 64, "details": self.details()}
            for one in self.models]})

    async def show(self, request, seen):
        name = seen.body.get("model") or seen.body.get("name") or refuse("missing", "model is required")
        return await self.reply(request, None, {
            "modelfile": "", "parameters": "", "template": "", "details": self.details(), "modified_at": MOMENT,
            "model_info": {"general.architecture": "fake", "fake.context_length": 8192},
            "capabilities": CAPABILITIES[self.full(name)]})

    async def version(self, request, seen):
        return await self.reply(request, None, {"version": "0.12.11"})

    def routes(self):
        return [("POST /api/chat", self.chat), ("POST /api/generate", self.generate), ("POST /api/embed", self.embed),
                ("GET /api/tags", self.tags), ("POST /api/show", self.show), ("GET /api/version", self.version)]


def dump(value):
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


FAKE = Ollama
