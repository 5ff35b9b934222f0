"""The official OpenAI SDK against every node of a real cluster: what a developer does in the first five minutes, and the
day the node that runs the model dies. Ports are free ones of this machine; everything ends with the test."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import openai
import pytest

from cluster import ROOT, Cluster, wait

NODES = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run(["python3", str(ROOT / "xtask/tools/tiny_gguf.py"), str(path)], check=True)
    return path


def ask(client, model, text="say something"):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], max_tokens=16
    )


def test_the_mock_answers_at_once_on_every_node(cluster):
    answers = []
    for i in range(NODES):
        answer = ask(cluster.sdk(i), "mock", "hello")
        assert answer.choices[0].message.content and answer.usage.total_tokens > 0
        answers.append(answer.choices[0].message.content)
    assert len(set(answers)) == 1


def test_streams_tools_embeddings_and_models_work_unchanged(cluster):
    client = cluster.sdk(1)
    stream = client.chat.completions.create(
        model="mock",
        messages=[{"role": "user", "content": "stream"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.total_tokens > 0
    tool = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
    called = client.chat.completions.create(
        model="mock", messages=[{"role": "user", "content": "weather?"}], tools=[tool], tool_choice="required"
    )
    assert called.choices[0].message.tool_calls[0].function.name == "weather"
    assert client.embeddings.create(model="mock-embedding", input="text").data[0].embedding
    assert "mock" in [m.id for m in client.models.list()]
    assert client.completions.create(model="mock", prompt="once").choices[0].text


def test_bad_input_gets_the_sdks_own_errors(cluster):
    client = cluster.sdk(0, max_retries=0)
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        ask(client, "no-such-model")
    with pytest.raises(openai.AuthenticationError):
        ask(cluster.sdk(0, key="sk-wrong", max_retries=0), "mock")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=7, messages=[])
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(
            model="mock", messages=[{"role": "user", "content": "x"}], extra_body={"mock": {"status": 429}}
        )


def test_a_key_of_smaller_scope_cannot_administer(cluster):
    text = cluster.call(0, "POST", "/api/keys", {"name": "app", "scopes": ["inference"]})["key"]
    assert wait("the key elsewhere", 5, lambda: ask(cluster.sdk(2, key=text, max_retries=0), "mock"))
    request = urllib.request.Request(cluster.url(1) + "/api/keys", headers={"authorization": f"Bearer {text}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403 and "admin" in refused.value.read().decode()


def test_another_openai_compatible_server_becomes_a_provider(cluster):
    """One node of the cluster stands in for the outside: it speaks OpenAI's interface and wants a key."""
    key = cluster.call(0, "POST", "/api/keys", {"name": "outside", "scopes": ["inference"]})["key"]
    provider = {"name": "outside", "url": cluster.url(0) + "/v1", "api_key": key, "models": ["mock-embedding"]}
    cluster.call(1, "POST", "/api/providers", provider)
    listed = json.dumps(cluster.call(2, "GET", "/api/providers?consistent=true"))
    assert "outside" in listed and key not in listed
    for i in range(NODES):
        client = cluster.sdk(i)
        found = wait(f"the provider on node {i + 1}", 10, lambda: client.embeddings.create(
            model="outside/mock-embedding", input="x"))
        assert found.data[0].embedding
    cluster.call(2, "DELETE", "/api/providers/outside")


def test_a_model_moves_when_its_node_is_killed_and_the_node_comes_back(cluster, model):
    body = {"modelId": f"file://{model}", "cluster": "default", "name": "tiny", "resources": {"cpu": 1}}
    answer = cluster.call(1, "POST", "/v1/deploy", body)
    assert answer["deploymentId"] and answer["startedAt"]
    for i in range(NODES):
        assert wait(f"tiny on node {i + 1}", 90, lambda: ask(cluster.sdk(i, max_retries=0), "tiny"))

    def host():
        found = cluster.call(alive, "GET", "/api/deployments/tiny")["replicas"]
        return found[0]["node"] if found else None

    alive = 0
    nodes = {n["id"]: int(n["name"][1:]) - 1 for n in cluster.call(0, "GET", "/api/nodes")["nodes"]}
    dead = nodes[host()]
    alive = (dead + 1) % NODES
    pid, command = cluster.pid(dead)
    os.kill(pid, signal.SIGKILL)
    for i in (i for i in range(NODES) if i != dead):
        client = cluster.sdk(i, max_retries=0)
        assert ask(client, "mock"), "the survivors answer"
        assert wait(f"tiny again on node {i + 1}", 90, lambda: ask(client, "tiny"))
    assert nodes[host()] != dead

    cluster.again.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    wait("the node is back", 60, lambda: cluster.call(dead, "GET", "/ready") is not None)
    assert wait("tiny through it", 30, lambda: ask(cluster.sdk(dead, max_retries=0), "tiny"))


def test_no_secret_is_in_clear_on_any_disk(cluster):
    secret = "sk-provider-secret-0123456789"
    provider = {"name": "sealed", "url": "http://127.0.0.1:9/v1", "api_key": secret, "models": ["sealed-model"]}
    cluster.call(0, "POST", "/api/providers", provider)
    needles = [secret.encode(), cluster.key.encode(), b"PRIVATE KEY"]
    for path in cluster.data.rglob("*"):
        if path.is_file() and path.name not in ("admin.key",):
            content = path.read_bytes()
            for needle in needles:
                assert needle not in content, f"{path} holds a secret in clear"
