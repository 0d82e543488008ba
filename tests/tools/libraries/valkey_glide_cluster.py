"""valkey-glide's cluster client, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux."""

import asyncio
import sys

from checks import HOST, PASSWORD, PORT, RUN, equal, run
from glide import (
    ClusterBatch,
    ClusterScanCursor,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    NodeAddress,
    ProtocolVersion,
    RequestError,
    Script,
    ServerCredentials,
)

PROTOCOLS = (ProtocolVersion.RESP2, ProtocolVersion.RESP3)


def key(protocol, name):
    return f"glide-cluster:{RUN}:{protocol.name}:{name}"


def with_clients(check):
    """A check with a client of each protocol."""

    def run_it():
        async def in_loop():
            for protocol in PROTOCOLS:
                configuration = GlideClusterClientConfiguration(
                    [NodeAddress(HOST, int(PORT))],
                    credentials=ServerCredentials(PASSWORD) if PASSWORD else None,
                    protocol=protocol,
                    request_timeout=20_000,
                )
                client = await GlideClusterClient.create(configuration)
                try:
                    await check(client, lambda name: key(protocol, name))
                finally:
                    await client.close()

        asyncio.run(in_loop())

    return run_it


@with_clients
async def check_values(client, key):
    for value in (b"v", b"", bytes(range(256)), b"0123456789abcdef" * 65536):
        for n in range(10):
            equal(await client.set(key(n), value), "OK")
            equal(await client.get(key(n)), value)


@with_clients
async def check_many_keys(client, key):
    many = {key(f"many:{n}"): str(n) for n in range(200)}
    equal(await client.mset(many), "OK")
    equal(await client.mget(list(many)), [value.encode() for value in many.values()])
    equal(await asyncio.gather(*[client.incrby(name, 1) for name in many]), list(range(1, 201)))
    equal(await client.delete(list(many)), 200)


@with_clients
async def check_batches(client, key):
    pipeline = ClusterBatch(is_atomic=False)
    for n in range(200):
        pipeline.incrby(key(f"b:{n}"), n)
    equal(await client.exec(pipeline, raise_on_error=True), list(range(200)))
    atomic = ClusterBatch(is_atomic=True)
    atomic.set(key("{t}a"), "1")
    atomic.incr(key("{t}a"))
    equal(await client.exec(atomic, raise_on_error=True), ["OK", 2])


@with_clients
async def check_scripts(client, key):
    script = Script(f"return redis.call('incrby', KEYS[1], ARGV[1]) -- {key('script')}")
    for n in range(21):
        equal(await client.invoke_script(script, keys=[key(f"s:{n}")], args=[str(n)]), n)


@with_clients
async def check_scans(client, key):
    names = {key(f"scan:{n}").encode() for n in range(200)}
    for name in names:
        await client.set(name, "1")
    cursor, found = ClusterScanCursor(), set()
    while not cursor.is_finished():
        cursor, page = await client.scan(cursor, match=key("scan:*"), count=50)
        found.update(page)
    equal(found, names)


@with_clients
async def check_errors(client, key):
    await client.set(key("text"), "v")
    try:
        await client.lpush(key("text"), ["1"])
    except RequestError as error:
        equal("WRONGTYPE" in str(error) or "wrong kind" in str(error), True)
    else:
        raise AssertionError("no error")


sys.exit(min(run("valkey-glide-cluster", globals()), 1))
