"""The fakes themselves: the providers' own clients must work with them unchanged, and what is wrong must be refused."""

import asyncio
import base64
import json
import struct
import time

import aiohttp
import anthropic
import openai
import pytest

from .openai_rest import PIXEL

PICTURE = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
CHATS = {  # the fakes that OpenAI's client can talk to, with a model of each
    "openai": "gpt-4o", "compatible": "some-model", "azure": "my-gpt-4o", "zhipu": "glm-4-plus", "qianfan_v2": "ernie-4.0-8k",
    "dashscope": "qwen-plus", "spark": "4.0Ultra", "deepseek": "deepseek-chat", "moonshot": "moonshot-v1-8k",
}
THINKERS = {"compatible": ("some-model", {"chat_template_kwargs": {"enable_thinking": True}}),
            "deepseek": ("deepseek-reasoner", {}), "moonshot": ("kimi-k2-thinking", {}),
            "zhipu": ("glm-4.5", {"thinking": {"type": "enabled"}}), "qianfan_v2": ("ernie-x1-turbo-32k", {}),
            "dashscope": ("qwen3-32b", {"enable_thinking": True})}


def client(fakes, name, **more):
    fake = fakes[name]
    path = {"azure": "/openai/v1", "dashscope": "/compatible-mode/v1", "spark": "/v1"}.get(name, "")
    key = {"spark": fakes["spark"].password}.get(name, fake.key)
    if name == "azure":
        more["default_headers"] = {"api-key": more.get("api_key", key)}
    return openai.OpenAI(base_url=fake.url + path, **{"api_key": key, "max_retries": 0, "timeout": 10} | more)


def user(text):
    return [{"role": "user", "content": text}]


def ask(fakes, name, text="hello", **more):
    return client(fakes, name).chat.completions.create(**{"model": CHATS[name], "messages": user(text)} | more)


def call(method, url, body=None, headers=None):
    """Status, headers and text of one HTTP call."""

    async def once():
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, answer.headers, (await answer.read()).decode(errors="replace")

    return asyncio.run(once())


def events(text):
    """The data of every event of a stream."""
    blocks = text.replace("\r\n", "\n").split("\n\n")
    lines = [line for block in blocks for line in block.split("\n") if line.startswith("data:")]
    return [json.loads(line[5:]) for line in lines if line[5:].strip() != "[DONE]"]


@pytest.mark.parametrize("name", CHATS)
def test_the_openai_client_chats_with_all_that_took_its_shape_over(fakes, name):
    answer = ask(fakes, name, "Grüße an 世界", messages=[{"role": "system", "content": "be brief"}, *user("Grüße an 世界")])
    assert answer.choices[0].message.content == "echo: Grüße an 世界 | system: be brief"
    assert answer.usage.completion_tokens == 8 and answer.usage.prompt_tokens == 5
    stream = ask(fakes, name, "Grüße an 世界", stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "echo: Grüße an 世界"
    assert len(fakes[name].requests) == 2 and not fakes[name].refused
    assert fakes[name].requests[1].body["stream"] is True and fakes[name].requests[1].headers["content-type"]


@pytest.mark.parametrize("name", CHATS)
def test_tools_are_called_and_their_results_read(fakes, name):
    more = {"extra_body": {"tool_calls_switch": True}} if name == "spark" else {}
    made = ask(fakes, name, "the weather", tools=[TOOL], **more).choices[0]
    found = made.message.tool_calls[0]
    assert json.loads(found.function.arguments) == {"city": "a city", "days": 7} and found.function.name == "weather"
    assert name == "spark" or made.finish_reason == "tool_calls"
    told = user("the weather") + [
        {"role": "assistant", "content": "", "tool_calls": [{"id": found.id, "type": "function", "function": {
            "name": "weather", "arguments": found.function.arguments}}]},
        {"role": "tool", "tool_call_id": found.id, "content": "sunny"}]
    assert ask(fakes, name, messages=told, tools=[TOOL]).choices[0].message.content == "tools said: sunny"
    with pytest.raises(openai.APIStatusError):
        ask(fakes, name, messages=told[:1] + told[2:])
    assert any(reason.startswith("order") for reason in fakes[name].refused)


@pytest.mark.parametrize("name", [one for one in CHATS if one != "spark"])
def test_arguments_are_streamed_and_two_tools_are_called_at_once(fakes, name):
    calls = {}
    for chunk in ask(fakes, name, "parallel please", tools=[TOOL], stream=True):
        for one in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            calls[one.index] = calls.get(one.index, "") + (one.function.arguments or "")
    assert [json.loads(one) for one in calls.values()] == [{"city": "a city", "days": 7}] * 2


@pytest.mark.parametrize("name", CHATS)
def test_wrong_keys_models_and_ranges_are_refused(fakes, name):
    with pytest.raises(openai.AuthenticationError):
        client(fakes, name, api_key="wrong").chat.completions.create(model=CHATS[name], messages=user("x"))
    for wrong in ({"model": "nothing"}, {"temperature": 9}, {"messages": []}, {"max_tokens": "many"}):
        with pytest.raises(openai.APIStatusError) as refused:
            ask(fakes, name, **wrong)
        assert 400 <= refused.value.status_code < 500
    assert fakes[name].refused.total() == 5


@pytest.mark.parametrize("name", CHATS)
def test_faults_come_when_they_are_asked_for(fakes, name):
    with pytest.raises(openai.InternalServerError):
        ask(fakes, name, "fault:500")
    with pytest.raises(openai.RateLimitError) as limited:
        ask(fakes, name, "fault:429")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises((openai.APIConnectionError, Exception)):
        list(ask(fakes, name, "fault:cut and then some more", stream=True))
    url = str(client(fakes, name).base_url).rstrip("/") + "/chat/completions"
    key = fakes["spark"].password if name == "spark" else fakes[name].key
    headers = {"authorization": f"Bearer {key}", "api-key": key}
    body = {"model": CHATS[name], "messages": user("fault:error-in-stream and more"), "stream": True}
    text = call("POST", url, body, headers)[2]
    assert "[DONE]" not in text and '"error"' in text or '"code": 10012' in text
    begin = time.monotonic()
    assert len(list(ask(fakes, name, "fault:slow", stream=True))) > 1 and time.monotonic() - begin > 0.3
    assert "<html>" in call("POST", url, body | {"messages": user("fault:garbage"), "stream": False}, headers)[2]
    assert not fakes[name].refused


@pytest.mark.parametrize("name", THINKERS)
def test_thinking_is_shown(fakes, name):
    model, more = THINKERS[name]
    stream = list(ask(fakes, name, "why", model=model, stream=True, extra_body=more))
    deltas = [c.choices[0].delta for c in stream if c.choices]
    assert "".join(getattr(one, "reasoning_content", None) or "" for one in deltas) == "thinking about: why"
    assert "".join(one.content or "" for one in deltas) == "echo: why"


def test_length_stops_logprobs_and_shapes_are_honoured(fakes):
    short = ask(fakes, "openai", "one two three four", max_tokens=3).choices[0]
    assert (short.message.content, short.finish_reason) == ("echo: one two ", "length")
    assert ask(fakes, "openai", "one two three", stop=["two"]).choices[0].message.content == "echo: one "
    tokens = ask(fakes, "openai", "one two", logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert [one.token for one in tokens] == ["echo: ", "one ", "two"] and len(tokens[0].top_logprobs) == 2
    closed = WEATHER | {"additionalProperties": False, "required": ["city", "days"]}
    shape = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": closed}}
    assert json.loads(ask(fakes, "openai", response_format=shape).choices[0].message.content) == {"city": "a city", "days": 7}
    shape["json_schema"]["schema"] = WEATHER
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        ask(fakes, "openai", response_format=shape)
    with pytest.raises(openai.BadRequestError, match="json"):
        ask(fakes, "openai", response_format={"type": "json_object"})


def test_pictures_are_counted_and_looked_at(fakes):
    def shown(url):
        return [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]}]

    assert ask(fakes, "openai", messages=shown(PICTURE)).choices[0].message.content == "echo: see | pictures: 1 image/png"
    for wrong in ("data:image/png;base64,AAAA", PICTURE.replace("png", "jpeg"), "nonsense"):
        with pytest.raises(openai.BadRequestError):
            ask(fakes, "openai", messages=shown(wrong))
    with pytest.raises(openai.UnprocessableEntityError):
        ask(fakes, "deepseek", messages=[{"role": "user", "content": 7}])


def test_openai_is_strict_and_compatible_is_not(fakes):
    assert ask(fakes, "compatible", extra_body={"foo": 1}).choices
    with pytest.raises(openai.BadRequestError) as refused:
        ask(fakes, "openai", extra_body={"foo": 1})
    assert refused.value.param == "foo" and refused.value.code == "unknown_parameter"
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        ask(fakes, "openai", model="o3-mini", max_tokens=5)
    told = ask(fakes, "openai", model="o3-mini", max_completion_tokens=50, reasoning_effort="low")
    assert told.usage.completion_tokens_details.reasoning_tokens == 3
    usage = [c.usage for c in ask(fakes, "openai", stream=True, stream_options={"include_usage": True})]
    assert usage[-1].total_tokens and not any(usage[:-1])


@pytest.mark.parametrize("name", ["openai", "compatible"])
def test_the_rest_of_openai(fakes, name):
    c, models = client(fakes, name), fakes[name].models
    named = {"openai": ("text-embedding-3-small", "dall-e-3", "tts-1", "whisper-1", "gpt-3.5-turbo-instruct")}
    embeds, draws, speaks, hears, writes = named.get(name, ("some-embedding", "some-image", "some-speech", "some-whisper",
                                                            "some-model"))
    if name == "openai":
        made = c.embeddings.create(model=embeds, input=["a", "b"], dimensions=4, encoding_format="float")
        packed = c.embeddings.with_raw_response.create(model=embeds, input="a", dimensions=4, encoding_format="base64")
        raw = json.loads(packed.content)["data"][0]["embedding"]
        assert struct.unpack("<4f", base64.b64decode(raw)) == pytest.approx(made.data[0].embedding)
        assert c.completions.create(model=writes, prompt="once").choices[0].text == "echo: once"
        assert "".join(x.choices[0].text for x in c.completions.create(model=writes, prompt="once", stream=True)) == "echo: once"
        drawn = c.images.generate(model=draws, prompt="a cat", response_format="b64_json")
        assert base64.b64decode(drawn.data[0].b64_json) == PIXEL
        assert call("GET", c.images.generate(model=draws, prompt="a cat").data[0].url)[0] == 200
    assert b"good day" in c.audio.speech.create(model=speaks, voice="alloy", input="good day").content
    said = c.audio.transcriptions.create(model=hears, file=("a.wav", b"RIFFxxxx"), language="en")
    assert said.text == "heard 8 bytes of a.wav" and fakes[name].requests[-1].body["language"] == "en"
    assert c.moderations.create(input=["violence", "love"]).results[0].flagged
    assert [one.id for one in c.models.list()] == list(models) and c.models.retrieve(models[0]).id == models[0]


def test_compatible_ranks(fakes):
    fake, body = fakes["compatible"], {"model": "some-reranker", "query": "red fish", "documents": ["blue", "red", "red fish"]}
    status, _, text = call("POST", fake.url + "/rerank", body | {"top_n": 2}, {"authorization": f"Bearer {fake.key}"})
    assert status == 200 and [one["index"] for one in json.loads(text)["results"]] == [2, 1]


def test_azure_knows_deployments_and_versions(fakes):
    fake = fakes["azure"]
    c = openai.AzureOpenAI(azure_endpoint=fake.url, api_key=fake.key, api_version="2024-10-21", max_retries=0)
    assert c.chat.completions.create(model="my-gpt-4o", messages=user("hi")).model == "gpt-4o"
    assert c.embeddings.create(model="my-embedding", input="x").data[0].embedding
    with pytest.raises(openai.NotFoundError, match="deployment"):
        c.chat.completions.create(model="gpt-4o", messages=user("hi"))
    url = fake.url + "/openai/deployments/my-gpt-4o/chat/completions"
    assert call("POST", url, {"messages": user("x")}, {"api-key": fake.key})[0] == 404
    assert call("POST", url + "?api-version=2024-10-21", {"messages": user("x")}, {"api-key": "no"})[0] == 401


def claude(fakes, **more):
    fake = fakes["anthropic"]
    return anthropic.Anthropic(**{"base_url": fake.url, "api_key": fake.key, "max_retries": 0} | more)


def say(fakes, text="hello", **more):
    return claude(fakes).messages.create(**{"model": "claude-haiku-4-5", "max_tokens": 4000, "messages": user(text)} | more)


def test_the_anthropic_client_speaks_thinks_and_calls(fakes):
    told = say(fakes, system="be brief", stop_sequences=["zzz"])
    assert (told.content[0].text, told.stop_reason) == ("echo: hello | system: be brief", "end_turn")
    tool = {"name": "weather", "input_schema": WEATHER}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with claude(fakes).messages.stream(model="claude-haiku-4-5", max_tokens=4000, messages=user("parallel"), tools=[tool],
                                       thinking=thinking) as stream:
        made = stream.get_final_message()
    assert [one.type for one in made.content] == ["thinking", "tool_use", "tool_use"] and made.stop_reason == "tool_use"
    assert made.content[1].input == {"city": "a city", "days": 7}
    results = [{"type": "tool_result", "tool_use_id": one.id, "content": "sunny"} for one in made.content[1:]]
    turns = user("parallel") + [{"role": "assistant", "content": [one.model_dump() for one in made.content]},
                                {"role": "user", "content": results}]
    turns[1]["content"] = [{k: v for k, v in one.items() if k in ("type", "id", "name", "input", "thinking", "signature")
                            and v is not None} for one in turns[1]["content"]]
    assert say(fakes, messages=turns, tools=[tool], thinking=thinking).content[-1].text == "tools said: sunny; sunny"
    for wrong in (turns[:1] + turns[2:], turns[:2] + user("and now?"), turns[:2] + [{"role": "user", "content": results[:1]}]):
        with pytest.raises(anthropic.BadRequestError, match="tool_"):
            say(fakes, messages=wrong, tools=[tool])
    turns[1]["content"][0]["signature"] = "forged"
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        say(fakes, messages=turns, tools=[tool], thinking=thinking)


def test_anthropic_refuses_what_is_documented(fakes):
    c, fake = claude(fakes), fakes["anthropic"]
    assert c.messages.count_tokens(model="claude-haiku-4-5", messages=user("one two")).input_tokens == 2
    assert [one.id for one in c.models.list()] == list(fake.models)
    shape = {"format": {"type": "json_schema", "schema": WEATHER}}
    assert json.loads(say(fakes, output_config=shape).content[0].text)["days"] == 7
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PIXEL).decode()}
    seen = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "see"}]}]
    assert "1 image/png" in say(fakes, messages=seen).content[0].text
    for wrong, match in (({"extra_body": {"temperature": 1}}, "temperature: Extra inputs"),
                         ({"extra_body": {"temperature": 2}, "extra_headers": {"anthropic-version": "2023-06-01"}}, "less than"),
                         ({"messages": user("x") + [{"role": "system", "content": "y"}]}, "not supported on this model"),
                         ({"model": "claude-opus-4-8", "thinking": {"type": "enabled", "budget_tokens": 2000}}, "adaptive"),
                         ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
                         ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "1024"),
                         ({"tool_choice": {"type": "any"}}, "tools")):
        with pytest.raises(anthropic.BadRequestError, match=match):
            say(fakes, **wrong)
    later = user("x") + [{"role": "system", "content": "y"}]
    hidden = say(fakes, model="claude-opus-4-8", messages=later, thinking={"type": "adaptive"}).content
    assert (hidden[0].thinking, hidden[1].text) == ("", "echo: x | system: y")
    assert say(fakes, extra_body={"temperature": 0.5}, extra_headers={"anthropic-version": "2023-06-01"}).content
    body, headers = {"model": "claude-haiku-4-5", "messages": user("x")}, {"x-api-key": fake.key}
    assert "anthropic-version" in call("POST", fake.url + "/v1/messages", body, headers)[2]
    status, _, text = call("POST", fake.url + "/v1/messages", body, headers | {"anthropic-version": "2023-06-01"})
    assert status == 400 and "max_tokens: Field required" in text
    with pytest.raises(anthropic.AuthenticationError):
        claude(fakes, api_key="wrong").messages.create(model="claude-haiku-4-5", max_tokens=5, messages=user("x"))
    with pytest.raises(anthropic.RateLimitError):
        say(fakes, "fault:429")
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(say(fakes, "fault:error-in-stream and more", stream=True))


def gemini(fakes, method, body, model="gemini-2.5-flash", query="", key=None):
    fake = fakes["gemini"]
    status, _, text = call("POST", f"{fake.url}/models/{model}:{method}{query}", body, {"x-goog-api-key": key or fake.key})
    return status, text


def test_gemini_generates_streams_and_embeds(fakes):
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}, {"inline_data": {
        "mime_type": "image/png", "data": base64.b64encode(PIXEL).decode()}}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}, "maxOutputTokens": 100}}
    parts = json.loads(gemini(fakes, "generateContent", body)[1])["candidates"][0]["content"]["parts"]
    assert parts == [{"text": "thinking about: hi", "thought": True}, {"text": "echo: hi | pictures: 1 image/png"}]
    found = events(gemini(fakes, "streamGenerateContent", body, query="?alt=sse")[1])
    assert found[-1]["candidates"][0]["finishReason"] == "STOP" and found[-1]["usageMetadata"]["thoughtsTokenCount"] == 3
    assert json.loads(gemini(fakes, "streamGenerateContent", body)[1])[-1] == found[-1]
    one = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "x"}]}, "outputDimensionality": 4}
    made = json.loads(gemini(fakes, "batchEmbedContents", {"requests": [one, one]}, "gemini-embedding-001")[1])
    assert len(made["embeddings"]) == 2 and len(made["embeddings"][0]["values"]) == 4


def test_gemini_refuses_what_is_documented(fakes):
    turn = {"role": "user", "parts": [{"text": "hi"}]}
    for wrong, match in (
        ({"contents": [turn], "foo": 1}, 'Unknown name \\"foo\\"'), ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [turn], "generationConfig": {"temperature": 3}}, "temperature"),
        ({"contents": [turn], "generationConfig": {"responseSchema": {"type": "object"}}}, "mime type"),
        ({"contents": [turn], "tools": [{"functionDeclarations": [{"name": "f", "parameters": {
            "type": "object", "additionalProperties": False}}]}]}, "additionalProperties"),
        ({"contents": [turn, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "after a function"),
    ):
        status, text = gemini(fakes, "generateContent", wrong)
        assert status == 400 and match in text and json.loads(text)["error"]["status"] == "INVALID_ARGUMENT"
    tool = {"tools": [{"functionDeclarations": [{"name": "weather", "parameters": WEATHER}]}]}
    part = json.loads(gemini(fakes, "generateContent", {"contents": [turn], **tool})[1])["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"] == {"name": "weather", "args": {"city": "a city", "days": 7}}
    back = [turn, {"role": "model", "parts": [part]}, {"role": "user", "parts": [{"functionResponse": {
        "name": "weather", "response": {"r": 1}}}]}]
    assert "tools said" in gemini(fakes, "generateContent", {"contents": back, **tool})[1]
    assert "thought_signature" in gemini(fakes, "generateContent", {"contents": back, **tool}, "gemini-3-pro-preview")[1]
    assert gemini(fakes, "generateContent", {"contents": [turn]}, key="wrong")[0] == 400
    assert gemini(fakes, "generateContent", {"contents": [turn]}, model="no")[0] == 404
