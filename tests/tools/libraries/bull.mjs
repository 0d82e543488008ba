// Bull running jobs, over its ioredis: HOST PORT [PASSWORD]. Nothing is set up for slotmux except the prefix: its
// scripts touch several keys of a queue, and only a hash tag puts these into one slot.

import { equal, HOST, library, PASSWORD, PORT, run, upTo } from "./checks.mjs";

const Bull = library("bull");

class Checks {
  constructor() {
    this.open = [];
  }

  async queue(name) {
    const queue = new Bull(name, {
      redis: { host: HOST, port: Number(PORT), password: PASSWORD },
      prefix: `{${this.key("bull")}}`,
    });
    queue.on("error", () => {});
    this.open.push(queue);
    await queue.isReady();
    return queue;
  }

  async done() {
    for (const queue of this.open) await queue.close();
  }

  close() {}

  async check_jobs_and_their_results() {
    const queue = await this.queue("sums");
    queue.process(5, async (job) => job.data.n * 2);
    const jobs = await queue.addBulk(upTo(40).map((n) => ({ data: { n } })));
    equal(await Promise.all(jobs.map((job) => job.finished())), upTo(40).map((n) => n * 2));
    const { waiting, active, completed, failed } = await queue.getJobCounts();
    equal({ waiting, active, completed, failed }, { waiting: 0, active: 0, completed: 40, failed: 0 });
    await this.done();
  }

  async check_delayed_and_prioritised_jobs() {
    const queue = await this.queue("delayed");
    const order = [];
    const added = Date.now();
    const late = await queue.add({ name: "late" }, { delay: 500 });
    await queue.add({ name: "low" }, { priority: 10 });
    await queue.add({ name: "high" }, { priority: 1 });
    queue.process(async (job) => void order.push(job.data.name));
    await late.finished();
    equal(order, ["high", "low", "late"]);
    equal(Date.now() - added >= 500, true);
    await this.done();
  }

  async check_retries() {
    const queue = await this.queue("retries");
    queue.process(async (job) => {
      if (job.attemptsMade < 2) throw new Error(`attempt ${job.attemptsMade}`);
      return job.attemptsMade;
    });
    const job = await queue.add({}, { attempts: 3, backoff: 50 });
    equal(await job.finished(), 2);
    const hopeless = await queue.add({}, { attempts: 1 });
    let error;
    await hopeless.finished().catch((caught) => (error = caught));
    equal(error?.message, "attempt 0");
    equal(await hopeless.isFailed(), true);
    await this.done();
  }

  async check_events_and_progress() {
    const queue = await this.queue("events");
    const watcher = await this.queue("events");
    const seen = [];
    for (const name of ["progress", "completed"]) watcher.on(`global:${name}`, () => seen.push(name));
    // Its subscription is active once this is answered.
    await watcher.isReady();
    const completed = new Promise((resolve) => watcher.on("global:completed", resolve));
    await new Promise((resolve) => setTimeout(resolve, 300));
    queue.process(async (job) => job.progress(50));
    await queue.add({});
    await completed;
    equal(seen, ["progress", "completed"]);
    await this.done();
  }

  async check_pause_repetition_and_removal() {
    const queue = await this.queue("paused");
    await queue.pause();
    const job = await queue.add({ name: "held" });
    equal(await queue.isPaused(), true);
    queue.process(async (job) => job.data.name);
    await queue.resume();
    equal(await job.finished(), "held");
    const twice = new Promise((resolve) => {
      let count = 0;
      queue.on("completed", () => ++count === 2 && resolve());
    });
    await queue.add({ name: "tick" }, { repeat: { every: 200 } });
    await twice;
    await queue.removeRepeatable({ every: 200 });
    await queue.pause();
    await queue.empty();
    await queue.obliterate({ force: true });
    await this.done();
  }
}

run("bull", Checks, [["RESP2"]]);
