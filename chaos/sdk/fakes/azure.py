"""Azure OpenAI: https://learn.microsoft.com/azure/ai-services/openai/reference. Deployments have names of their own, and
the path names them; `/openai/v1` names them in the body. Authentication is `api-key`, or a bearer token of Entra."""

import re
from dataclasses import replace

from .checks import refuse
from .openai import OpenAi
from .openai_like import sse

SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
VERSION = re.compile(r"^20(2[2-9]|3\d)-\d\d-\d\d(-preview)?$")


class Azure(OpenAi):
    name = "azure"
    key = "azure-fake-key"
    token = "entra-fake-token"
    base = ""
    deployments = {
        "my-gpt-4o": "gpt-4o", "my-o3": "o3-mini", "my-embedding": "text-embedding-3-small", "my-dalle": "dall-e-3",
        "my-tts": "tts-1", "my-whisper": "whisper-1", "my-instruct": "gpt-3.5-turbo-instruct",
    }
    models = tuple(deployments)
    text_models = embedding_models = ()

    def card(self):
        return super().card() | {"api_version": "2024-10-21", "token": self.token}

    def reasons(self, body):
        return self.deployments.get(body["model"], "").startswith("o3")

    def authenticate(self, seen):
        if seen.headers.get("api-key") != self.key and seen.headers.get("authorization") != f"Bearer {self.token}":
            refuse("key", "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
                   "valid key for an active subscription and use a correct regional API endpoint for your resource.")

    def known(self, model):
        if model not in self.deployments:
            refuse("model", "The API deployment for this resource does not exist. If you created the deployment within the "
                   "last 5 minutes, please wait a moment and try again.", None, "DeploymentNotFound")

    def told(self, refusal):
        if refusal.kind in ("key", "model", "path", "rate", "server"):
            status = {"key": 401, "model": 404, "path": 404, "rate": 429, "server": 500}[refusal.kind]
            return status, {"error": {"code": refusal.code or str(status), "message": refusal.message}}
        return super().told(refusal)

    def deployed(self, handler):
        """`handler` with the model that the path's deployment names, if the version is a good one."""

        async def named(request, seen):
            self.authenticate(seen)
            if not VERSION.match(seen.query.get("api-version", "")):
                refuse("path", "Resource not found")
            deployment = request.match_info["deployment"]
            self.known(deployment)
            if isinstance(seen.body, dict):
                seen = replace(seen, body=seen.body | {"model": deployment})
            return await handler(request, seen)

        return named

    def head(self, body, kind):
        return super().head(body, kind) | {"model": self.deployments[body["model"]], "system_fingerprint": "fp_fake"}

    def whole(self, body, reply):
        made = super().whole(body, reply)
        made["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": SAFE}]
        made["choices"] = [one | {"content_filter_results": SAFE} for one in made["choices"]]
        return made

    def chunks(self, body, reply):
        yield sse({"id": "", "object": "", "created": 0, "model": "", "choices": [],
                   "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]})
        yield from super().chunks(body, reply)

    def chunk(self, body, choices, **more):
        return super().chunk(body, [one | {"content_filter_results": SAFE} for one in choices], **more)

    def routes(self):
        old = "/openai/deployments/{deployment}"
        by_path = [("POST /chat/completions", self.chat), *self.rest()]
        named = [(route.replace(" /", f" {old}/", 1), self.deployed(handler)) for route, handler in by_path
                 if route.startswith("POST")]
        return [
            *named, ("POST /openai/v1/chat/completions", self.chat), *self.rest("/openai/v1"),
            ("GET /openai/v1/models", self.list_models), ("GET /openai/models", self.list_models),
        ]


FAKE = Azure
