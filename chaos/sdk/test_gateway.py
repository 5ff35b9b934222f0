"""Every protocol over every provider: a node between official clients and fakes of providers, which check what they get."""

import json

import anthropic
import ollama
import openai
import pytest

import fakes
from cluster import Cluster, wait
from providers import OFFERS, body_of

KINDS = [offer.kind for offer in OFFERS]


class Gateway:
    def __init__(self, cluster, running):
        self.cluster, self.running = cluster, running
        url = cluster.url(0)
        self.openai = openai.OpenAI(base_url=url + "/v1", api_key=cluster.key, max_retries=0, timeout=30)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key=cluster.key, max_retries=0, timeout=30)
        self.ollama = ollama.Client(host=url, headers={"authorization": f"Bearer {cluster.key}"}, timeout=30)

    def fake(self, kind):
        return self.running[next(offer.fake for offer in OFFERS if offer.kind == kind)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with fakes.start() as running:
        cluster = Cluster(tmp_path_factory.mktemp("gateway"), nodes=1)
        try:
            for offer in OFFERS:
                cluster.call(0, "POST", "/api/providers", body_of(offer, running))
            wait("all providers", 30, lambda: '"opening"' not in str(cluster.call(0, "GET", "/api/actors")).replace("'", '"'))
            yield Gateway(cluster, running)
        finally:
            cluster.stop()


def says(kind):
    return [{"role": "user", "content": f"hello {kind}"}]


@pytest.mark.parametrize("kind", KINDS)
def test_openai_clients_chat_with_every_provider(gateway, kind):
    answer = gateway.openai.chat.completions.create(model=f"{kind}-chat", messages=says(kind), max_tokens=50)
    assert f"hello {kind}" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop" and answer.usage.prompt_tokens > 0
    assert answer.id and answer.created


@pytest.mark.parametrize("kind", KINDS)
def test_openai_clients_stream_from_every_provider(gateway, kind):
    stream = gateway.openai.chat.completions.create(
        model=f"{kind}-chat", messages=says(kind), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert f"hello {kind}" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("kind", KINDS)
def test_anthropic_clients_chat_with_every_provider(gateway, kind):
    answer = gateway.anthropic.messages.create(
        model=f"{kind}-chat", max_tokens=50, messages=says(kind), system="be kind"
    )
    text = "".join(block.text for block in answer.content if block.type == "text")
    assert f"hello {kind}" in text and "be kind" in text
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0


@pytest.mark.parametrize("kind", KINDS)
def test_anthropic_clients_stream_from_every_provider(gateway, kind):
    with gateway.anthropic.messages.stream(model=f"{kind}-chat", max_tokens=50, messages=says(kind)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert f"hello {kind}" in "".join(pieces)
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0


@pytest.mark.parametrize("kind", KINDS)
def test_ollama_clients_chat_with_every_provider(gateway, kind):
    answer = gateway.ollama.chat(model=f"{kind}-chat", messages=says(kind))
    assert f"hello {kind}" in answer.message.content and answer.done
    pieces = list(gateway.ollama.chat(model=f"{kind}-chat", messages=says(kind), stream=True))
    assert f"hello {kind}" in "".join(piece.message.content or "" for piece in pieces)
    assert pieces[-1].done and pieces[-1].eval_count > 0


@pytest.mark.parametrize("kind", KINDS)
def test_responses_clients_chat_with_every_provider(gateway, kind):
    answer = gateway.openai.responses.create(model=f"{kind}-chat", input=f"hello {kind}")
    assert f"hello {kind}" in answer.output_text and answer.status == "completed"
    with gateway.openai.responses.stream(model=f"{kind}-chat", input=f"hello {kind}") as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    assert events[0] == "response.created" and events[-1] == "response.completed"
    assert f"hello {kind}" in final.output_text


WEATHER = {
    "name": "weather",
    "description": "tells the weather",
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    },
}


@pytest.mark.parametrize("kind", [offer.kind for offer in OFFERS if offer.tools])
def test_openai_clients_call_tools_through_every_provider(gateway, kind):
    tools = [{"type": "function", "function": WEATHER}]
    messages = says(kind)
    answer = gateway.openai.chat.completions.create(model=f"{kind}-chat", messages=messages, tools=tools)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    call = message.tool_calls[0]
    assert call.function.name == "weather" and "city" in call.function.arguments
    if kind == "spark-ws":
        return  # its history has no role for calls and results
    messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    answer = gateway.openai.chat.completions.create(model=f"{kind}-chat", messages=messages, tools=tools)
    assert "rain" in answer.choices[0].message.content


@pytest.mark.parametrize("kind", [offer.kind for offer in OFFERS if offer.schema])
def test_openai_clients_get_structured_output_from_every_provider(gateway, kind):
    shape = {
        "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": False,
    }
    answer = gateway.openai.chat.completions.create(
        model=f"{kind}-chat", messages=[{"role": "user", "content": "a person as json"}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": shape}},
    )
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "age"}


@pytest.mark.parametrize("kind", [offer.kind for offer in OFFERS if offer.embedding])
def test_openai_and_ollama_clients_get_vectors_from_every_provider(gateway, kind):
    model = f"{kind}-embedding"
    # The official client asks for base64 and decodes it.
    vectors = gateway.openai.embeddings.create(model=model, input=["one", "two"]).data
    assert len(vectors) == 2 and len(vectors[0].embedding) == len(vectors[1].embedding) > 1
    assert vectors[0].embedding != vectors[1].embedding
    again = gateway.ollama.embed(model=model, input=["one"]).embeddings[0]
    assert again == pytest.approx(vectors[0].embedding, abs=1e-5)


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("kind", [offer.kind for offer in OFFERS if offer.vision])
def test_pictures_reach_every_provider_that_looks_at_them(gateway, kind):
    content = [
        {"type": "text", "text": "what is it"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    answer = gateway.openai.chat.completions.create(
        model=f"{kind}-vision", messages=[{"role": "user", "content": content}]
    )
    assert "pictures: 1 image/png" in answer.choices[0].message.content


@pytest.mark.parametrize("kind", ["openai", "compatible"])
def test_pictures_and_speech_go_both_ways(gateway, kind):
    picture = gateway.openai.images.generate(model=f"{kind}-image", prompt="a boat").data[0]
    assert picture.b64_json or picture.url
    sound = gateway.openai.audio.speech.create(model=f"{kind}-speech", input="hello", voice="alloy")
    assert len(sound.content) > 0 and sound.response.headers["content-type"].startswith("audio/")
    text = gateway.openai.audio.transcriptions.create(
        model=f"{kind}-transcription", file=("hello.wav", sound.content, "audio/wav")
    )
    assert text.text


@pytest.mark.parametrize("kind", ["openai", "compatible", "anthropic", "gemini", "ollama"])
def test_completions_continue_texts_through_every_kind_of_provider(gateway, kind):
    model = f"{kind}-text" if kind in ("openai", "compatible") else f"{kind}-chat"
    answer = gateway.openai.completions.create(model=model, prompt=f"hello {kind}", max_tokens=50)
    assert answer.choices[0].text and answer.object == "text_completion"
    chunks = list(gateway.openai.completions.create(model=model, prompt="hello", max_tokens=50, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def test_texts_are_moderated_and_documents_reranked(gateway):
    told = gateway.openai.moderations.create(model="openai-moderation", input="kill them")
    assert told.results[0].categories is not None
    body = {"model": "compatible-rerank", "query": "rain", "documents": ["sun", "rain in Oslo"], "top_n": 1}
    results = gateway.cluster.call(0, "POST", "/v1/rerank", body)["results"]
    assert len(results) == 1 and results[0]["index"] in (0, 1)


def test_tokens_are_counted_or_estimated_for_anthropic_clients(gateway):
    for kind in ["anthropic", "openai"]:
        count = gateway.anthropic.messages.count_tokens(model=f"{kind}-chat", messages=says(kind))
        assert count.input_tokens > 0
    assert {model.id for model in gateway.anthropic.models.list()} >= {"anthropic-chat", "gemini-chat"}
    assert "gemini-chat" in {model.model for model in gateway.ollama.list().models}


def test_what_a_provider_has_no_word_for_is_refused_by_name(gateway):
    with pytest.raises(openai.BadRequestError) as refused:
        gateway.openai.chat.completions.create(model="anthropic-chat", messages=says("x"), n=2)
    assert refused.value.param == "n" and refused.value.code == "unsupported_parameter"
    with pytest.raises(openai.BadRequestError) as refused:
        gateway.openai.responses.create(model="openai-chat", input="hello", store=True)
    assert refused.value.param == "store"
    with pytest.raises(anthropic.BadRequestError) as refused:
        gateway.anthropic.messages.create(model="openai-chat", max_tokens=5, messages=says("x"), extra_body={"top_k": 3})
    assert "top_k" in refused.value.body["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_have_the_client_s_own_shape(gateway, kind):
    fault = [{"role": "user", "content": "fault:429"}]
    with pytest.raises(openai.RateLimitError) as limited:
        gateway.openai.chat.completions.create(model=f"{kind}-chat", messages=fault)
    assert limited.value.body["message"]
    with pytest.raises(anthropic.RateLimitError) as limited:
        gateway.anthropic.messages.create(model=f"{kind}-chat", max_tokens=5, messages=fault)
    assert limited.value.body["error"]["type"] == "rate_limit_error"
    with pytest.raises(ollama.ResponseError) as limited:
        gateway.ollama.chat(model=f"{kind}-chat", messages=fault)
    assert limited.value.status_code == 429
    with pytest.raises((openai.InternalServerError, openai.APIStatusError)) as garbage:
        gateway.openai.chat.completions.create(model=f"{kind}-chat", messages=[{"role": "user", "content": "fault:garbage"}])
    assert garbage.value.status_code >= 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_breaks_is_told_and_never_taken_for_complete(gateway, kind):
    for fault in ["cut", "error-in-stream"]:
        text = f"fault:{fault} " + "word " * 30
        with pytest.raises((openai.APIError, openai.APIConnectionError)):
            list(gateway.openai.chat.completions.create(
                model=f"{kind}-chat", messages=[{"role": "user", "content": text}], stream=True))


def test_no_provider_refused_what_the_gateway_made_of_a_call(gateway):
    # Where no path costs nothing, a provider is asked for one that it does not have, to see that it is there.
    probes = ("path: Invalid URL", "upgrade: ")
    told = {
        name: [why for why in fake.refused if not why.startswith(probes)] for name, fake in gateway.running.items()
    }
    assert not {name: whys for name, whys in told.items() if whys}
