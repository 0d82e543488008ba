// Bee-Queue running jobs, over its node-redis: HOST PORT [PASSWORD]. Nothing is set up for slotmux except the
// prefix: its scripts touch several keys of a queue, and only a hash tag puts these into one slot.

import { equal, HOST, library, PASSWORD, PORT, run, upTo } from "./checks.mjs";

const BeeQueue = library("bee-queue");

class Checks {
  constructor() {
    this.open = [];
  }

  async queue(name, more = {}) {
    const queue = new BeeQueue(name, {
      redis: { host: HOST, port: Number(PORT), password: PASSWORD },
      prefix: `{${this.key("bq")}}`,
      ...more,
    });
    queue.on("error", () => {});
    this.open.push(queue);
    await queue.ready();
    return queue;
  }

  async done() {
    for (const queue of this.open) await queue.close();
  }

  close() {}

  /** A job, sent, and what it ends with. */
  outcome(job) {
    return new Promise((resolve, reject) => {
      job.on("succeeded", resolve);
      job.on("failed", reject);
      job.save().catch(reject);
    });
  }

  async check_jobs_and_their_results() {
    const queue = await this.queue("sums");
    queue.process(5, async (job) => job.data.n * 2);
    const results = upTo(40).map((n) => this.outcome(queue.createJob({ n })));
    equal(await Promise.all(results), upTo(40).map((n) => n * 2));
    const health = await queue.checkHealth();
    equal([health.waiting, health.active, health.succeeded, health.failed], [0, 0, 40, 0]);
    await this.done();
  }

  async check_many_at_once() {
    const queue = await this.queue("many");
    const jobs = upTo(20).map((n) => queue.createJob({ n }));
    equal((await queue.saveAll(jobs)).size, 0);
    equal((await queue.getJobs("waiting", { start: 0, end: 100 })).length, 20);
    await this.done();
  }

  async check_delayed_jobs() {
    const queue = await this.queue("delayed", { activateDelayedJobs: true });
    queue.process(async () => Date.now());
    const due = Date.now() + 500;
    const ran = await this.outcome(queue.createJob({}).delayUntil(due));
    equal(ran >= due, true);
    await this.done();
  }

  async check_retries_and_failure() {
    const queue = await this.queue("retries", { activateDelayedJobs: true });
    let tries = 0;
    queue.process(async (job) => {
      tries += 1;
      if (job.data.fails || tries < 3) throw new Error(`try ${tries}`);
      return tries;
    });
    equal(await this.outcome(queue.createJob({ fails: false }).retries(3).backoff("fixed", 50)), 3);
    let error;
    await this.outcome(queue.createJob({ fails: true })).catch((caught) => (error = caught));
    equal(error?.message, "try 4");
    await this.done();
  }

  async check_progress_and_removal() {
    const queue = await this.queue("progress");
    queue.process(async (job) => {
      job.reportProgress({ part: 1 });
      return "done";
    });
    const job = queue.createJob({});
    const progress = new Promise((resolve) => job.on("progress", resolve));
    equal(await this.outcome(job), "done");
    equal(await progress, { part: 1 });
    await queue.removeJob(job.id);
    equal(await queue.getJob(job.id), null);
    await queue.destroy();
    await this.done();
  }
}

run("bee-queue", Checks, [["RESP2"]]);
