"""Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages, with streaming, counting and models.

Both versions are known. 2026-10-21, which clients send since their major releases of that day together with the key as
`Authorization: Bearer`, has no `temperature`, `top_p` and `top_k`; 2023-06-01 has. Newer models take only adaptive
thinking and no prefill, and a system message after a user's.
"""

import json
import re

from . import brain, faults
from . import anthropic_rules as rules
from .brain import Question, Tool
from .checks import refuse
from .openai_like import pieces_of
from .server import Fake

COUNTED = {"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools", "cache_control"}
OPTIONAL = COUNTED | {
    "container", "inference_geo", "metadata", "service_tier", "stop_sequences", "stream", "temperature", "top_k", "top_p",
}
TOOL = {"allowed_callers", "cache_control", "defer_loading", "description", "eager_input_streaming", "input_examples",
        "strict", "type"}
FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use", "sequence": "stop_sequence"}
KINDS = {
    "key": (401, "authentication_error"), "no-key": (401, "authentication_error"), "model": (404, "not_found_error"),
    "path": (404, "not_found_error"), "rate": (429, "rate_limit_error"), "server": (500, "api_error"),
}
SAMPLING = {"temperature": 1, "top_p": 1, "top_k": None}  # with their defaults
TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")


def event(name, **fields):
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, ensure_ascii=False)}\n\n".encode()


class Anthropic(Fake):
    name = "anthropic"
    key = "sk-ant-fake"
    base = ""
    models = ("claude-haiku-4-5", "claude-opus-4-8")
    newer = ("claude-opus-4-8",)
    versions = ("2023-06-01", "2026-10-21")

    def told(self, refusal):
        status, kind = KINDS.get(refusal.kind, (400, "invalid_request_error"))
        return status, {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": "req_fake"}

    def authenticate(self, seen):
        key = seen.headers.get("x-api-key") or seen.headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            refuse("no-key", "x-api-key header is required")
        if key != self.key:
            refuse("key", "invalid x-api-key")
        version = seen.headers.get("anthropic-version")
        if version is None:
            refuse("missing", "anthropic-version: header is required")
        if version not in self.versions:
            refuse("value", f"anthropic-version: \"{version}\" is not a valid version")

    def known(self, model):
        if model not in self.models:
            refuse("model", f"model: {model}")

    async def messages(self, request, seen):
        self.authenticate(seen)
        body = seen.body
        question = self.read(seen, {"model", "messages", "max_tokens"}, OPTIONAL)
        fault = faults.asked(question.text)
        faults.before(fault)
        reply = brain.answer(question)
        if body.get("stream"):
            error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
            return await faults.stream(request, fault, self.events(body, reply), error)
        return await self.reply(request, fault, self.whole(body, reply), headers={"request-id": "req_fake"})

    async def count(self, request, seen):
        self.authenticate(seen)
        question = self.read(seen, {"model", "messages"}, COUNTED)
        return await self.reply(request, None, {"input_tokens": brain.answer(question).prompt_tokens})

    def read(self, seen, required, optional):
        body = seen.body
        if seen.headers["anthropic-version"] == "2026-10-21":
            optional = optional - set(SAMPLING)
        rules.closed(body, "", required, optional | required)
        self.scalars(body)
        self.known(body["model"])
        made = rules.messages(body["messages"], body["model"] in self.newer)
        self.model_rule(body, made)
        self.tools(body)
        self.thinking(body, made)
        return self.question(body, made)

    def model_rule(self, body, made):
        """What the newer models do not take."""
        if body["model"] not in self.newer:
            return
        for name in SAMPLING:
            if body.get(name) not in (None, SAMPLING[name]):
                refuse("value", f"`{name}` is not supported on this model.")
        if (body.get("thinking") or {}).get("type") == "enabled":
            refuse("value", "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and "
                   "\"output_config.effort\" to control thinking behavior.")
        if made[-1].role == "assistant":
            refuse("value", "This model does not support assistant message prefill. The conversation must end with a user "
                   "message.")

    def scalars(self, body):
        rules.kind(body["model"], "model", str)
        if "max_tokens" in body:
            rules.kind(body["max_tokens"], "max_tokens", int)
            rules.between(body["max_tokens"], "max_tokens", 1, None)
        for name in ("temperature", "top_p"):
            if body.get(name) is not None:
                rules.kind(body[name], name, float, int)
                rules.between(body[name], name, 0, 1)
        if body.get("top_k") is not None:
            rules.kind(body["top_k"], "top_k", int)
        if body.get("stream") is not None:
            rules.kind(body["stream"], "stream", bool)
        for i, one in enumerate(body.get("stop_sequences") or []):
            rules.kind(one, f"stop_sequences.{i}", str)
            if not one.strip():
                refuse("value", "stop_sequences: each stop sequence must contain non-whitespace")
        if body.get("metadata") is not None:
            rules.closed(body["metadata"], "metadata", set(), {"user_id"})
        if body.get("service_tier") is not None:
            rules.among(body["service_tier"], "service_tier", "auto", "standard_only")
        self.system(body.get("system") or "")
        shape = body.get("output_config") or {}
        rules.closed(shape, "output_config", set(), {"effort", "format"})
        if shape.get("effort") is not None:
            rules.among(shape["effort"], "output_config.effort", "low", "medium", "high", "xhigh", "max")
        if shape.get("format") is not None:
            rules.closed(shape["format"], "output_config.format", {"type", "schema"}, set())
            rules.among(shape["format"]["type"], "output_config.format.type", "json_schema")

    def system(self, given):
        if isinstance(given, str):
            return given
        rules.kind(given, "system", list, str)
        for i, one in enumerate(given):
            rules.closed(one, f"system.{i}", {"type", "text"}, {"cache_control", "citations"})
            if not one["text"]:
                refuse("value", "system: text content blocks must be non-empty")
        return " ".join(one["text"] for one in given)

    def tools(self, body):
        names = []
        for i, one in enumerate(body.get("tools") or []):
            path = f"tools.{i}"
            rules.closed(one, path, {"name", "input_schema"}, TOOL)
            if not TOOL_NAME.match(one["name"]):
                refuse("value", f"{path}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            if one["input_schema"].get("type") != "object":
                refuse("value", f"{path}.custom.input_schema.type: Input should be 'object'")
            names.append(one["name"])
        if len(set(names)) < len(names):
            refuse("value", "tools: Tool names must be unique.")
        choice = body.get("tool_choice")
        if choice is None:
            return
        rules.among(choice.get("type"), "tool_choice.type", "auto", "any", "tool", "none")
        named = {"name"} if choice["type"] == "tool" else set()
        more = set() if choice["type"] == "none" else {"disable_parallel_tool_use"}
        rules.closed(choice, f"tool_choice.{choice['type']}", {"type"} | named, more)
        if not names:
            refuse("value", "tool_choice: tool_choice may only be specified while providing tools.")
        if named and choice["name"] not in names:
            refuse("value", f"tool_choice.name: Tool '{choice['name']}' not found in provided tools")

    def thinking(self, body, made):
        asked = body.get("thinking")
        if asked is None:
            return
        rules.among(asked.get("type"), "thinking.type", "enabled", "disabled", "adaptive")
        if asked["type"] == "disabled":
            return rules.closed(asked, "thinking.disabled", {"type"}, set())
        if asked["type"] == "enabled":
            rules.closed(asked, "thinking.enabled", {"type", "budget_tokens"}, {"display"})
            rules.kind(asked["budget_tokens"], "thinking.enabled.budget_tokens", int)
            rules.between(asked["budget_tokens"], "thinking.enabled.budget_tokens", 1024, None)
            if asked["budget_tokens"] >= body.get("max_tokens", asked["budget_tokens"] + 1):
                refuse("value", "`max_tokens` must be greater than `thinking.budget_tokens`.")
        else:
            rules.closed(asked, "thinking.adaptive", {"type"}, {"display"})
        if body.get("temperature", 1) not in (1, None):
            refuse("value", "`temperature` may only be set to 1 when thinking is enabled.")
        if body.get("top_k") is not None:
            refuse("value", "`top_k` must be unset when thinking is enabled.")
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            refuse("value", "Thinking may not be enabled when tool_choice forces tool use.")
        rules.thinking_first(made)

    def question(self, body, made):
        q = Question(system=self.system(body.get("system") or ""), turns=sum(one.role != "system" for one in made))
        for one in made:
            q.pictures += one.pictures
            q.prompt += one.texts + list(one.results.values())
            if one.role == "system":
                q.system = " ".join([q.system, *one.texts]).strip()
            if one.role == "user" and one.texts:
                q.text, q.results = " ".join(one.texts), []
            q.results += one.results.values()
        q.prompt.append(q.system)
        q.tools = [Tool(one["name"], one["input_schema"]) for one in body.get("tools") or []]
        choice = body.get("tool_choice") or {"type": "auto"}
        q.choice = {"any": "required", "tool": choice.get("name")}.get(choice["type"], choice["type"])
        q.parallel = not choice.get("disable_parallel_tool_use")
        q.shape = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        q.thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        q.limit, q.stops = body.get("max_tokens"), body.get("stop_sequences") or []
        return q

    def blocks(self, body, reply):
        made = []
        if reply.thought:
            hidden = (body["thinking"].get("display") or ("omitted" if body["model"] in self.newer else "")) == "omitted"
            shown = "" if hidden else reply.thought
            made.append({"type": "thinking", "thinking": shown, "signature": rules.sign(shown)})
        if reply.text:
            made.append({"type": "text", "text": reply.text})
        made += [{"type": "tool_use", "id": f"toolu_{i}_{call.name}", "name": call.name, "input": call.arguments}
                 for i, call in enumerate(reply.calls)]
        return made

    def usage(self, reply, tokens):
        return {"input_tokens": reply.prompt_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "output_tokens": tokens, "service_tier": "standard"}

    def whole(self, body, reply, blank=False):
        return {
            "id": "msg_fake", "type": "message", "role": "assistant", "model": body["model"],
            "content": [] if blank else self.blocks(body, reply), "stop_reason": None if blank else FINISHES[reply.finish],
            "stop_sequence": None if blank else reply.stopped_by, "usage": self.usage(reply, 1 if blank else reply.tokens),
        }

    def events(self, body, reply):
        yield event("message_start", message=self.whole(body, reply, blank=True))
        for i, block in enumerate(self.blocks(body, reply)):
            empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
            yield event("content_block_start", index=i, content_block=block | empty[block["type"]])
            if i == 0:
                yield event("ping")
            for delta in self.deltas(block):
                yield event("content_block_delta", index=i, delta=delta)
            yield event("content_block_stop", index=i)
        yield event("message_delta", delta={"stop_reason": FINISHES[reply.finish], "stop_sequence": reply.stopped_by},
                    usage={"output_tokens": reply.tokens})
        yield event("message_stop")

    def deltas(self, block):
        if block["type"] == "text":
            return [{"type": "text_delta", "text": one} for one in brain.words(block["text"])]
        if block["type"] == "thinking":
            made = [{"type": "thinking_delta", "thinking": one} for one in brain.words(block["thinking"])]
            return made + [{"type": "signature_delta", "signature": block["signature"]}]
        arguments = ["", *pieces_of(json.dumps(block["input"], ensure_ascii=False))]
        return [{"type": "input_json_delta", "partial_json": one} for one in arguments]

    def card_of(self, model):
        return {"type": "model", "id": model, "display_name": model, "created_at": "2025-01-01T00:00:00Z"}

    async def list_models(self, request, seen):
        self.authenticate(seen)
        return await self.reply(request, None, {
            "data": [self.card_of(one) for one in self.models], "has_more": False, "first_id": self.models[0],
            "last_id": self.models[-1]})

    async def one_model(self, request, seen):
        self.authenticate(seen)
        self.known(request.match_info["model"])
        return await self.reply(request, None, self.card_of(request.match_info["model"]))

    def routes(self):
        return [
            ("POST /v1/messages", self.messages), ("POST /v1/messages/count_tokens", self.count),
            ("GET /v1/models", self.list_models), ("GET /v1/models/{model}", self.one_model),
        ]


FAKE = Anthropic
