"""RQ with a separate worker that runs jobs: HOST PORT [PASSWORD].

Nothing is set up for slotmux except the prefix of its keys: its pipelines and scripts touch several keys, and a worker waits
for several queues in one BLPOP; only a hash tag puts these into one slot.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from checks import PATIENCE, RUN, URL, equal, run, until

# Read when the library is imported, here and in the worker.
os.environ.setdefault("RQ_KEY_PREFIX", f"{{rq-{RUN}}}")

import redis  # noqa: E402
from rq import Queue, Retry, Worker  # noqa: E402
from rq.job import Job  # noqa: E402

# Not when the worker imports this script.
CONNECTION = redis.Redis.from_url(URL) if __name__ == "__main__" else None
QUEUES = ["default", "other"]


def add(x, y):
    return x + y


def broken():
    raise ValueError("as it should")


def broken_twice(key):
    connection = redis.Redis.from_url(os.environ["RQ_JOBS_URL"])
    count = connection.incr(key)
    if count < 3:
        raise ValueError(f"try {count}")
    return count


def queue(name="default"):
    return Queue(name, connection=CONNECTION)


def result(job):
    until(lambda: job.get_status(refresh=True).value in ("finished", "failed", "canceled"), f"the end of {job}")
    latest = job.latest_result()
    return latest.return_value if latest else None


def check_jobs_and_their_results():
    jobs = [queue().enqueue("rq_jobs.add", n, n) for n in range(10)]
    equal([result(job) for job in jobs], [2 * n for n in range(10)])


def check_many_at_once():
    prepared = [Queue.prepare_data("rq_jobs.add", (n, 1)) for n in range(30)]
    jobs = queue().enqueue_many(prepared)
    equal([result(job) for job in jobs], [n + 1 for n in range(30)])


def check_two_queues():
    jobs = [queue(name).enqueue("rq_jobs.add", 1, n) for n, name in enumerate(QUEUES)]
    equal([result(job) for job in jobs], [1, 2])
    equal(sorted(one.name for one in Queue.all(connection=CONNECTION)), QUEUES)


def check_failure():
    job = queue().enqueue("rq_jobs.broken")
    result(job)
    equal(job.get_status(refresh=True).value, "failed")
    equal(job.id in queue().failed_job_registry.get_job_ids(), True)
    equal("as it should" in job.latest_result().exc_string, True)


def check_retry():
    job = queue().enqueue("rq_jobs.broken_twice", f"{{rq-{RUN}}}:tries", retry=Retry(max=3))
    equal(until(lambda: job.return_value(refresh=True), "the third try"), 3)


def check_one_that_depends_on_another():
    first = queue().enqueue("rq_jobs.add", 1, 1)
    second = queue("other").enqueue("rq_jobs.add", 2, 2, depends_on=first)
    equal(result(second), 4)


def check_later():
    job = queue().enqueue_in(timedelta(seconds=1), "rq_jobs.add", 3, 4)
    equal(job.get_status(refresh=True).value, "scheduled")
    equal(result(job), 7)


def check_cancel_and_delete():
    job = queue().enqueue_in(timedelta(hours=1), "rq_jobs.add", 1, 1)
    job.cancel()
    equal(job.get_status(refresh=True).value, "canceled")
    job.delete()
    equal(Job.exists(job.id, connection=CONNECTION), False)


def check_the_worker_is_known():
    (worker,) = Worker.all(connection=CONNECTION)
    equal(sorted(worker.queue_names()), QUEUES)
    until(lambda: Worker.all(connection=CONNECTION)[0].successful_job_count > 10, "its count")


def main():
    arguments = ["worker", "--url", URL, "--with-scheduler", "--quiet", "--name", f"worker-{RUN}", *QUEUES]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RQ_JOBS_URL": URL,
    }
    worker = subprocess.Popen([sys.executable, "-c", "from rq.cli import main; main()", *arguments], env=environment)
    try:
        return run("rq", globals())
    finally:
        worker.terminate()
        worker.wait(PATIENCE)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
