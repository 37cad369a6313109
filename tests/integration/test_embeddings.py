"""A model that makes embeddings, through the real executable: ready, asked by the official client, measured, logged."""

from __future__ import annotations

import json

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.integration.dynamo import Dynamo

SIZE = 24
TOPOLOGY = f"""\
name = "vectors"
[frontend]
port = 0
[workers.embed]
engine = "mock"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
replicas = 2
[workers.embed.options]
speedup_ratio = 0
embedding_size = {SIZE}
"""


@pytest.mark.slow
def test_a_deployment_that_makes_vectors(dynamo: Dynamo) -> None:
    started = dynamo.run("up", "-d", dynamo.write(TOPOLOGY))
    assert started.code == 0, started.err
    status = dynamo.status()
    model, url = status["models"][0], status["url"]
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        texts = ["The sky is blue.", "Grass is green.", "The sky is blue."]
        one, other, same = [item.embedding for item in client.embeddings.create(model=model, input=texts).data]
        assert one == same != other
        assert len(one) == SIZE and sum(number * number for number in one) == pytest.approx(1)
        short = client.embeddings.create(model=model, input=texts[0], dimensions=4)
        assert len(short.data[0].embedding) == 4
        assert short.usage.prompt_tokens == short.usage.total_tokens > 3
        by_ids = httpx.post(f"{url}/tokenize", json={"model": model, "prompt": texts[0]}).json()["tokens"]
        assert client.embeddings.create(model=model, input=by_ids).data[0].embedding == one
        with pytest.raises(BadRequestError, match="does not serve chat; use /v1/embeddings"):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    refused = dynamo.run("chat", "hi")
    assert refused.code and refused.err.count("\n") == 1 and "use /v1/embeddings" in refused.err
    counted = httpx.get(f"{url}/metrics").text
    done = [line for line in counted.splitlines() if 'endpoint="embeddings"' in line and 'status="success"' in line]
    assert done and float(done[0].rpartition(" ")[2]) == 3
    log = dynamo.run("logs", "frontend-0").out
    assert "POST /v1/embeddings 200" in log and "prompt=" in log
    remembered = json.loads(dynamo.run("explain", "-n", "9", "--json").out)["requests"]
    answered = [one for one in remembered if one["status"] == 200]
    assert len(answered) == 3 and {one["kind"] for one in answered} == {"embeddings"}
    assert dynamo.run("down").code == 0
