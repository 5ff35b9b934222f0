"""The fakes as providers of a cluster: how each is added, and which model of it does what."""

from dataclasses import dataclass


@dataclass
class Offer:
    """A provider as it is added to a cluster."""

    kind: str
    fake: str  # whose fake it is
    chat: str  # the fake's own name of a model that chats
    path: str = ""  # after the fake's address
    options: dict | None = None
    embedding: str | None = None
    vision: str | None = None
    tools: bool = True
    schema: bool = True

    def models(self):
        """What the cluster's clients call them: by what they do."""
        own = {"chat": self.chat, "embedding": self.embedding, "vision": self.vision} | MEDIA.get(self.kind, {})
        return [{"name": f"{self.kind}-{name}", "own_name": model} for name, model in own.items() if model]

    def body(self, fake, scheme="http"):
        key = getattr(self, "key", None) or fake.key
        return {
            "name": self.kind, "kind": self.kind, "url": f"{scheme}://{fake.host}{self.path}", "api_key": key,
            "models": self.models(), "options": self.options or {},
        }


# What does something else than chat.
MEDIA = {
    "openai": {
        "image": "gpt-image-1", "speech": "gpt-4o-mini-tts", "transcription": "whisper-1",
        "moderation": "omni-moderation-latest", "text": "gpt-3.5-turbo-instruct",
    },
    "compatible": {
        "image": "some-image", "speech": "some-speech", "transcription": "some-whisper", "rerank": "some-reranker",
        "text": "some-model",
    },
}

OFFERS = [
    Offer("openai", "openai", "gpt-4o", "/v1", embedding="text-embedding-3-small", vision="gpt-4o"),
    Offer("compatible", "compatible", "some-model", "/v1", embedding="some-embedding", vision="some-model"),
    Offer("azure", "azure", "my-gpt-4o", "", {"api_version": "2024-10-21"}, embedding="my-embedding", vision="my-gpt-4o"),
    Offer("anthropic", "anthropic", "claude-haiku-4-5", vision="claude-haiku-4-5"),
    Offer("gemini", "gemini", "gemini-2.5-flash", "/v1beta", embedding="gemini-embedding-001", vision="gemini-2.5-flash"),
    Offer("zhipu", "zhipu", "glm-4-plus", "/api/paas/v4", embedding="embedding-3", vision="glm-4v-plus", schema=False),
    Offer("qianfan", "qianfan_v2", "ernie-4.0-8k", "/v2", embedding="embedding-v1", vision="ernie-4.5-turbo-vl"),
    Offer("qianfan-v1", "qianfan_v1", "completions_pro", "", tools=True, schema=False),
    Offer("dashscope", "dashscope", "qwen-plus", "", embedding="text-embedding-v3", vision="qwen-vl-plus"),
    Offer("dashscope-compatible", "dashscope", "qwen-plus", "/compatible-mode/v1", embedding="text-embedding-v3"),
    Offer("spark-ws", "spark", "generalv3.5", "/v3.5/chat", schema=False),
    Offer("spark", "spark", "generalv3.5", "/v1", schema=False),
    Offer("deepseek", "deepseek", "deepseek-chat", "", schema=False),
    Offer("moonshot", "moonshot", "moonshot-v1-8k", "/v1", vision="moonshot-v1-8k-vision-preview", schema=False),
    Offer("ollama", "ollama", "", ""),
]


def body_of(offer, fakes):
    """What is sent to the cluster to add it."""
    fake = fakes[offer.fake]
    body = offer.body(fake, "ws" if offer.kind == "spark-ws" else "http")
    if offer.kind == "qianfan-v1":
        body["api_key"] = f"{fake.key}:{fake.secret}"
    elif offer.kind == "spark-ws":
        body["api_key"] = f"{fake.key}:{fake.secret}"
        body["options"] = {"app_id": fake.app_id}
    elif offer.kind == "spark":
        body["api_key"] = fake.password
    elif offer.kind == "ollama":
        chat = fake.models[0]
        body["models"] = [{"name": "ollama-chat", "own_name": chat}]
        body.pop("api_key")
    return body
