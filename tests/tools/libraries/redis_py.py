"""redis-py, blocking and asyncio, RESP2 and RESP3, with hiredis and without: HOST PORT [PASSWORD].

Nothing is set up for slotmux: it passes against one plain Redis as well, which shows that the script is right.
"""

import asyncio
import inspect
import sys
import time
import traceback
import urllib.parse
import uuid

import redis
import redis.asyncio
from redis._parsers import (
    _AsyncHiredisParser,
    _AsyncRESP2Parser,
    _AsyncRESP3Parser,
    _HiredisParser,
    _RESP2Parser,
    _RESP3Parser,
)
from redis.backoff import ExponentialWithJitterBackoff
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20

EVERY_BYTE = bytes(range(256)) + b"\r\n$3\r\n*1\r\n\0"
BIG = b"0123456789abcdef" * 65536
ADD = "return redis.call('incrby', KEYS[1], ARGV[1])"


async def settled(outcome):
    """The result of a method of either client, awaited if necessary."""
    return await outcome if inspect.isawaitable(outcome) else outcome


def equal(found, wanted, what=""):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r:.300} is not {wanted!r:.300}")


async def refused(outcome, kind, text):
    """Asserts the class and a part of the text of the error that a call ends with."""
    try:
        found = await settled(outcome())
    except redis.RedisError as error:
        if type(error) is not kind or text not in str(error):
            raise AssertionError(f"{error!r:.300} is no {kind.__name__} with {text!r}") from error
    else:
        raise AssertionError(f"{found!r:.300} instead of {kind.__name__}")


class Checks:
    """Every check_* is one check, for one kind of client."""

    def __init__(self, module, protocol, parser):
        self.module, self.protocol, self.parser = module, protocol, parser
        self.run = f"redis-py:{uuid.uuid4().hex[:8]}"

    def key(self, name):
        """A key of this run; different names mostly map to different slots."""
        return f"{self.run}:{name}"

    def client(self, **more):
        retry = redis.retry.Retry if self.module is redis else redis.asyncio.retry.Retry
        kwargs = {
            "host": HOST,
            "port": PORT,
            "password": PASSWORD,
            "protocol": self.protocol,
            "parser_class": self.parser,
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            # As the client is set up by default when it makes its pool itself.
            "retry": retry(ExponentialWithJitterBackoff(), 3),
        }
        pool = self.module.ConnectionPool(**kwargs | more)
        return self.module.Redis(connection_pool=pool)

    async def check_handshake(self):
        client = self.client(client_name="by-name")
        equal(await settled(client.ping()), True)
        equal(await settled(client.echo("hello")), b"hello")
        equal(await settled(client.client_getname()) in ("by-name", b"by-name"), True)
        equal((await settled(client.client_info()))["name"], "by-name")
        equal((await settled(client.client_info()))["resp"], str(self.protocol))
        connection = client.connection_pool._available_connections[0]
        equal(isinstance(connection._parser, self.parser), True, "the parser")
        equal("redis_version" in await settled(client.info("server")), True)

    async def check_defaults(self):
        client = self.module.Redis(host=HOST, port=PORT, password=PASSWORD)
        equal(await settled(client.ping()), True)
        user = f":{urllib.parse.quote(PASSWORD, safe='')}@" if PASSWORD else ""
        url = f"redis://{user}{HOST}:{PORT}/0"
        equal(await settled(self.module.Redis.from_url(url).ping()), True)

    async def check_password(self):
        if not PASSWORD:
            return
        wrong = self.client(password="certainly wrong")
        await refused(wrong.ping, redis.AuthenticationError, "invalid username-password pair")
        # The client has its own text for a missing password.
        await refused(self.client(password=None).ping, redis.AuthenticationError, "")

    async def check_strings(self):
        client, key = self.client(), self.key
        for name in (key("k"), key("bytes").encode() + EVERY_BYTE):
            for value in (b"v", b"", EVERY_BYTE, BIG):
                equal(await settled(client.set(name, value, ex=1000)), True)
                equal(await settled(client.get(name)), value)
                equal(await settled(client.strlen(name)), len(value))
        equal(await settled(client.get(key("missing"))), None)
        equal(await settled(client.set(key("k"), "w", get=True)), BIG)
        equal(await settled(client.set(key("k"), "x", nx=True)), None)
        equal(await settled(client.incrbyfloat(key("f"), 0.25)), 0.25)
        equal(await settled(client.expire(key("k"), 1000)), True)
        equal(await settled(client.ttl(key("missing"))), -2)
        text = self.client(decode_responses=True)
        equal(await settled(text.set(key("text"), "grün")), True)
        equal(await settled(text.get(key("text"))), "grün")

    async def check_many_keys(self):
        client = self.client()
        many = {self.key(f"many:{n}"): b"%d" % n for n in range(300)}
        equal(await settled(client.mset(many)), True)
        equal(await settled(client.mget([*many, self.key("missing")])), [*many.values(), None])
        equal(await settled(client.exists(*many, self.key("missing"))), 300)
        equal(await settled(client.touch(*many)), 300)
        equal(await settled(client.delete(*list(many)[:200])), 200)
        equal(await settled(client.unlink(*many)), 100)

    async def check_types(self):
        client, key = self.client(), self.key
        equal(await settled(client.hset(key("h"), mapping={"a": 1, "b": "two"})), 2)
        equal(await settled(client.hgetall(key("h"))), {b"a": b"1", b"b": b"two"})
        equal(await settled(client.hincrbyfloat(key("h"), "a", 1.5)), 2.5)
        equal(await settled(client.zadd(key("z"), {"a": 1, "b": 2.5, "c": float("inf")})), 3)
        scores = await settled(client.zrange(key("z"), 0, -1, withscores=True))
        equal([tuple(pair) for pair in scores], [(b"a", 1.0), (b"b", 2.5), (b"c", float("inf"))])
        equal(await settled(client.zscore(key("z"), "b")), 2.5)
        equal(await settled(client.zscore(key("z"), "missing")), None)
        equal(await settled(client.sadd(key("s"), "a", "b")), 2)
        equal(await settled(client.smembers(key("s"))), {b"a", b"b"})
        equal(await settled(client.rpush(key("l"), *range(10))), 10)
        equal(await settled(client.lrange(key("l"), 2, 4)), [b"2", b"3", b"4"])
        equal(await settled(client.xadd(key("x"), {"field": "value"}, "5-1")), b"5-1")
        entries = await settled(client.xrange(key("x")))
        equal([(ident, fields) for ident, fields in entries], [(b"5-1", {b"field": b"value"})])
        equal(await settled(client.type(key("h"))), b"hash")

    async def check_raw_replies(self):
        """The reply on the wire, before the client makes it the same in both protocols."""
        client, key = self.client(), self.key
        await settled(client.hset(key("raw h"), "a", 1))
        await settled(client.zadd(key("raw z"), {"a": 1.5}))
        for name in ("HGETALL", "ZSCORE"):
            client.response_callbacks.pop(name, None)
        typed = self.protocol == 3
        equal(await settled(client.execute_command("HGETALL", key("raw h"))), {b"a": b"1"} if typed else [b"a", b"1"])
        equal(await settled(client.execute_command("ZSCORE", key("raw z"), "a")), 1.5 if typed else b"1.5")

    async def check_scripts(self):
        client = self.client()
        equal(await settled(client.eval(ADD, 1, self.key("n"), 5)), 5)
        unknown = redis.exceptions.NoScriptError
        await refused(lambda: client.evalsha("0" * 40, 1, self.key("n")), unknown, "No matching script")
        # Loaded if it is missing: here, on the node of every key.
        add = client.register_script(f"{ADD} -- {uuid.uuid4()}")
        found = [await settled(add(keys=[self.key(f"script:{n % 7}")], args=[1])) for n in range(21)]
        equal(found, [n // 7 + 1 for n in range(21)])
        # In a pipeline it is loaded before, everywhere.
        pipeline = client.pipeline(transaction=False)
        piped = client.register_script(f"{ADD} -- {uuid.uuid4()}")
        for n in range(21):
            await settled(piped(keys=[self.key(f"piped:{n % 7}")], args=[1], client=pipeline))
        equal(await settled(pipeline.execute()), [n // 7 + 1 for n in range(21)])

    async def check_errors(self):
        client, key = self.client(), self.key
        await settled(client.set(key("text"), "text"))
        error = redis.ResponseError
        await refused(lambda: client.hget(key("text"), "a"), error, "WRONGTYPE")
        await refused(lambda: client.incr(key("text")), error, "value is not an integer or out of range")
        await refused(lambda: client.execute_command("NO-SUCH", "a"), error, "unknown command 'NO-SUCH'")
        await refused(lambda: client.execute_command("GET"), error, "wrong number of arguments for 'get'")
        await refused(lambda: client.rename(key("{t}a"), key("{t}b")), error, "no such key")
        await refused(lambda: client.execute_command("CLIENT", "NOPE"), error, "unknown subcommand 'NOPE'")
        equal(await settled(client.get(key("text"))), b"text")

    async def check_pipelines(self):
        pipeline = self.client().pipeline(transaction=False)
        for n in range(2000):
            pipeline.set(self.key(f"p:{n}"), n)
            pipeline.get(self.key(f"p:{n}"))
        equal(await settled(pipeline.execute()), [item for n in range(2000) for item in (True, b"%d" % n)])
        pipeline = self.client().pipeline(transaction=False)
        pipeline.set(self.key("p:0"), "text")
        pipeline.incr(self.key("p:0"))
        pipeline.get(self.key("p:0"))
        found = await settled(pipeline.execute(raise_on_error=False))
        equal((found[0], type(found[1]), found[2]), (True, redis.ResponseError, b"text"))

    async def check_transactions(self):
        client, key = self.client(), self.key
        # The default of pipeline() is a transaction.
        pipeline = client.pipeline()
        for n in range(100):
            pipeline.set(key(f"{{t}}:{n}"), n)
            pipeline.get(key(f"{{t}}:{n}"))
        equal(await settled(pipeline.execute()), [item for n in range(100) for item in (True, b"%d" % n)])
        pipeline = client.pipeline()
        for n in range(100):
            pipeline.exists(key(f"x:{n}"))
        equal(await settled(pipeline.execute()), [0] * 100)
        pipeline = client.pipeline()
        pipeline.set(key("{t}:0"), "text")
        pipeline.incr(key("{t}:0"))
        pipeline.get(key("{t}:0"))
        found = await settled(pipeline.execute(raise_on_error=False))
        equal((found[0], type(found[1]), found[2]), (True, redis.ResponseError, b"text"))
        pipeline = client.pipeline()
        pipeline.set(key("{t}:never"), "text")
        pipeline.execute_command("NO-SUCH")
        await refused(pipeline.execute, redis.ResponseError, "unknown command 'NO-SUCH'")
        equal(await settled(client.exists(key("{t}:never"))), 0)

    async def check_scan_iter(self):
        client = self.client()
        names = {self.key(f"scan:{n}").encode() for n in range(500)}
        for name in names:
            await settled(client.set(name, 1))
        await settled(client.sadd(self.key("scan:set"), "a"))

        async def scanned(**options):
            found = client.scan_iter(match=self.key("scan:*"), **options)
            if hasattr(found, "__aiter__"):
                return {name async for name in found}
            return set(found)

        # None is 10: a slow walk over all keys of the other tests.
        for count in (None, 1000):
            equal(await scanned(count=count, _type="string"), names, f"COUNT {count}")
        equal(await scanned(count=1000, _type="set"), {self.key("scan:set").encode()})

    async def check_watch(self):
        name = self.key("watched")

        def up(pipe):
            value = int(pipe.get(name) or 0)
            pipe.multi()
            pipe.set(name, value + 1)

        async def up_async(pipe):
            value = int(await pipe.get(name) or 0)
            pipe.multi()
            pipe.set(name, value + 1)

        async def work():
            client = self.client()
            for _ in range(25):
                # Tries again until no other write intervened.
                await settled(client.transaction(up if self.module is redis else up_async, name))

        if self.module is redis:
            await asyncio.gather(*[asyncio.to_thread(asyncio.run, work()) for _ in range(4)])
        else:
            await asyncio.gather(*[work() for _ in range(4)])
        equal(await settled(self.client().get(name)), b"100")

    async def check_lock(self):
        client = self.client()
        lock, other = (client.lock(self.key("lock"), timeout=PATIENCE) for _ in range(2))
        equal(await settled(lock.acquire(blocking=False)), True)
        equal(await settled(other.acquire(blocking=False)), False)
        equal(await settled(lock.extend(PATIENCE)), True)
        await settled(lock.release())
        equal(await settled(other.acquire(blocking=False)), True)
        await settled(other.release())

    async def check_twenty_connections(self):
        async def work(number):
            client = self.client()
            for n in range(50):
                equal(await settled(client.set(self.key(f"t:{number}:{n}"), n)), True)
                equal(await settled(client.get(self.key(f"t:{number}:{n}"))), b"%d" % n)
                await settled(client.incr(self.key("t:sum")))

        if self.module is redis:
            await asyncio.gather(*[asyncio.to_thread(asyncio.run, work(number)) for number in range(20)])
        else:
            await asyncio.gather(*[work(number) for number in range(20)])
        equal(await settled(self.client().getdel(self.key("t:sum"))), b"1000")

    async def check_client_side_cache(self):
        if self.module is not redis or self.protocol == 2:
            return  # No cache there.
        # The library does not know that these servers support it; they do.
        CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
        caching, other = self.client(cache_config=CacheConfig()), self.client()
        keys = [self.key(f"cached:{n}") for n in range(100)]
        for value in [b"old", b"new", b"newest"]:
            for key in keys:
                equal(other.set(key, value), True)
            until = time.monotonic() + PATIENCE
            while any(caching.get(key) != value for key in keys):
                equal(time.monotonic() < until, True, "what is cached is right at last")
        equal(caching.get_cache().size, len(keys))

    async def check_reconnect(self):
        client, other = self.client(), self.client()
        victim = await settled(client.client_id())
        equal(await settled(other.client_kill_filter(_id=victim)), 1)
        equal(await settled(client.set(self.key("again"), 1)), True)
        equal(await settled(client.client_id()) != victim, True, "another connection")
        await settled(client.execute_command("QUIT"))
        equal(await settled(client.get(self.key("again"))), b"1")


async def main():
    kinds = [
        ("blocking RESP2", redis, 2, _RESP2Parser),
        ("blocking RESP2 hiredis", redis, 2, _HiredisParser),
        ("blocking RESP3", redis, 3, _RESP3Parser),
        ("blocking RESP3 hiredis", redis, 3, _HiredisParser),
        ("asyncio RESP2", redis.asyncio, 2, _AsyncRESP2Parser),
        ("asyncio RESP2 hiredis", redis.asyncio, 2, _AsyncHiredisParser),
        ("asyncio RESP3", redis.asyncio, 3, _AsyncRESP3Parser),
        ("asyncio RESP3 hiredis", redis.asyncio, 3, _AsyncHiredisParser),
    ]
    passed = failed = 0
    for title, *kind in kinds:
        checks = Checks(*kind)
        for name in [name for name in dir(checks) if name.startswith("check_")]:
            try:
                await asyncio.wait_for(getattr(checks, name)(), 3 * PATIENCE)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED redis-py {title} {name}")
                traceback.print_exc(limit=-4, file=sys.stdout)
    print(f"redis-py: {passed} passed, {failed} failed")
    return failed


sys.exit(min(asyncio.run(main()), 1))
