"""A server that took OpenAI's interface over, as many open ones do: unknown fields pass, reasoning is shown, texts can be
ranked (`POST /v1/rerank`, as vLLM, Jina and Cohere have it)."""

from . import brain, faults
from .checks import either, filled, flag, integer, listed, maybe, obj, record, text
from .openai_rest import OpenAiRest

RERANK = record(
    {"model": filled, "query": filled, "documents": listed(either((str, text), (dict, obj)), 1),
     "top_n": maybe(integer(1)), "return_documents": maybe(flag)},
    ("model", "query", "documents"), strict=False)


class Compatible(OpenAiRest):
    name = "compatible"
    base = "/v1"
    key = "sk-compatible-fake"
    strict = False
    needs_json = False
    shows_thought = True
    image_models = ("some-image",)
    models = ("some-model", "some-embedding", "some-reranker", "some-speech", "some-whisper", *image_models)

    def thinks(self, body):
        asked = body.get("chat_template_kwargs") or {}
        return super().thinks(body) or bool(asked.get("enable_thinking") or body.get("enable_thinking"))

    async def rerank(self, request, seen):
        self.authenticate(seen)
        body = seen.body
        RERANK(body, "")
        self.known(body["model"])
        fault = faults.asked(body["query"])
        faults.before(fault)
        texts = [one if isinstance(one, str) else one.get("text", "") for one in body["documents"]]
        wanted = set(body["query"].lower().split())
        scores = [len(wanted & set(one.lower().split())) / max(1, len(wanted)) for one in texts]
        ranked = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[: body.get("top_n") or len(texts)]
        results = [{"index": i, "relevance_score": scores[i]} for i in ranked]
        if body.get("return_documents"):
            results = [one | {"document": {"text": texts[one["index"]]}} for one in results]
        used = brain.count(body["query"], *texts)
        return await self.reply(request, fault, {"id": "rerank-1", "model": body["model"], "results": results,
                                                 "usage": {"total_tokens": used}})

    def routes(self):
        return [
            ("POST /v1/chat/completions", self.chat), *self.rest("/v1"), ("POST /v1/rerank", self.rerank),
            ("GET /v1/models", self.list_models), ("GET /v1/models/{model}", self.one_model),
        ]


FAKE = Compatible
