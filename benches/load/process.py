"""Child processes and their figures from the kernel: CPU time, memory, connections, system calls."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 30
TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A process that ends when its block ends."""

    def __init__(self, words, log, **options):
        self.words, self.log = [str(word) for word in words], log
        with open(log, "ab") as file:
            self.process = subprocess.Popen(self.words, stdout=file, stderr=file, stdin=subprocess.DEVNULL, **options)

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def wait_for(self, ready):
        """Polls until `ready()` returns a value; on a timeout the error contains the log."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            found = ready()
            if found:
                return found
            time.sleep(0.02)
        raise SystemExit(f"{self.words[0]} is not ready:\n{Path(self.log).read_text()[-2000:]}")


def end(process):
    """Asks a process to stop, and ends it when it does not."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid):
    """User and system time of a process so far, all threads (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def resident_bytes(pid):
    """Its resident memory (VmRSS)."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def connections_to(pid, ports):
    """Established TCP connections of a process to one of these remote ports."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        remote, state, inode = int(fields[2].rpartition(":")[2], 16), fields[3], fields[9]
        count += state == "01" and remote in ports and inode in own
    return count


class CallCount:
    """Counts the system calls of a process, all threads, while its block lasts: `strace -c`."""

    def __init__(self, pid, folder):
        self.pid, self.summary = pid, Path(folder) / "strace"

    def __enter__(self):
        words = ["strace", "-c", "-f", "-U", "calls,name", "-o", str(self.summary), "-p", str(self.pid)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        attached = self.process.stderr.readline()
        if "attached" not in attached:
            raise SystemExit(f"strace: {attached}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self.process.stderr.close()

    @property
    def total(self):
        """All calls counted."""
        return int(re.search(r"^\s*(\d+) total", self.summary.read_text(), re.M)[1])


def free_port(first=20_000, last=29_999):
    """A free port below the range from which the kernel takes those of outgoing connections."""
    for port in range(first + os.getpid() * 37 % (last - first), last):
        if port not in _TAKEN:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    _TAKEN.add(port)
                    return port
    raise SystemExit("no free port")


_TAKEN = set()


# A GET in the only form that every proxy supports: twemproxy lacks inline commands.
PROBE = b"*2\r\n$3\r\nGET\r\n$20\r\nload-benchmark-probe\r\n"


def answers(port):
    """Whether the server there answers a GET of a missing key."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(PROBE)
            return connection.recv(5, socket.MSG_WAITALL) == b"$-1\r\n"
    except OSError:
        return False
