// node-redis' cluster client, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { ADD, equal, HOST, library, PASSWORD, PATIENCE, PORT, refused, run, upTo } from "./checks.mjs";

const { createCluster, ErrorReply } = library("redis");

class Checks {
  constructor(protocol) {
    this.protocol = protocol;
    this.clients = [];
  }

  async client() {
    const client = createCluster({
      rootNodes: [{ socket: { host: HOST, port: Number(PORT), connectTimeout: PATIENCE } }],
      defaults: { password: PASSWORD },
      RESP: this.protocol,
    });
    client.on("error", () => {});
    this.clients.push(client);
    await client.connect();
    return client;
  }

  close() {
    this.clients.forEach((client) => client.isOpen && client.destroy());
  }

  async check_discovery() {
    const client = await this.client();
    const ports = client.masters.map((node) => node.port);
    equal(ports.includes(Number(PORT)), true, String(ports));
    equal(client.slots.length, 16384);
  }

  async check_at_once() {
    const client = await this.client();
    const many = upTo(500).map((n) => this.key(`many:${n}`));
    await Promise.all(many.map((name, n) => client.set(name, n, { EX: 1000 })));
    equal(await Promise.all(many.map((name) => client.incr(name))), upTo(501).slice(1));
    equal(await Promise.all(many.map((name) => client.del(name))), many.map(() => 1));
  }

  async check_transaction() {
    const client = await this.client();
    const name = (n) => `{${this.key("tag")}}:${n}`;
    equal(await client.multi().set(name(1), "a").get(name(1)).incr(name(2)).exec(), ["OK", "a", 1]);
  }

  async check_scripts() {
    const client = await this.client();
    const call = { keys: [this.key("sum")], arguments: ["5"] };
    equal(await client.eval(ADD, call), 5);
  }

  async check_errors() {
    const client = await this.client();
    await client.set(this.key("text"), "v");
    await refused(client.lPush(this.key("text"), "1"), ErrorReply, "WRONGTYPE");
  }
}

run("node-redis-cluster", Checks, [["RESP2", 2], ["RESP3", 3]]);
