#!/usr/bin/env python3
"""Head-of-line blocking: what small GETs pay for other clients' big values and slow scripts.

Two loads, each on slotmux, on twemproxy where `nutcracker` is installed, and direct: the 99th percentile of 64-byte GETs
alone; while other clients fetch values of 1 MiB from the same nodes; and of those to two nodes while the third runs scripts
of 100 ms. The small GETs come at a fixed rate, so that what waits is measured as waiting. See docs/performance.md.
"""

import argparse
import contextlib
import multiprocessing
import socket
import tempfile
import threading
import time

from proxies import PROXIES, Cluster, PlainServers, available

CLIENTS = 16
RATE = 2000
BIG_CLIENTS = 4
BIG = 1024 * 1024
BIG_PAUSE = 0.05
# About 100 ms of the node's time; what it takes exactly is printed.
SCRIPT = "local t=redis.call('TIME') local s=t[1]*1000000+t[2] repeat t=redis.call('TIME') until t[1]*1000000+t[2]-s>100000 return 1"


class Connection:
    """A client that sends a command and reads a reply."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        """The reply: bytes of a bulk, or the line of anything else."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        head = b"*%d\r\n" % len(words)
        self.socket.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        line = self.file.readline().rstrip(b"\r\n")
        if line[:1] == b"$" and line != b"$-1":
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line

    def close(self):
        self.socket.close()


def paced(port, keys, value, until, times):
    """GETs at a fixed rate; each counts from the moment at which it was due."""
    client = Connection(port)
    pause = CLIENTS / RATE
    due = time.monotonic()
    count = 0
    while due < until:
        time.sleep(max(0, due - time.monotonic()))
        reply = client.call("GET", keys[count % len(keys)])
        times.append(time.monotonic() - due)
        assert reply == value, reply[:80]
        due += pause
        count += 1
    client.close()


def repeat(port, until, *words):
    """The same command again and again, with a pause that leaves the cores some time for others."""
    client = Connection(port)
    while time.monotonic() < until:
        reply = client.call(*words)
        assert not reply.startswith(b"-"), reply
        time.sleep(BIG_PAUSE)
    client.close()


def percentile(port, keys, value, seconds, beside):
    """The 99th percentile of small GETs in milliseconds, with these commands going on beside them."""
    until = time.monotonic() + seconds
    times = []
    # In processes of their own: they must not keep this one from seeing its replies.
    jobs = [multiprocessing.Process(target=repeat, args=(port, until, *words)) for words in beside]
    jobs += [threading.Thread(target=paced, args=(port, keys, value, until, times)) for _ in range(CLIENTS)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    times.sort()
    return times[len(times) * 99 // 100] * 1000


def by_node(port, ports, names):
    """The names by the node that has them, found by writing through the proxy and asking each node."""
    client = Connection(port)
    nodes = {node: Connection(node) for node in ports}
    homes = {node: [] for node in ports}
    for name in names:
        assert client.call("SET", name, "here") == b"+OK", name
        for node, direct in nodes.items():
            if direct.call("EXISTS", name) == b":1":
                homes[node].append(name)
    return homes


def measure(name, port, ports, seconds):
    """One row of the table."""
    value = b"s" * 64
    homes = by_node(port, ports, [f"small:{i}" for i in range(600)])
    client = Connection(port)
    slow, *others = [keys for keys in homes.values() if keys]
    small = [key for keys in others for key in keys] or slow
    for key in small:
        client.call("SET", key, value)
    big = [f"big:{i}" for i in range(BIG_CLIENTS)]
    for key in big:
        client.call("SET", key, b"b" * BIG)
    alone = percentile(port, small, value, seconds, [])
    beside_big = percentile(port, small, value, seconds, [("GET", key) for key in big])
    # Direct there is one node: whoever shares it with a script waits for it, whatever is in between.
    beside_slow = percentile(port, small, value, seconds, [("EVAL", SCRIPT, 1, slow[0])]) if others else None
    shown = "–" if beside_slow is None else f"{beside_slow:.2f}"
    print(f"| {name} | {alone:.2f} | {beside_big:.2f} | {shown} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    print("| p99 of GET 64 B, ms | alone | beside GETs of 1 MiB | while another node runs scripts of 100 ms |")
    print("|---|---:|---:|---:|")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cluster, plain = Cluster(stack, folder), PlainServers(stack, folder)
        there, _ = available()
        for name in (name for name in ("slotmux", "twemproxy") if name in there):
            start, needs_cluster = PROXIES[name]
            ports = cluster.ports if needs_cluster else plain.ports
            with start(ports, folder) as running:
                measure(name, running.port, ports, options.seconds)
        port = min(plain.ports)
        measure("direct, one server", port, {port}, options.seconds)


if __name__ == "__main__":
    main()
