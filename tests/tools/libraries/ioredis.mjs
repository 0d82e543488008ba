// ioredis, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { once } from "node:events";
import { ADD, BIG, equal, EVERY_BYTE, HOST, library, PASSWORD, PATIENCE, PORT, refused, run, upTo } from "./checks.mjs";

const { Redis, ReplyError } = library("ioredis");

class Checks {
  constructor(options) {
    this.options = options;
    this.clients = [];
  }

  client(more = {}) {
    const base = { host: HOST, port: Number(PORT), password: PASSWORD, commandTimeout: PATIENCE };
    const client = new Redis({ ...base, ...this.options, ...more });
    // Connection errors reach the calls that they end; without a handler they would be printed as well.
    client.on("error", () => {});
    this.clients.push(client);
    return client;
  }

  close() {
    this.clients.forEach((client) => client.disconnect());
  }

  async check_handshake() {
    const client = this.client({ connectionName: "by-name", db: 0 });
    equal(await client.ping(), "PONG");
    equal(await client.echo("hello"), "hello");
    equal(await client.client("GETNAME"), "by-name");
    const info = await client.client("INFO");
    equal(info.includes(" name=by-name "), true, info);
    equal(new RegExp(`\\bresp=${this.options.protocol}\\b`).test(info), true, info);
    equal((await client.info("server")).includes("redis_version:"), true);
  }

  async check_defaults() {
    const user = PASSWORD ? `:${encodeURIComponent(PASSWORD)}@` : "";
    const client = new Redis(`redis://${user}${HOST}:${PORT}/0`);
    this.clients.push(client);
    equal(await client.ping(), "PONG");
  }

  async check_password() {
    if (!PASSWORD) return;
    const once = { lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0 };
    for (const [password, text] of [["certainly wrong", "WRONGPASS"], [undefined, "NOAUTH"]]) {
      const client = this.client({ ...once, password });
      const told = new Promise((resolve) => client.on("error", resolve));
      client.connect().catch(() => {});
      await refused(told.then((error) => Promise.reject(error)), ReplyError, text);
    }
  }

  async check_strings() {
    const client = this.client();
    for (const name of [this.key("k"), Buffer.concat([Buffer.from(this.key("bytes")), EVERY_BYTE])]) {
      for (const value of [Buffer.from("v"), Buffer.alloc(0), EVERY_BYTE, BIG]) {
        equal(await client.set(name, value, "EX", 1000), "OK");
        equal((await client.getBuffer(name)).equals(value), true);
        equal(await client.strlen(name), value.length);
      }
    }
    equal(await client.get(this.key("missing")), null);
    equal(await client.set(this.key("k"), "x", "NX"), null);
    equal(await client.set(this.key("text"), "grün"), "OK");
    equal(await client.get(this.key("text")), "grün");
    equal(await client.ttl(this.key("missing")), -2);
  }

  async check_many_keys() {
    const client = this.client();
    const many = upTo(300).map((n) => this.key(`many:${n}`));
    equal(await client.mset(Object.fromEntries(many.map((key, n) => [key, n]))), "OK");
    equal(await client.mget([...many, this.key("missing")]), [...upTo(300).map(String), null]);
    equal(await client.exists(...many, this.key("missing")), 300);
    equal(await client.del(many.slice(0, 200)), 200);
    equal(await client.unlink(many), 100);
  }

  async check_types() {
    const client = this.client();
    equal(await client.hset(this.key("h"), { a: 1, b: "two" }), 2);
    equal({ ...(await client.hgetall(this.key("h"))) }, { a: "1", b: "two" });
    equal(await client.zadd(this.key("z"), 1, "a", 2.5, "b"), 2);
    equal((await client.zrange(this.key("z"), 0, -1, "WITHSCORES")).flat().map(String), ["a", "1", "b", "2.5"]);
    equal(await client.sadd(this.key("s"), "a", "b"), 2);
    equal([...(await client.smembers(this.key("s")))].sort(), ["a", "b"]);
    equal(await client.rpush(this.key("l"), ...upTo(10)), 10);
    equal(await client.lrange(this.key("l"), 2, 4), ["2", "3", "4"]);
    equal(await client.xadd(this.key("x"), "5-1", "field", "value"), "5-1");
    equal(await client.xrange(this.key("x"), "-", "+"), [["5-1", ["field", "value"]]]);
    equal(await client.type(this.key("h")), "hash");
  }

  async check_raw_replies() {
    const client = this.client();
    await client.call("HSET", this.key("raw h"), "a", "1");
    await client.call("ZADD", this.key("raw z"), "1.5", "a");
    const typed = this.options.replyMapping === "resp3";
    const map = await client.call("HGETALL", this.key("raw h"));
    equal(typed ? { ...map } : map, typed ? { a: "1" } : ["a", "1"]);
    equal(await client.call("ZSCORE", this.key("raw z"), "a"), typed ? 1.5 : "1.5");
  }

  async check_scripts() {
    const client = this.client();
    equal(await client.eval(ADD, 1, this.key("n"), 5), 5);
    await refused(client.evalsha("0".repeat(40), 1, this.key("n")), ReplyError, "NOSCRIPT No matching script");
    // Sent in full if it is missing: here, on the node of every key.
    client.defineCommand("add", { numberOfKeys: 1, lua: `${ADD} -- ${this.key("add")}` });
    for (const n of upTo(21)) equal(await client.add(this.key(`script:${n % 7}`), 1), Math.floor(n / 7) + 1);
    // In a pipeline it is sent in full with the first call only.
    client.defineCommand("addPiped", { numberOfKeys: 1, lua: `${ADD} -- ${this.key("piped")}` });
    const pipeline = client.pipeline();
    for (const n of upTo(21)) pipeline.addPiped(this.key(`{piped}:${n % 7}`), 1);
    equal(await pipeline.exec(), upTo(21).map((n) => [null, Math.floor(n / 7) + 1]));
  }

  async check_errors() {
    const client = this.client();
    await client.set(this.key("text"), "text");
    await refused(client.hget(this.key("text"), "a"), ReplyError, "WRONGTYPE");
    await refused(client.incr(this.key("text")), ReplyError, "value is not an integer or out of range");
    await refused(client.call("NO-SUCH", "a"), ReplyError, "unknown command 'NO-SUCH'");
    await refused(client.call("GET"), ReplyError, "wrong number of arguments for 'get'");
    await refused(client.client("NOPE"), ReplyError, "unknown subcommand 'NOPE'");
    equal(await client.get(this.key("text")), "text");
  }

  async check_pipelines() {
    const client = this.client();
    const pipeline = client.pipeline();
    for (const n of upTo(2000)) pipeline.set(this.key(`p:${n}`), n).get(this.key(`p:${n}`));
    equal(await pipeline.exec(), upTo(2000).flatMap((n) => [[null, "OK"], [null, String(n)]]));
    const mixed = await client.pipeline().set(this.key("p:0"), "a").incr(this.key("p:0")).get(this.key("p:0")).exec();
    equal([mixed[0], mixed[1][0] instanceof ReplyError, mixed[2]], [[null, "OK"], true, [null, "a"]]);
    const automatic = this.client({ enableAutoPipelining: true });
    const found = await Promise.all(upTo(2000).map((n) => automatic.get(this.key(`p:${n}`))));
    equal(found, ["a", ...upTo(2000).slice(1).map(String)]);
  }

  async check_twenty_connections() {
    const work = async (client, number) => {
      for (const n of upTo(50)) {
        equal(await client.set(this.key(`t:${number}:${n}`), n), "OK");
        equal(await client.get(this.key(`t:${number}:${n}`)), String(n));
        await client.incr(this.key("t:sum"));
      }
    };
    await Promise.all(upTo(20).map((number) => work(this.client(), number)));
    equal(await this.client().getdel(this.key("t:sum")), "1000");
  }

  async check_reconnect() {
    const [client, other] = [this.client(), this.client()];
    const victim = await client.client("ID");
    equal(await other.client("KILL", "ID", victim), 1);
    equal(await client.set(this.key("again"), 1), "OK");
    equal((await client.client("ID")) !== victim, true, "another connection");
    const ended = once(client, "end");
    equal(await client.quit(), "OK");
    await ended;
    await client.connect();
    equal(await client.get(this.key("again")), "1");
  }
}

await run("ioredis", Checks, [
  ["RESP2", { protocol: 2 }],
  ["RESP3", { protocol: 3 }],
  ["RESP3 typed", { protocol: 3, replyMapping: "resp3" }],
]);
