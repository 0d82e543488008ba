"""valkey-glide in standalone mode, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux."""

import asyncio
import sys
import traceback
import uuid

from glide import (
    Batch,
    ExpirySet,
    ExpiryType,
    GlideClient,
    GlideClientConfiguration,
    NodeAddress,
    ProtocolVersion,
    RequestError,
    Script,
    ServerCredentials,
)

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20
Subscriptions = GlideClientConfiguration.PubSubSubscriptions
Modes = GlideClientConfiguration.PubSubChannelModes


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.300} is not {wanted!r:.300}")


class Checks:
    """Every check_* is one check, for one protocol."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.run = f"glide:{uuid.uuid4().hex[:8]}"
        self.clients = []

    def key(self, name):
        return f"{self.run}:{name}"

    async def client(self, **more):
        configuration = GlideClientConfiguration(
            [NodeAddress(HOST, PORT)],
            credentials=ServerCredentials(PASSWORD) if PASSWORD else None,
            protocol=self.protocol,
            request_timeout=PATIENCE * 1000,
            client_name="glide",
            **more,
        )
        client = await GlideClient.create(configuration)
        self.clients.append(client)
        return client

    async def close(self):
        for client in self.clients:
            await client.close()

    async def check_handshake(self):
        client = await self.client()
        equal(await client.ping(), b"PONG")
        equal(await client.client_getname(), b"glide")
        equal(b"redis_version" in await client.info(), True)

    async def check_values(self):
        client = await self.client()
        for value in (b"v", b"", bytes(range(256)), b"0123456789abcdef" * 65536):
            equal(await client.set(self.key("k"), value, expiry=ExpirySet(ExpiryType.SEC, 1000)), "OK")
            equal(await client.get(self.key("k")), value)
        equal(await client.get(self.key("missing")), None)
        equal(await client.hset(self.key("h"), {"a": "1", "b": "2"}), 2)
        equal(await client.hgetall(self.key("h")), {b"a": b"1", b"b": b"2"})
        equal(await client.zadd(self.key("z"), {"a": 1.5}), 1)
        equal(await client.zscore(self.key("z"), "a"), 1.5)

    async def check_many_keys_at_once(self):
        client = await self.client()
        many = {self.key(f"many:{n}"): f"{n}" for n in range(200)}
        equal(await client.mset(many), "OK")
        equal(await client.mget(list(many)), [value.encode() for value in many.values()])
        equal(await client.delete(list(many)), 200)
        found = await asyncio.gather(*[client.incr(self.key(f"n:{n % 50}")) for n in range(500)])
        equal(sorted(found), sorted(n // 50 + 1 for n in range(500)))

    async def check_batches(self):
        client = await self.client()
        batch = Batch(is_atomic=False)
        for n in range(100):
            batch.set(self.key(f"b:{n}"), str(n))
            batch.get(self.key(f"b:{n}"))
        equal(await client.exec(batch, raise_on_error=True), [item for n in range(100) for item in ("OK", b"%d" % n)])
        atomic = Batch(is_atomic=True)
        atomic.set(self.key("{t}a"), "1")
        atomic.incr(self.key("{t}a"))
        equal(await client.exec(atomic, raise_on_error=True), ["OK", 2])

    async def check_watch(self):
        client, other = await self.client(), await self.client()
        for disturbed in (False, True):
            equal(await client.watch([self.key("watched")]), "OK")
            if disturbed:
                await other.set(self.key("watched"), "other")
            batch = Batch(is_atomic=True)
            batch.set(self.key("watched"), "mine")
            equal(await client.exec(batch, raise_on_error=True), None if disturbed else ["OK"])

    async def check_reconnect(self):
        client, other = await self.client(), await self.client()
        victim = again = await client.client_id()
        equal(await other.custom_command(["CLIENT", "KILL", "ID", str(victim)]), 1)
        while again == victim:
            try:
                again = await client.client_id()
            except RequestError:
                await asyncio.sleep(0.01)
        equal(await client.client_getname(), b"glide")

    async def check_scripts(self):
        client = await self.client()
        script = Script(f"return redis.call('incrby', KEYS[1], ARGV[1]) -- {self.run}")
        equal([await client.invoke_script(script, keys=[self.key(f"s:{n}")], args=["5"]) for n in range(10)], [5] * 10)

    async def check_scan_and_blocking(self):
        client, other = await self.client(), await self.client()
        names = {self.key(f"scan:{n}").encode() for n in range(100)}
        for name in names:
            await client.set(name, "1")
        cursor, found = b"0", set()
        while True:
            cursor, page = await client.scan(cursor, match=self.key("scan:*"), count=50)
            found.update(page)
            if cursor == b"0":
                break
        equal(found, names)
        waiting = asyncio.create_task(client.blpop([self.key("list")], 10))
        await other.rpush(self.key("list"), ["x"])
        equal(await waiting, [self.key("list").encode(), b"x"])

    async def check_errors(self):
        client = await self.client()
        await client.set(self.key("text"), "v")
        try:
            await client.lpush(self.key("text"), ["1"])
        except RequestError as error:
            equal("WRONGTYPE" in str(error) or "wrong kind" in str(error), True)
        else:
            raise AssertionError("no error")

    async def check_publish_and_subscribe(self):
        # The library has it in RESP3 only.
        if self.protocol == ProtocolVersion.RESP2:
            return
        channel = self.key("channel")
        listener = await self.client(pubsub_subscriptions=Subscriptions({Modes.Exact: {channel}}, None, None))
        publisher = await self.client()
        for n in range(20):
            await publisher.publish(f"{n}", channel)
        for n in range(20):
            message = await asyncio.wait_for(listener.get_pubsub_message(), PATIENCE)
            equal((message.channel, message.message), (channel.encode(), b"%d" % n))


async def main():
    passed = failed = 0
    for protocol in (ProtocolVersion.RESP2, ProtocolVersion.RESP3):
        for name in [name for name in dir(Checks) if name.startswith("check_")]:
            checks = Checks(protocol)
            try:
                await asyncio.wait_for(getattr(checks, name)(), 3 * PATIENCE)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED valkey-glide {protocol} {name}")
                traceback.print_exc(limit=-4, file=sys.stdout)
            finally:
                await checks.close()
    print(f"valkey-glide: {passed} passed, {failed} failed")
    return failed


sys.exit(min(asyncio.run(main()), 1))
