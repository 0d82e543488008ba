"""redis-py's cluster client, blocking and asyncio, RESP2 and RESP3: HOST PORT [PASSWORD].

Nothing is set up for slotmux: it passes against a node of a real cluster as well, which shows that the script is right.
"""

import asyncio
import inspect
import sys
import traceback
import uuid

import redis
import redis.asyncio
from redis.crc import key_slot

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20


async def settled(outcome):
    """The result of a method of either client, awaited if necessary."""
    return await outcome if inspect.isawaitable(outcome) else outcome


def equal(found, wanted, what=""):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r:.300} is not {wanted!r:.300}")


class Checks:
    """Every check_* is one check, for one kind of client."""

    def __init__(self, module, protocol):
        self.module, self.protocol = module, protocol
        self.run = f"redis-py-cluster:{uuid.uuid4().hex[:8]}"
        self.clients = []

    def key(self, name):
        return f"{self.run}:{name}"

    async def client(self):
        kwargs = {"host": HOST, "port": PORT, "password": PASSWORD, "protocol": self.protocol}
        client = self.module.RedisCluster(**kwargs, socket_timeout=PATIENCE)
        if hasattr(client, "initialize"):
            await settled(client.initialize())
        self.clients.append(client)
        return client

    async def close(self):
        for client in self.clients:
            await settled(client.aclose() if hasattr(client, "aclose") else client.close())
        self.clients = []

    async def check_discovery(self):
        client = await self.client()
        nodes = client.get_primaries()
        equal(len(nodes) >= 1, True)
        ports = {node.port for node in nodes}
        equal(PORT in ports, True, f"{ports}")
        for slot in (0, 8000, 16383):
            node = client.nodes_manager.get_node_from_slot(slot)
            equal(node.port in ports, True)
        info = await settled(client.cluster_info(target_nodes=nodes[0]))
        equal(info["cluster_state"], "ok")
        equal(await settled(client.cluster_keyslot("a{b}")), key_slot(b"b"))
        equal(await settled(client.readonly(target_nodes=nodes[0])), True)

    async def check_every_part_of_the_keyspace(self):
        client = await self.client()
        for n in range(300):
            equal(await settled(client.set(self.key(n), n, ex=100)), True)
        for n in range(300):
            equal(await settled(client.get(self.key(n))), b"%d" % n)
        many = {self.key(f"many:{n}"): n for n in range(100)}
        await settled(client.mset_nonatomic(many))
        values = await settled(client.mget_nonatomic(*many))
        equal(values, [b"%d" % n for n in many.values()])

    async def check_pipeline(self):
        client = await self.client()
        pipeline = client.pipeline()
        for n in range(500):
            pipeline.set(self.key(f"p:{n}"), n)
            pipeline.incr(self.key(f"p:{n}"))
        replies = await settled(pipeline.execute())
        equal(replies, [reply for n in range(500) for reply in (True, n + 1)])

    async def check_keys_of_a_slot(self):
        client = await self.client()
        tag = f"{{{self.run}}}"
        for n in range(5):
            await settled(client.set(f"{tag}:{n}", n))
        slot = key_slot(self.run.encode())
        # Other runs may have keys in the same slot.
        equal(await settled(client.cluster_countkeysinslot(slot)) >= 5, True)
        found = await settled(client.cluster_get_keys_in_slot(slot, 1000))
        names = {name.decode() if isinstance(name, bytes) else name for name in found}
        equal(names & {f"{tag}:{n}" for n in range(5)}, {f"{tag}:{n}" for n in range(5)})

    async def check_scan(self):
        client = await self.client()
        names = {self.key(f"scan:{n}").encode() for n in range(200)}
        for name in names:
            await settled(client.set(name, 1))
        found = client.scan_iter(match=self.key("scan:*"), count=50)
        found = {name async for name in found} if hasattr(found, "__aiter__") else set(found)
        equal(found, names)

    async def check_scripts(self):
        client = await self.client()
        key = self.key("script")
        script = "return redis.call('incrby', KEYS[1], ARGV[1])"
        equal(await settled(client.eval(script, 1, key, 5)), 5)

    async def check_errors(self):
        client = await self.client()
        await settled(client.set(self.key("text"), "v"))
        try:
            await settled(client.lpush(self.key("text"), 1))
        except redis.ResponseError as error:
            equal("WRONGTYPE" in str(error), True, str(error))
        else:
            raise AssertionError("no error")


async def main():
    kinds = [
        ("blocking RESP2", redis, 2),
        ("blocking RESP3", redis, 3),
        ("asyncio RESP2", redis.asyncio, 2),
        ("asyncio RESP3", redis.asyncio, 3),
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
                print(f"FAILED redis-py-cluster {title} {name}")
                traceback.print_exc(limit=-4, file=sys.stdout)
            finally:
                await checks.close()
    print(f"redis-py-cluster: {passed} passed, {failed} failed")
    return failed


sys.exit(min(asyncio.run(main()), 1))
