// ioredis' cluster client, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { ADD, BIG, equal, EVERY_BYTE, HOST, library, PASSWORD, PATIENCE, PORT, refused, run, upTo } from "./checks.mjs";

const { Cluster, ReplyError } = library("ioredis");

class Checks {
  constructor(options) {
    this.options = options;
    this.clients = [];
  }

  async client(more = {}) {
    const redisOptions = { password: PASSWORD, commandTimeout: PATIENCE, ...this.options };
    const client = new Cluster([{ host: HOST, port: Number(PORT) }], { redisOptions, lazyConnect: true, ...more });
    client.on("error", () => {});
    this.clients.push(client);
    await client.connect();
    return client;
  }

  close() {
    this.clients.forEach((client) => client.disconnect());
  }

  async check_discovery() {
    const client = await this.client();
    const ports = client.nodes("master").map((node) => node.options.port);
    equal(ports.includes(Number(PORT)), true, String(ports));
    equal((await client.cluster("INFO")).includes("cluster_state:ok"), true);
    equal(await client.cluster("KEYSLOT", "a{b}"), 3300);
  }

  async check_values() {
    const client = await this.client();
    for (const value of [Buffer.alloc(0), EVERY_BYTE, BIG]) {
      for (const n of upTo(30)) {
        const name = this.key(`value:${n}`);
        equal(await client.set(name, value, "EX", 1000), "OK");
        equal((await client.getBuffer(name)).equals(value), true);
      }
    }
  }

  async check_at_once() {
    const client = await this.client();
    const many = upTo(500).map((n) => this.key(`many:${n}`));
    await Promise.all(many.map((name, n) => client.set(name, n)));
    equal(await Promise.all(many.map((name) => client.incr(name))), upTo(501).slice(1));
  }

  async check_automatic_pipelines() {
    const client = await this.client({ enableAutoPipelining: true });
    const many = upTo(200).map((n) => this.key(`auto:${n}`));
    await Promise.all(many.map((name, n) => client.set(name, n)));
    equal(await Promise.all(many.map((name) => client.get(name))), upTo(200).map(String));
  }

  async check_pipeline_and_transaction() {
    const client = await this.client();
    const name = (n) => `{${this.key("tag")}}:${n}`;
    const pipeline = client.pipeline();
    upTo(50).forEach((n) => pipeline.set(name(n), n).incr(name(n)));
    equal((await pipeline.exec()).filter(([error]) => error), []);
    const replies = await client.multi().get(name(0)).incr(name(1)).exec();
    equal(replies, [[null, "1"], [null, 3]]);
  }

  async check_scripts() {
    const client = await this.client();
    client.defineCommand("add", { numberOfKeys: 1, lua: ADD });
    equal(await client.add(this.key("sum"), 3), 3);
    equal(await client.add(this.key("sum"), 4), 7);
  }

  async check_errors() {
    const client = await this.client();
    await client.set(this.key("text"), "v");
    await refused(client.lpush(this.key("text"), 1), ReplyError, "WRONGTYPE");
  }
}

run("ioredis-cluster", Checks, [["RESP2", { protocol: 2 }], ["RESP3", { protocol: 3 }]]);
