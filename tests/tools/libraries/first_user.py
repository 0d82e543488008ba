"""The key-value store of a GraphRAG service, by its calls of redis-py: HOST PORT [PASSWORD].

Its pipelines are redis-py's default ones, MULTI … EXEC, over keys of many slots. Nothing is set up for slotmux, and it passes
against one plain Redis as well.
"""

import asyncio
import json
import sys
import traceback
import uuid

import redis.asyncio

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None

# The TTL that the store sets in each of its namespaces; 0: no expiry.
TTLS = {"llm_response_cache": 43200, "community_reports": 86400, "text_chunks": 0, "full_docs": 0}


class Store:
    """One namespace of the store."""

    def __init__(self, client, namespace):
        self.client, self.ttl = client, TTLS[namespace]
        self.prefix = f"nano_graphrag:{namespace}:"

    async def upsert(self, data):
        pipeline = self.client.pipeline()
        for key, value in data.items():
            if self.ttl > 0:
                pipeline.setex(self.prefix + key, self.ttl, json.dumps(value))
            else:
                pipeline.set(self.prefix + key, json.dumps(value))
        return await pipeline.execute()

    async def get_by_ids(self, ids):
        pipeline = self.client.pipeline()
        for key in ids:
            pipeline.get(self.prefix + key)
        return [value and json.loads(value) for value in await pipeline.execute()]

    async def filter_keys(self, ids):
        pipeline = self.client.pipeline()
        for key in ids:
            pipeline.exists(self.prefix + key)
        return {key for key, exists in zip(ids, await pipeline.execute()) if not exists}

    async def ttls(self, ids):
        pipeline = self.client.pipeline()
        for key in ids:
            pipeline.ttl(self.prefix + key)
        return await pipeline.execute()


async def check(client, namespace, count):
    store, run = Store(client, namespace), uuid.uuid4().hex[:8]
    data = {f"{run}-{n}": {"text": f"text of {n}", "n": n} for n in range(count)}
    ids, missing = list(data), [f"{run}-nosuch-{n}" for n in range(count)]
    assert await store.get_by_ids(ids) == [None] * count
    assert await store.upsert(data) == [True] * count
    assert await store.get_by_ids(ids) == list(data.values())
    mixed = [key for pair in zip(ids, missing) for key in pair]
    assert await store.filter_keys(mixed) == set(missing)
    for ttl in await store.ttls(ids):
        assert ttl == -1 if store.ttl == 0 else store.ttl - 60 <= ttl <= store.ttl, ttl
    assert await client.delete(*[store.prefix + key for key in ids]) == count


async def main():
    passed = failed = 0
    for protocol in (2, 3):
        client = redis.asyncio.Redis(host=HOST, port=PORT, password=PASSWORD, protocol=protocol)
        for namespace in TTLS:
            for count in (1, 3, 200):
                try:
                    await asyncio.wait_for(check(client, namespace, count), 30)
                    passed += 1
                except Exception:
                    failed += 1
                    print(f"FAILED RESP{protocol} {namespace} {count}")
                    traceback.print_exc(limit=-4, file=sys.stdout)
        await client.aclose()
    print(f"first user: {passed} passed, {failed} failed")
    return failed


sys.exit(min(asyncio.run(main()), 1))
