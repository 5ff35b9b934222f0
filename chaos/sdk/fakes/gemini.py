"""Google's Gemini API: https://ai.google.dev/api. Calls, streams (as events or as an array), embeddings, models;
`/v1beta` and `/v1` alike."""

import base64
import json

from . import brain, faults
from . import gemini_rules as rules
from .brain import Question, Tool
from .checks import refuse
from .server import Fake

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP", "sequence": "STOP"}
STATUSES = {
    "key": (400, "INVALID_ARGUMENT"), "no-key": (403, "PERMISSION_DENIED"), "model": (404, "NOT_FOUND"),
    "path": (404, "NOT_FOUND"), "rate": (429, "RESOURCE_EXHAUSTED"), "server": (500, "INTERNAL"),
}
RANGES = {"temperature": (0, 2), "topP": (0, 1), "candidateCount": (1, 8), "maxOutputTokens": (1, None), "logprobs": (0, 20)}
SIGNATURE = base64.b64encode(b"a thought of the fake").decode()


class Gemini(Fake):
    name = "gemini"
    key = "AIza-fake"
    base = "/v1beta"
    models = ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-embedding-001")
    embedding_models = ("gemini-embedding-001",)

    def told(self, refusal):
        status, name = STATUSES.get(refusal.kind, (400, "INVALID_ARGUMENT"))
        error = {"code": status, "message": refusal.message, "status": name}
        lead = "type.googleapis.com/google.rpc."
        if refusal.kind == "key":
            error["details"] = [{"@type": lead + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        elif refusal.kind in ("field", "type"):
            said = [{"field": refusal.param or "", "description": refusal.message}]
            error["details"] = [{"@type": lead + "BadRequest", "fieldViolations": said}]
        elif refusal.kind == "rate":
            error["details"] = [{"@type": lead + "RetryInfo", "retryDelay": "1s"}]
        return status, {"error": error}

    def authenticate(self, seen):
        key = seen.headers.get("x-goog-api-key") or seen.query.get("key")
        if not key:
            refuse("no-key", "Method doesn't allow unregistered callers (callers without established identity). Please use "
                   "API Key or other form of API consumer identity to call this API.")
        if key != self.key:
            refuse("key", "API key not valid. Please pass a valid API key.")

    def can(self, model, method):
        embeds = model in self.embedding_models
        if model not in self.models or embeds != ("mbed" in method):
            refuse("model", f"models/{model} is not found for API version v1beta, or is not supported for {method}. Call "
                   "ListModels to see the list of available models and their supported methods.")

    async def call(self, request, seen):
        """`models/NAME:METHOD`"""
        self.authenticate(seen)
        model, _, method = request.match_info["call"].partition(":")
        known = {"generateContent": self.generate, "streamGenerateContent": self.generate, "countTokens": self.count,
                 "embedContent": self.embed, "batchEmbedContents": self.batch}
        if method not in known:
            refuse("path", f"Not found: {request.path}")
        self.can(model, method)
        return await known[method](request, seen, model, method.startswith("stream"))

    async def generate(self, request, seen, model, streams):
        question, config = self.read(seen.body, model)
        fault = faults.asked(question.text)
        faults.before(fault)
        reply = brain.answer(question)
        if not streams:
            return await self.reply(request, fault, self.whole(model, reply, config))
        chunks = list(self.chunks(model, reply, config))
        error = {"error": {"code": 503, "message": "The model is overloaded. Please try again later.",
                           "status": "UNAVAILABLE"}}
        if seen.query.get("alt") == "sse":
            return await faults.stream(request, fault, map(sse, chunks), sse(error))
        parts = [(b"[" if i == 0 else b",\r\n") + dump(one) for i, one in enumerate(chunks)] + [b"]"]
        return await faults.stream(request, fault, parts, b",\r\n" + dump(error) + b"]", kind="application/json")

    def read(self, given, model):
        body = rules.read(given, rules.ASK)
        config = body.get("generationConfig", {})
        rules.order(body.get("contents"), model.startswith("gemini-3"))
        for name, (low, high) in RANGES.items():
            value = config.get(name)
            if value is not None and (value < low or high is not None and value > high):
                shown = rules.snake(name)
                refuse("value", f"* GenerateContentRequest.generation_config.{shown}: {shown} must be in the range "
                       f"[{low}, {high}].")
        if len(config.get("stopSequences", [])) > 5:
            refuse("value", "The number of stop sequences must be at most 5.")
        shaped = "responseSchema" in config or "responseJsonSchema" in config
        if shaped and config.get("responseMimeType") not in ("application/json", "text/x.enum"):
            refuse("value", "Response schema with a response mime type: 'text/plain' is unsupported")
        if config.get("responseMimeType") == "application/json" and body.get("tools") and not model.startswith("gemini-3"):
            refuse("value", "Function calling with a response mime type: 'application/json' is unsupported")
        if "logprobs" in config and not config.get("responseLogprobs"):
            refuse("value", "logprobs is only allowed when response_logprobs is true")
        return self.question(body, config, model), config

    def question(self, body, config, model):
        system = " ".join(part.get("text", "") for part in body.get("systemInstruction", {}).get("parts", []))
        q = Question(system=system, prompt=[system], turns=len(body["contents"]))
        for i, one in enumerate(body["contents"]):
            texts = [part["text"] for part in one["parts"] if "text" in part and not part.get("thought")]
            replies = [json.dumps(part["functionResponse"].get("response"), ensure_ascii=False) for part in one["parts"]
                       if "functionResponse" in part]
            q.pictures += [rules.inline(part, f"contents[{i}].parts[{k}]") for k, part in enumerate(one["parts"])
                           if "inlineData" in part]
            q.pictures += [part["fileData"].get("mimeType", "url") for part in one["parts"] if "fileData" in part]
            q.prompt += texts + replies
            if one.get("role", "user") != "model" and texts:
                q.text, q.results = " ".join(texts), []
            q.results += replies
        self.wishes(body, config, q, model)
        return q

    def wishes(self, body, config, q, model):
        declared = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
        q.tools = [Tool(one["name"], one.get("parameters") or one.get("parametersJsonSchema") or {}) for one in declared]
        calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
        mode = calling.get("mode", "AUTO").upper()
        if mode not in ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"):
            refuse("type", f"Invalid value at 'tool_config.function_calling_config.mode': \"{mode}\"")
        allowed = calling.get("allowedFunctionNames", [])
        if allowed and mode not in ("ANY", "VALIDATED"):
            refuse("value", "Function calling config is set without mode ANY; allowed_function_names must be empty.")
        for name in allowed:
            if name not in [tool.name for tool in q.tools]:
                refuse("value", f"Function '{name}' is not declared.")
        q.tools = [tool for tool in q.tools if not allowed or tool.name in allowed]
        q.choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
        if config.get("responseMimeType") == "application/json":
            q.shape = config.get("responseJsonSchema") or config.get("responseSchema") or True
        thinking = config.get("thinkingConfig", {})
        if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
            refuse("value", "You can only set only one of thinking budget and thinking level.")
        q.thinks = bool(thinking) and thinking.get("thinkingBudget") != 0
        q.limit, q.stops = config.get("maxOutputTokens"), config.get("stopSequences", [])

    def parts(self, model, reply, config):
        made = []
        if reply.thought and config["thinkingConfig"].get("includeThoughts"):
            made += [{"text": one, "thought": True} for one in brain.words(reply.thought)]
        made += [{"text": one} for one in brain.words(reply.text)]
        for i, call in enumerate(reply.calls):
            part = {"functionCall": {"name": call.name, "args": call.arguments}}
            if i == 0 and (reply.thought or model.startswith("gemini-3")):
                part["thoughtSignature"] = SIGNATURE
            made.append(part)
        return made

    def usage(self, reply):
        made = {"promptTokenCount": reply.prompt_tokens, "candidatesTokenCount": reply.tokens - reply.thought_tokens,
                "totalTokenCount": reply.prompt_tokens + reply.tokens,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.prompt_tokens}]}
        return made | ({"thoughtsTokenCount": reply.thought_tokens} if reply.thought_tokens else {})

    def envelope(self, model, reply, candidates):
        return {"candidates": candidates, "usageMetadata": self.usage(reply), "modelVersion": model, "responseId": "fake-1"}

    def whole(self, model, reply, config):
        parts = self.parts(model, reply, config)
        joined = []
        for part in parts:
            if joined and "text" in part and "text" in joined[-1] and part.get("thought") == joined[-1].get("thought"):
                joined[-1] = joined[-1] | {"text": joined[-1]["text"] + part["text"]}
            else:
                joined.append(part)
        one = {"content": {"parts": joined, "role": "model"}, "finishReason": FINISHES[reply.finish], "index": 0}
        if config.get("responseLogprobs"):
            one |= self.logprobs(reply, config)
        count = config.get("candidateCount", 1)
        return self.envelope(model, reply, [one | {"index": i} for i in range(count)])

    def logprobs(self, reply, config):
        chosen = [{"token": one, "tokenId": i, "logProbability": brain.probability(i)}
                  for i, one in enumerate(brain.words(reply.text))]
        top = [{"candidates": [one | {"logProbability": one["logProbability"] - k} for k in range(config.get("logprobs", 1))]}
               for one in chosen]
        mean = sum(one["logProbability"] for one in chosen) / max(1, len(chosen))
        return {"avgLogprobs": mean, "logprobsResult": {"topCandidates": top, "chosenCandidates": chosen}}

    def chunks(self, model, reply, config):
        for part in self.parts(model, reply, config):
            yield self.envelope(model, reply, [{"content": {"parts": [part], "role": "model"}, "index": 0}])
        last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": FINISHES[reply.finish], "index": 0}
        yield self.envelope(model, reply, [last])

    async def count(self, request, seen, model, streams):
        body = seen.body.get("generateContentRequest") or seen.body
        question, _ = self.read(body, model)
        return await self.reply(request, None, {"totalTokens": brain.answer(question).prompt_tokens})

    def vector(self, given, model):
        one = rules.read(given, rules.EMBED)
        if one.get("model", f"models/{model}") != f"models/{model}":
            refuse("value", "* BatchEmbedContentsRequest.requests[].model: the model must be the model of the request's path")
        parts = one.get("content", {}).get("parts")
        if not parts:
            refuse("missing", "* EmbedContentRequest.content: content is empty")
        words = " ".join(part.get("text", "") for part in parts)
        faults.before(faults.asked(words))
        return {"values": brain.vector(words, one.get("outputDimensionality") or 8)}

    async def embed(self, request, seen, model, streams):
        return await self.reply(request, None, {"embedding": self.vector(seen.body, model)})

    async def batch(self, request, seen, model, streams):
        given = rules.read(seen.body, {"requests": [rules.ANY]}).get("requests")
        if not given:
            refuse("missing", "* BatchEmbedContentsRequest.requests: requests is not specified")
        for one in given:
            if not one.get("model"):
                refuse("missing", "* BatchEmbedContentsRequest.requests[0].model: model is required")
        return await self.reply(request, None, {"embeddings": [self.vector(one, model) for one in given]})

    def card_of(self, model):
        embeds = model in self.embedding_models
        methods = ["embedContent", "batchEmbedContents"] if embeds else ["generateContent", "countTokens"]
        return {"name": f"models/{model}", "version": "1", "displayName": model, "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536, "supportedGenerationMethods": methods}

    async def list_models(self, request, seen):
        self.authenticate(seen)
        return await self.reply(request, None, {"models": [self.card_of(one) for one in self.models]})

    async def one_model(self, request, seen):
        self.authenticate(seen)
        model = request.match_info["model"]
        if model not in self.models:
            refuse("model", f"Model is not found: models/{model} for api version v1beta")
        return await self.reply(request, None, self.card_of(model))

    def routes(self):
        each = [("POST {}/models/{{call}}", self.call), ("GET {}/models", self.list_models),
                ("GET {}/models/{{model}}", self.one_model)]
        return [(route.format(base), handler) for base in ("/v1beta", "/v1") for route, handler in each]


def dump(value):
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def sse(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"


FAKE = Gemini
