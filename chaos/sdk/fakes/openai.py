"""OpenAI: https://platform.openai.com/docs/api-reference. Unknown fields are refused."""

from .checks import refuse
from .openai_rest import OpenAiRest
from .openai_rules import strict_schema

REASONING = ("o1", "o3", "o4", "gpt-5")
FIXED = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}


class OpenAi(OpenAiRest):
    name = "openai"
    base = "/v1"
    key = "sk-openai-fake"
    text_models = ("gpt-3.5-turbo-instruct",)
    embedding_models = ("text-embedding-3-small", "text-embedding-ada-002")
    image_models = ("dall-e-3", "dall-e-2", "gpt-image-1")
    models = ("gpt-4o", "gpt-4o-mini", "o3-mini", "gpt-5-mini", *text_models, *embedding_models, *image_models, "tts-1",
              "gpt-4o-mini-tts", "whisper-1", "gpt-4o-transcribe", "omni-moderation-latest")

    def reasons(self, body):
        return body["model"].startswith(REASONING)

    def thinks(self, body):
        return self.reasons(body) and body.get("reasoning_effort") != "none"

    def rule(self, body):
        schema = (body.get("response_format") or {}).get("json_schema")
        if (body.get("response_format") or {}).get("type") == "json_schema":
            if schema is None:
                refuse("missing", "Missing required parameter: 'response_format.json_schema'.",
                       "response_format.json_schema", "missing_required_parameter")
            if schema.get("strict"):
                strict_schema(schema.get("schema") or {}, "response_format")
        for tool in body.get("tools") or []:
            if tool["function"].get("strict"):
                strict_schema(tool["function"].get("parameters") or {}, f"function '{tool['function']['name']}'")
        self.reasoning_rule(body)

    def reasoning_rule(self, body):
        if not self.reasons(body):
            if body.get("reasoning_effort") is not None:
                refuse("field", "Unrecognized request argument supplied: reasoning_effort", "reasoning_effort")
            return
        if body.get("max_tokens") is not None:
            refuse("value", "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                   "'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter")
        for field, only in FIXED.items():
            if body.get(field, only) not in (only, None):
                refuse("value", f"Unsupported value: '{field}' does not support {body[field]} with this model. Only the "
                       f"default ({only}) value is supported.", field, "unsupported_value")
        if body.get("logprobs"):
            refuse("value", "Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs",
                   "unsupported_parameter")

    def routes(self):
        return [
            ("POST /v1/chat/completions", self.chat), *self.rest("/v1"), ("GET /v1/models", self.list_models),
            ("GET /v1/models/{model}", self.one_model),
        ]


FAKE = OpenAi
