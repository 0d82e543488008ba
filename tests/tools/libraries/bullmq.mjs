// BullMQ running jobs, over ioredis: HOST PORT [PASSWORD]. Nothing is set up for slotmux except the prefix: its scripts touch
// several keys of a queue, and only a hash tag puts these into one slot.

import { equal, HOST, library, PASSWORD, PATIENCE, PORT, run, upTo } from "./checks.mjs";

const { FlowProducer, Queue, QueueEvents, Worker } = library("bullmq");
const Redis = library("ioredis").default;

class Checks {
  constructor(protocol) {
    this.protocol = protocol;
    this.open = [];
    this.clients = [];
  }

  /** The options of anything of BullMQ's. */
  options(more = {}) {
    const connection = new Redis({
      host: HOST,
      port: Number(PORT),
      password: PASSWORD,
      protocol: this.protocol,
      maxRetriesPerRequest: null,
    });
    connection.on("error", () => {});
    this.clients.push(connection);
    return { connection, prefix: `{${this.key("bull")}}`, ...more };
  }

  keep(one) {
    one.on("error", () => {});
    one.setMaxListeners?.(100);
    this.open.push(one);
    return one;
  }

  queue(name) {
    return this.keep(new Queue(name, this.options()));
  }

  /** A worker, once it has connected. */
  async worker(name, work, more) {
    const worker = this.keep(new Worker(name, work, this.options(more)));
    await worker.waitUntilReady();
    return worker;
  }

  async events(name) {
    // From the first event on: by default events before its subscription are missed.
    const events = this.keep(new QueueEvents(name, this.options({ lastEventId: "0-0" })));
    await events.waitUntilReady();
    return events;
  }

  async done() {
    for (const one of this.open.reverse()) await one.close();
  }

  close() {
    this.clients.forEach((client) => client.disconnect());
  }

  async check_jobs_and_their_results() {
    const queue = this.queue("sums");
    const events = await this.events("sums");
    await this.worker("sums", async (job) => job.data.n * 2, { concurrency: 5 });
    const jobs = await queue.addBulk(upTo(60).map((n) => ({ name: "double", data: { n } })));
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, PATIENCE)));
    equal(results, upTo(60).map((n) => n * 2));
    equal(await queue.getJobCounts("waiting", "active", "completed", "failed"), {
      waiting: 0, active: 0, completed: 60, failed: 0,
    });
    await this.done();
  }

  async check_a_worker_that_waits() {
    const queue = this.queue("later");
    const events = await this.events("later");
    await this.worker("later", async (job) => job.name);
    // Long enough for it to block, as there are no jobs.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const job = await queue.add("woken", {});
    equal(await job.waitUntilFinished(events, PATIENCE), "woken");
    await this.done();
  }

  async check_delayed_and_prioritised_jobs() {
    const queue = this.queue("delayed");
    const events = await this.events("delayed");
    const order = [];
    const added = Date.now();
    const late = await queue.add("late", {}, { delay: 500 });
    const low = await queue.add("low", {}, { priority: 10 });
    const high = await queue.add("high", {}, { priority: 1 });
    await this.worker("delayed", async (job) => void order.push(job.name));
    await Promise.all([late, low, high].map((job) => job.waitUntilFinished(events, PATIENCE)));
    // The delayed job is the last one, unless the machine is slower than its delay.
    equal(order.filter((name) => name !== "late"), ["high", "low"]);
    equal(Date.now() - added >= 500, true);
    await this.done();
  }

  async check_retries() {
    const queue = this.queue("retries");
    const events = await this.events("retries");
    const failures = [];
    const worker = await this.worker("retries", async (job) => {
      if (job.attemptsMade < 2) throw new Error(`attempt ${job.attemptsMade}`);
      return job.attemptsMade;
    });
    worker.on("failed", (_, error) => failures.push(error.message));
    const job = await queue.add("again", {}, { attempts: 3, backoff: { type: "fixed", delay: 50 } });
    equal(await job.waitUntilFinished(events, PATIENCE), 2);
    equal(failures, ["attempt 0", "attempt 1"]);
    const hopeless = await queue.add("hopeless", {}, { attempts: 1 });
    let error;
    await hopeless.waitUntilFinished(events, PATIENCE).catch((caught) => (error = caught));
    equal(error?.message, "attempt 0");
    equal(await hopeless.isFailed(), true);
    await this.done();
  }

  async check_events_and_progress() {
    const queue = this.queue("events");
    const events = await this.events("events");
    const seen = [];
    for (const name of ["active", "progress", "completed"]) events.on(name, () => seen.push(name));
    await this.worker("events", async (job) => job.updateProgress(50));
    const completed = new Promise((resolve) => events.once("completed", resolve));
    await queue.add("one", {});
    await completed;
    equal(seen, ["active", "progress", "completed"]);
    await this.done();
  }

  async check_a_flow() {
    const options = this.options();
    const flows = this.keep(new FlowProducer(options));
    const events = await this.events("parents");
    await this.worker("children", async (job) => job.data.n);
    await this.worker("parents", async (job) =>
      Object.values(await job.getChildrenValues()).reduce((sum, n) => sum + n, 0));
    const { job } = await flows.add({
      name: "sum",
      queueName: "parents",
      children: upTo(5).map((n) => ({ name: "part", queueName: "children", data: { n } })),
    });
    equal(await job.waitUntilFinished(events, PATIENCE), 10);
    await this.done();
  }

  async check_pause_and_repetition() {
    const queue = this.queue("paused");
    const events = await this.events("paused");
    await queue.pause();
    await this.worker("paused", async (job) => job.name);
    const job = await queue.add("held", {});
    equal(await queue.isPaused(), true);
    equal(await job.getState(), "waiting");
    await queue.resume();
    equal(await job.waitUntilFinished(events, PATIENCE), "held");
    const twice = new Promise((resolve) => {
      let count = 0;
      events.on("completed", () => ++count === 2 && resolve());
    });
    await queue.upsertJobScheduler("every", { every: 200 }, { name: "tick" });
    await twice;
    await queue.removeJobScheduler("every");
    await queue.obliterate({ force: true });
    await this.done();
  }
}

// For a smoke run: one protocol.
const protocols = process.env.SLOTMUX_TEST_FULL ? [2, 3] : [2];
run("bullmq", Checks, protocols.map((protocol) => [`RESP${protocol}`, protocol]));
