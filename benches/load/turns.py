#!/usr/bin/env python3
"""How long one request of very many arguments delays the other clients of its worker.

For each of them: how long it took, how many PINGs of another client of the same worker were answered meanwhile, the most
CPU time of slotmux during one of them (its longest turn, or two), the longest wait of one, and the peak memory of slotmux. See
docs/performance.md.
"""

import argparse
import contextlib
import re
import socket
import tempfile
import threading
import time
from pathlib import Path

import proxies

MARK = b"the end of it"


def request(*words):
    """A request in RESP; words are bytes or text."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def connect(port):
    """A RESP3 client, which may send any command while it is subscribed."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(request("HELLO", 3))
    client.recv(65536)
    return client


def cpu_milliseconds(pid):
    """The CPU time of the threads of a process so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


class Pings:
    """PINGs of a client, one after the other, while its block lasts. Each has its time, and the CPU time of slotmux meanwhile: on a
    busy machine this separates its turns from the time in which it was not scheduled."""

    def __init__(self, port, pid):
        self.client, self.pid, self.waits, self.stop = connect(port), pid, [], False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop:
            since, ran = time.monotonic(), cpu_milliseconds(self.pid)
            self.client.sendall(b"PING\r\n")
            self.client.recv(64)
            self.waits.append((cpu_milliseconds(self.pid) - ran, 1000 * (time.monotonic() - since)))
            time.sleep(0.0005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        self.client.close()


def send_and_wait(client, message):
    """Sends it and reads until the mark behind it comes back. Returns the start of the reply, and whether the end came."""
    sender = threading.Thread(target=send, args=(client, message))
    sender.start()
    start, tail, ended = b"", b"", False
    while not ended:
        try:
            some = client.recv(1 << 20)
        except OSError:
            some = b""
        if not some:
            break
        start = start if len(start) >= 100 else (start + some)[:100]
        tail = (tail + some)[-64:]
        ended = MARK in tail
    sender.join()
    return start, ended


def send(client, message):
    with contextlib.suppress(OSError):
        client.sendall(message + request("ECHO", MARK))


def requests(scale):
    """Names and requests, in the order in which they are measured. Requests answered in one turn have as many arguments as they
    may; Redis 7.0 itself takes time with the square of the number of patterns or of watched keys, so there are few."""
    million, half, fifth, tenth = (int(scale * n) for n in (1_000_000, 500_000, 200_000, 100_000))
    most = 16_000
    names = [b"channel:%d" % i for i in range(million)]
    keys = [b"key:%d" % i for i in range(half)]
    pairs = [word for key in keys for word in (key, b"v")]
    multi = b"MULTI\r\n" + request("GET", "{key}:1") * tenth + b"EXEC\r\n"
    spread = b"MULTI\r\n" + b"".join(request("GET", key) for key in keys[:tenth]) + b"EXEC\r\n"
    return [
        ("SUBSCRIBE", request("SUBSCRIBE", *names)),
        ("UNSUBSCRIBE", request("SUBSCRIBE", *names[:half]) + request("UNSUBSCRIBE", *names[:half])),
        ("RESET", request("SUBSCRIBE", *names[:half]) + request("RESET") + request("HELLO", 3)),
        ("SSUBSCRIBE", request("SSUBSCRIBE", *names)),
        ("MSET", request("MSET", *pairs)),
        ("MGET", request("MGET", *keys)),
        ("EXISTS", request("EXISTS", *keys)),
        ("DEL", request("DEL", *keys)),
        ("MGET of one slot", request("MGET", *[b"{s}%d" % i for i in range(half)])),
        ("EXEC of one slot", multi),
        ("EXEC of all slots", spread),
        ("COMMAND INFO", request("COMMAND", "INFO", *["get"] * fifth)),
        ("COMMAND GETKEYS", request("COMMAND", "GETKEYS", "MGET", *keys)),
        ("PUBSUB NUMSUB", request("PUBSUB", "NUMSUB", *names[:most])),
        ("SCRIPT EXISTS", request("SCRIPT", "EXISTS", *["0" * 40] * most)),
        ("CLIENT KILL", request("CLIENT", "KILL", *["ID", "999999999"] * (most // 2))),
        ("CLIENT LIST", request("CLIENT", "LIST", "ID", *range(10_000, 10_000 + most))),
        ("CONFIG GET", request("CONFIG", "GET", *[""] * most)),
        ("HELLO", request("HELLO", 3, *["SETNAME", "me"] * (most // 2))),
        ("INFO", request("INFO", *["x"] * most)),
        ("WATCH", request("WATCH", *[b"{s}%d" % i for i in range(2000)]) + b"UNWATCH\r\n"),
        ("PSUBSCRIBE", request("PSUBSCRIBE", *names[:most])),
    ]


def memory(pid, field):
    """MiB of a field of /proc/<pid>/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) >> 10


def measure(name, message, port, pid):
    """Sends one request, waits for all of its replies, and disconnects."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    client = connect(port)
    with Pings(port, pid) as pings:
        since = time.monotonic()
        start, ended = send_and_wait(client, message)
        took = time.monotonic() - since
        # Freeing the memory of a client that has left is work as well.
        answered = len(pings.waits)
        client.close()
        time.sleep(0.7)
    ran, wait = max(ran for ran, _ in pings.waits), max(wait for _, wait in pings.waits)
    said = "" if ended else "closed: "
    said += start[:60].decode(errors="replace").replace("\r\n", " ") if start[:1] == b"-" or not ended else ""
    print(
        f"{name:18} {took:8.2f} s {answered:7} PINGs, longest turn {ran:7.1f} ms, longest wait {wait:8.1f} ms,"
        f" peak {memory(pid, 'VmHWM'):5} MiB, now {memory(pid, 'VmRSS'):5} MiB  {said}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=proxies.SLOTMUX, help="the slotmux that is measured")
    parser.add_argument("--scale", type=float, default=1, help="a part of the arguments only")
    parser.add_argument("--memory-limit", default="0")
    parser.add_argument("only", nargs="*", help="names of requests")
    options = parser.parse_args()
    proxies.SLOTMUX = options.binary
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="turns-"))
        cluster = proxies.Cluster(stack, folder)
        conf = Path(folder) / "slotmux.toml"
        text = f'[server]\nmemory_limit = "{options.memory_limit}"\n[defaults.namespace]\nmulti = "split"\n'
        conf.write_text(text)
        proxy = stack.enter_context(proxies.slotmux(cluster.ports, folder, "--config", conf))
        for name, message in requests(options.scale):
            if not options.only or name in options.only:
                measure(name, message, proxy.port, proxy.pid)


if __name__ == "__main__":
    main()
