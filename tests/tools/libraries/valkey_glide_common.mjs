// Shared by the programs with valkey-glide's two clients: what both of them can.

import { ADD, BIG, equal, EVERY_BYTE, HOST, library, PASSWORD, PATIENCE, PORT, refused, upTo } from "./checks.mjs";

export const glide = library("@valkey/valkey-glide");
const { Decoder, RequestError, Script } = glide;

// Its warnings of replies that are errors would come between the lines of the checks.
glide.Logger.setLoggerConfig("off");

export const PROTOCOLS = [["RESP2", glide.ProtocolVersion.RESP2], ["RESP3", glide.ProtocolVersion.RESP3]];

/** A subclass names its Client. */
export class Common {
  constructor(protocol) {
    this.protocol = protocol;
    this.clients = [];
  }

  async client(more = {}) {
    const client = await this.Client.createClient({
      addresses: [{ host: HOST, port: Number(PORT) }],
      credentials: PASSWORD ? { password: PASSWORD } : undefined,
      protocol: this.protocol,
      requestTimeout: PATIENCE,
      clientName: "by-name",
      ...more,
    });
    this.clients.push(client);
    return client;
  }

  close() {
    this.clients.forEach((client) => client.close());
  }

  async values() {
    const client = await this.client();
    for (const value of [Buffer.from("v"), Buffer.alloc(0), EVERY_BYTE, BIG]) {
      for (const n of upTo(10)) {
        const name = this.key(`value:${n}`);
        equal(await client.set(name, value, { expiry: { type: "EX", count: 1000 } }), "OK");
        equal((await client.get(name, { decoder: Decoder.Bytes })).equals(value), true);
      }
    }
    equal(await client.get(this.key("missing")), null);
    equal(await client.hset(this.key("h"), { a: "1", b: "2" }), 2);
    equal(await client.hgetall(this.key("h")), [{ field: "a", value: "1" }, { field: "b", value: "2" }]);
    equal(await client.zadd(this.key("z"), { a: 1.5 }), 1);
    equal(await client.zscore(this.key("z"), "a"), 1.5);
  }

  async manyKeys() {
    const client = await this.client();
    const many = upTo(200).map((n) => this.key(`many:${n}`));
    equal(await client.mset(Object.fromEntries(many.map((name, n) => [name, `${n}`]))), "OK");
    equal(await client.mget(many), upTo(200).map(String));
    equal(await client.del(many), 200);
    equal(await Promise.all(many.map((name, n) => client.incrBy(name, n))), upTo(200));
  }

  async batches(Kind) {
    const client = await this.client();
    const pipeline = new Kind(false);
    upTo(200).forEach((n) => pipeline.set(this.key(`b:${n}`), `${n}`).get(this.key(`b:${n}`)));
    equal(await client.exec(pipeline, true), upTo(200).flatMap((n) => ["OK", `${n}`]));
    const atomic = new Kind(true).set(this.key("{t}a"), "1").incr(this.key("{t}a")).incrBy(this.key("{t}b"), 5);
    equal(await client.exec(atomic, true), ["OK", 2, 5]);
  }

  async scripts() {
    const client = await this.client();
    const script = new Script(`${ADD} -- ${this.key("script")}`);
    for (const n of upTo(21)) {
      equal(await client.invokeScript(script, { keys: [this.key(`s:${n}`)], args: [`${n}`] }), n);
    }
    script.release();
  }

  async blocking() {
    const [client, other] = [await this.client(), await this.client()];
    const popped = client.blpop([this.key("list")], 10);
    equal(await other.rpush(this.key("list"), ["x"]), 1);
    equal(await popped, [this.key("list"), "x"]);
    equal(await client.blpop([this.key("list")], 0.1), null);
  }

  async errors() {
    const client = await this.client();
    await client.set(this.key("text"), "text");
    await refused(client.lpush(this.key("text"), ["x"]), RequestError, "wrong kind");
    await refused(client.incr(this.key("text")), RequestError, "not an integer");
  }
}
