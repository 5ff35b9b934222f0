"""The fakes with protocols of their own, without a client of their provider: Zhipu's tokens, Qianfan, DashScope, Spark, and
Ollama with its client."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from email.utils import formatdate
from urllib.parse import urlencode

import aiohttp
import ollama
import openai
import pytest

from .openai_rest import PIXEL
from .test_fakes import PICTURE, TOOL, WEATHER, call, client, events, user
from .zhipu import unpadded


def token(key, lifetime, header=None, secret=None):
    ident, own = key.split(".")
    now = int(time.time() * 1000)
    claims = {"api_key": ident, "exp": now + lifetime, "timestamp": now}
    parts = [unpadded(json.dumps(one).encode()) for one in (header or {"alg": "HS256", "sign_type": "SIGN"}, claims)]
    signed = hmac.new((secret or own).encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, unpadded(signed)])


def test_zhipu_takes_signed_tokens_until_they_end(fakes):
    key = fakes["zhipu"].key

    def ask(api_key):
        return client(fakes, "zhipu", api_key=api_key).chat.completions.create(model="glm-4-plus", messages=user("hi"))

    assert ask(token(key, 60_000)).choices[0].message.content == "echo: hi"
    for wrong, code in ((token(key, -1), "1003"), (token(key, 60_000, secret="other"), "1000"), ("a.b.c", "1002"),
                        (token(key, 60_000, header={"alg": "HS256"}), "1002")):
        with pytest.raises(openai.AuthenticationError) as refused:
            ask(wrong)
        assert refused.value.code == code
    with pytest.raises(openai.BadRequestError, match="tool_choice"):
        client(fakes, "zhipu").chat.completions.create(model="glm-4-plus", messages=user("x"), tools=[TOOL],
                                                       tool_choice="required")


def granted(fake, **wrong):
    query = {"grant_type": "client_credentials", "client_id": fake.key, "client_secret": fake.secret} | wrong
    status, _, text = call("POST", f"{fake.url}/oauth/2.0/token?{urlencode(query)}")
    return status, json.loads(text)


def ernie(fake, token, body, endpoint="completions_pro"):
    path = f"/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{endpoint}?access_token={token}"
    status, _, text = call("POST", fake.url + path, body)
    assert status == 200
    return events(text) if body.get("stream") and text.startswith("data:") else json.loads(text)


def test_old_qianfan_wants_a_token_that_is_alive(fakes):
    fake = fakes["qianfan_v1"]
    assert granted(fake, client_id="x") == (401, {"error": "invalid_client", "error_description": "unknown client id"})
    assert granted(fake, client_secret="x")[1]["error_description"] == "Client authentication failed"
    status, grant = granted(fake)
    assert status == 200 and grant["expires_in"] == 2_592_000
    good = grant["access_token"]
    assert ernie(fake, good, {"messages": user("hi"), "system": "s"})["result"] == "echo: hi | system: s"
    assert ernie(fake, "other", {"messages": user("hi")})["error_code"] == 110
    fake.expire()
    assert ernie(fake, good, {"messages": user("hi")})["error_code"] == 111


def test_old_qianfan_wants_roles_in_turn(fakes):
    fake = fakes["qianfan_v1"]
    good = granted(fake)[1]["access_token"]
    other = {"role": "assistant", "content": "x"}
    for wrong in ({"messages": user("a") * 2}, {"messages": user("a") + [other]}, {"messages": [other]},
                  {"messages": user("a"), "temperature": 0}, {"messages": user("a"), "max_tokens": 5},
                  {"messages": [{"role": "system", "content": "x"}]}, {"messages": user("")}):
        assert ernie(fake, good, wrong)["error_code"] == 336003
    found = ernie(fake, good, {"messages": user("hi there"), "stream": True})
    assert "".join(one["result"] for one in found) == "echo: hi there"
    assert [one["is_end"] for one in found] == [False] * (len(found) - 1) + [True]
    function = {"name": "weather", "description": "d", "parameters": WEATHER}
    made = ernie(fake, good, {"messages": user("hi"), "functions": [function]})
    assert json.loads(made["function_call"]["arguments"]) == {"city": "a city", "days": 7}
    back = user("hi") + [{"role": "assistant", "content": "", "function_call": made["function_call"]},
                         {"role": "function", "name": "weather", "content": "sunny"}]
    assert ernie(fake, good, {"messages": back, "functions": [function]})["result"] == "tools said: sunny"
    assert ernie(fake, good, {"messages": user("fault:429")})["error_code"] == 18
    assert ernie(fake, good, {"messages": user("hi")}, "nothing")["error_code"] == 3
    assert "error_code" in ernie(fake, good, {"messages": user("fault:error-in-stream"), "stream": True})[-1]


def dash(fakes, service, body, **headers):
    fake = fakes["dashscope"]
    status, got, text = call("POST", f"{fake.url}/api/v1/services/{service}", body,
                             {"authorization": f"Bearer {fake.key}"} | headers)
    return status, events(text) if "event-stream" in got["content-type"] else json.loads(text), text


GENERATION = "aigc/text-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}


def test_dashscope_streams_whole_texts_or_what_is_new(fakes):
    body = {"model": "qwen-plus", "input": {"messages": user("one two")}}
    assert dash(fakes, GENERATION, body)[1]["output"] == {"text": "echo: one two", "finish_reason": "stop"}
    _, found, text = dash(fakes, GENERATION, body, **SSE)
    assert [one["output"]["text"] for one in found] == ["echo: ", "echo: one ", "echo: one two", "echo: one two"]
    assert text.startswith("id:1\nevent:result\n:HTTP_STATUS/200\ndata:")
    body["parameters"] = {"incremental_output": True, "result_format": "message", "tools": [TOOL]}
    found = dash(fakes, GENERATION, body, **SSE)[1]
    calls = [call for one in found for call in one["output"]["choices"][0]["message"].get("tool_calls", [])]
    assert json.loads("".join(one["function"]["arguments"] for one in calls)) == {"city": "a city", "days": 7}
    body["parameters"] = {"incremental_output": True, "result_format": "message", "enable_thinking": True}
    found = dash(fakes, GENERATION, body, **SSE)[1]
    thought = "".join(one["output"]["choices"][0]["message"]["reasoning_content"] for one in found)
    assert thought == "thinking about: one two"


def test_dashscope_refuses_what_is_documented(fakes):
    good = {"model": "qwen-plus", "input": {"messages": user("hi")}}
    for wrong in ({"parameters": {"temperature": 2}}, {"parameters": {"enable_thinking": True}}, {"input": {}},
                  {"model": "qwen-vl-plus"}, {"parameters": {"tools": [TOOL]}},
                  {"input": {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}}):
        status, told, _ = dash(fakes, GENERATION, good | wrong)
        assert status == 400 and told["code"] == "InvalidParameter" and told["request_id"]
    assert dash(fakes, GENERATION, good | {"model": "no"})[0] == 404
    assert dash(fakes, GENERATION, good, authorization="Bearer no")[1]["code"] == "InvalidApiKey"
    seen = {"model": "qwen-vl-plus", "input": {"messages": [{"role": "user", "content": [{"image": PICTURE}, {"text": "see"}]}]}}
    told = dash(fakes, "aigc/multimodal-generation/generation", seen)[1]
    assert told["output"]["choices"][0]["message"]["content"] == [{"text": "echo: see | pictures: 1 image/png"}]
    embed = {"model": "text-embedding-v3", "input": {"texts": ["a", "b"]}, "parameters": {"dimension": 64}}
    made = dash(fakes, "embeddings/text-embedding/text-embedding", embed)[1]["output"]["embeddings"]
    assert len(made) == 2 and len(made[0]["embedding"]) == 64
    assert "event:error" in dash(fakes, GENERATION, {"model": "qwen-plus", "input": {"messages": user(
        "fault:error-in-stream now")}}, **SSE)[2]


def signed(fake, path, age=0, secret=None, key=None):
    date = formatdate(time.time() - age, usegmt=True)
    origin = f"host: {fake.host}\ndate: {date}\nGET {path} HTTP/1.1"
    made = hmac.new((secret or fake.secret).encode(), origin.encode(), hashlib.sha256).digest()
    said = (f'api_key="{key or fake.key}", algorithm="hmac-sha256", headers="host date request-line", '
            f'signature="{base64.b64encode(made).decode()}"')
    query = {"authorization": base64.b64encode(said.encode()).decode(), "date": date, "host": fake.host}
    return f"{fake.ws}{path}?{urlencode(query)}"


def talk(fake, text="hi", path="/v3.5/chat", domain="generalv3.5", app=None, url=None, chat=None, **payload):
    body = {"header": {"app_id": app or fake.app_id}, "parameter": {"chat": {"domain": domain} | (chat or {})},
            "payload": {"message": {"text": user(text)}} | payload}

    async def once():
        got = []
        async with aiohttp.ClientSession() as session, session.ws_connect(url or signed(fake, path)) as ws:
            await ws.send_str(json.dumps(body))
            async for message in ws:
                got.append(message.data)
        return got

    return asyncio.run(once())


def test_spark_answers_over_a_websocket_with_a_signed_url(fakes):
    fake = fakes["spark"]
    found = [json.loads(one) for one in talk(fake, "Grüße an 世界")]
    assert [one["header"]["status"] for one in found] == [0, 1, 1, 2] and not fake.refused
    assert "".join(one["payload"]["choices"]["text"][0]["content"] for one in found) == "echo: Grüße an 世界"
    assert found[-1]["payload"]["usage"]["text"]["completion_tokens"] == 4
    assert fake.requests[-1].body["header"]["app_id"] == fake.app_id
    functions = {"text": [{"name": "weather", "description": "d", "parameters": WEATHER}]}
    made = json.loads(talk(fake, functions=functions)[-1])["payload"]["choices"]["text"][0]["function_call"]
    assert made["name"] == "weather" and json.loads(made["arguments"])["days"] == 7
    thought = [json.loads(one)["payload"]["choices"]["text"][0] for one in talk(fake, "why", "/v1/x1", "x1")]
    assert "".join(one.get("reasoning_content", "") for one in thought) == "thinking about: why"


def test_spark_refuses_bad_signatures_and_bad_messages(fakes):
    fake = fakes["spark"]
    for wrong, status in (({"secret": "no"}, 401), ({"key": "no"}, 401), ({"age": 400}, 403), ({"age": -400}, 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            talk(fake, url=signed(fake, "/v3.5/chat", **wrong))
        assert refused.value.status == status
    with pytest.raises(aiohttp.WSServerHandshakeError):
        talk(fake, url=signed(fake, "/v3.1/chat").replace("v3.1", "v3.5"))
    for more, code in (({"app": "other"}, 11200), ({"domain": "lite"}, 10404), ({"chat": {"temperature": 0}}, 10163),
                       ({"chat": {"foo": 1}}, 10163), ({"text": "fault:500"}, 10012), ({"text": "fault:429"}, 11202),
                       ({"text": "fault:error-in-stream at last"}, 10012)):
        last = json.loads(talk(fake, **more)[-1])["header"]
        assert (last["code"], last["status"]) == (code, 2)
    cut = talk(fake, "fault:cut in the middle")
    assert not any(json.loads(one)["header"]["status"] == 2 for one in cut if isinstance(one, str))
    with pytest.raises(json.JSONDecodeError):
        json.loads(talk(fake, "fault:garbage")[0])


def test_spark_over_http_gives_one_call_as_an_object(fakes):
    fake = fakes["spark"]
    body = {"model": "4.0Ultra", "messages": user("x"), "tools": [TOOL]}
    headers = {"authorization": f"Bearer {fake.password}"}
    made = json.loads(call("POST", fake.url + "/v1/chat/completions", body, headers)[2])
    assert made["code"] == 0 and made["choices"][0]["message"]["tool_calls"]["function"]["name"] == "weather"


def test_the_ollama_client(fakes):
    c = ollama.Client(host=fakes["ollama"].url)
    assert c.chat("llama3.2", user("hi")).message.content == "echo: hi"
    assert "".join(one.message.content or "" for one in c.chat("llama3.2", user("hi there"), stream=True)) == "echo: hi there"
    made = c.chat("llama3.2", user("parallel"), tools=[TOOL]).message
    assert [one.function.arguments for one in made.tool_calls] == [{"city": "a city", "days": 7}] * 2
    back = user("parallel") + [made.model_dump(exclude_none=True), {"role": "tool", "tool_name": "weather", "content": "sun"}]
    assert c.chat("llama3.2", back, tools=[TOOL]).message.content == "tools said: sun"
    assert c.chat("qwen3", user("why"), think=True).message.thinking == "thinking about: why"
    assert json.loads(c.chat("llama3.2", user("x"), format=WEATHER).message.content)["days"] == 7
    assert c.generate("llama3.2", "one two three", options={"num_predict": 2}).done_reason == "length"
    seen = c.generate("llava", "see", images=[PIXEL])
    assert seen.response == "echo: see | pictures: 1 image/png"
    assert len(c.embed("all-minilm", ["a", "b"]).embeddings) == 2
    assert c.list().models[0].model == "llama3.2:latest" and "tools" in c.show("llama3.2").capabilities
    for wrong in (lambda: c.chat("nothing", user("x")), lambda: c.chat("llama3.2", user("x"), think=True),
                  lambda: c.chat("llava", user("x"), tools=[TOOL]), lambda: c.generate("llama3.2", "x", images=[PIXEL]),
                  lambda: c.chat("llama3.2", [{"role": "tool", "content": "x"}]), lambda: c.chat("llama3.2", user("fault:500"))):
        with pytest.raises(ollama.ResponseError):
            wrong()
    with pytest.raises(ollama.ResponseError, match="unexpected EOF"):
        list(c.chat("llama3.2", user("fault:error-in-stream now"), stream=True))
