// node-redis, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { ADD, BIG, equal, EVERY_BYTE, HOST, library, PASSWORD, PATIENCE, PORT, refused, run, upTo } from "./checks.mjs";

const {
  BasicClientSideCache, createClient, createClientPool, defineScript, ErrorReply, RESP_TYPES,
} = library("redis");

class Checks {
  constructor(protocol) {
    this.protocol = protocol;
    this.clients = [];
  }

  options(more) {
    const socket = { host: HOST, port: Number(PORT), connectTimeout: PATIENCE };
    return { socket, password: PASSWORD, RESP: this.protocol, ...more };
  }

  async client(more = {}) {
    const client = createClient(this.options(more));
    // Connection errors reach the calls that they end; without a handler they would end the process.
    client.on("error", () => {});
    this.clients.push(client);
    return await client.connect();
  }

  close() {
    this.clients.forEach((client) => client.isOpen && client.destroy());
  }

  async check_handshake() {
    const client = await this.client({ name: "by-name", database: 0 });
    equal(await client.ping(), "PONG");
    equal(await client.echo("hello"), "hello");
    equal(await client.clientGetName(), "by-name");
    const info = await client.sendCommand(["CLIENT", "INFO"]);
    equal(info.includes(" name=by-name "), true, info);
    equal(new RegExp(`\\bresp=${this.protocol}\\b`).test(info), true, info);
    equal((await client.info("server")).includes("redis_version:"), true);
  }

  async check_defaults() {
    const user = PASSWORD ? `:${encodeURIComponent(PASSWORD)}@` : "";
    const client = createClient({ url: `redis://${user}${HOST}:${PORT}/0` });
    this.clients.push(client.on("error", () => {}));
    equal(await (await client.connect()).ping(), "PONG");
  }

  async check_password() {
    if (!PASSWORD) return;
    const socket = { ...this.options().socket, reconnectStrategy: false };
    await refused(this.client({ socket, password: "certainly wrong" }), ErrorReply, "WRONGPASS");
    const missing = this.client({ socket, password: undefined });
    await refused(missing.then((client) => client.ping()), ErrorReply, "NOAUTH");
  }

  async check_strings() {
    const client = (await this.client()).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    for (const name of [this.key("k"), Buffer.concat([Buffer.from(this.key("bytes")), EVERY_BYTE])]) {
      for (const value of [Buffer.from("v"), Buffer.alloc(0), EVERY_BYTE, BIG]) {
        equal(String(await client.set(name, value, { EX: 1000 })), "OK");
        equal((await client.get(name)).equals(value), true);
        equal(await client.strLen(name), value.length);
      }
    }
    const text = await this.client();
    equal(await text.get(this.key("missing")), null);
    equal(await text.set(this.key("k"), "x", { NX: true }), null);
    equal(await text.set(this.key("text"), "grün"), "OK");
    equal(await text.get(this.key("text")), "grün");
    equal(await text.ttl(this.key("missing")), -2);
  }

  async check_many_keys() {
    const client = await this.client();
    const many = upTo(300).map((n) => this.key(`many:${n}`));
    equal(await client.mSet(many.map((key, n) => [key, String(n)])), "OK");
    equal(await client.mGet([...many, this.key("missing")]), [...upTo(300).map(String), null]);
    equal(await client.exists([...many, this.key("missing")]), 300);
    equal(await client.del(many.slice(0, 200)), 200);
    equal(await client.unlink(many), 100);
  }

  async check_types() {
    const client = await this.client();
    equal(await client.hSet(this.key("h"), { a: 1, b: "two" }), 2);
    equal({ ...(await client.hGetAll(this.key("h"))) }, { a: "1", b: "two" });
    const scored = [{ value: "a", score: 1 }, { value: "b", score: 2.5 }, { value: "c", score: Infinity }];
    equal(await client.zAdd(this.key("z"), scored), 3);
    equal((await client.zRangeWithScores(this.key("z"), 0, -1)).map((item) => ({ ...item })), scored);
    equal(await client.zScore(this.key("z"), "missing"), null);
    equal(await client.sAdd(this.key("s"), ["a", "b"]), 2);
    equal([...(await client.sMembers(this.key("s")))].sort(), ["a", "b"]);
    equal(await client.rPush(this.key("l"), upTo(10).map(String)), 10);
    equal(await client.lRange(this.key("l"), 2, 4), ["2", "3", "4"]);
    equal(await client.xAdd(this.key("x"), "5-1", { field: "value" }), "5-1");
    const [entry] = await client.xRange(this.key("x"), "-", "+");
    equal([entry.id, { ...entry.message }], ["5-1", { field: "value" }]);
    equal(await client.type(this.key("h")), "hash");
  }

  async check_raw_replies() {
    const client = await this.client();
    await client.sendCommand(["HSET", this.key("raw h"), "a", "1"]);
    await client.sendCommand(["ZADD", this.key("raw z"), "1.5", "a"]);
    const typed = this.protocol === 3;
    const map = await client.sendCommand(["HGETALL", this.key("raw h")]);
    equal(typed ? { ...map } : map, typed ? { a: "1" } : ["a", "1"]);
    equal(await client.sendCommand(["ZSCORE", this.key("raw z"), "a"]), typed ? 1.5 : "1.5");
  }

  async check_scripts() {
    const add = defineScript({
      SCRIPT: `${ADD} -- ${this.key("add")}`,
      NUMBER_OF_KEYS: 1,
      parseCommand(parser, key, amount) {
        parser.pushKey(key);
        parser.push(String(amount));
      },
      transformReply: undefined,
    });
    const client = await this.client({ scripts: { add } });
    equal(await client.eval(ADD, { keys: [this.key("n")], arguments: ["5"] }), 5);
    const unknown = client.evalSha("0".repeat(40), { keys: [this.key("n")], arguments: [] });
    await refused(unknown, ErrorReply, "NOSCRIPT No matching script");
    // Sent in full if it is missing: here, on the node of every key.
    for (const n of upTo(21)) equal(await client.add(this.key(`script:${n % 7}`), 1), Math.floor(n / 7) + 1);
  }

  async check_errors() {
    const client = await this.client();
    await client.set(this.key("text"), "text");
    await refused(client.hGet(this.key("text"), "a"), ErrorReply, "WRONGTYPE");
    await refused(client.incr(this.key("text")), ErrorReply, "value is not an integer or out of range");
    await refused(client.sendCommand(["NO-SUCH", "a"]), ErrorReply, "unknown command 'NO-SUCH'");
    await refused(client.sendCommand(["GET"]), ErrorReply, "wrong number of arguments for 'get'");
    await refused(client.sendCommand(["CLIENT", "NOPE"]), ErrorReply, "unknown subcommand 'NOPE'");
    equal(await client.get(this.key("text")), "text");
  }

  async check_pipelines() {
    const client = await this.client();
    const pipeline = client.multi();
    for (const n of upTo(2000)) pipeline.set(this.key(`p:${n}`), n).get(this.key(`p:${n}`));
    equal(await pipeline.execAsPipeline(), upTo(2000).flatMap((n) => ["OK", String(n)]));
    const mixed = client.multi().set(this.key("p:0"), "a").incr(this.key("p:0")).set(this.key("p:0"), "b");
    await refused(mixed.execAsPipeline(), ErrorReply, "value is not an integer or out of range");
    const found = await Promise.all(upTo(2000).map((n) => client.get(this.key(`p:${n}`))));
    equal(found, ["b", ...upTo(2000).slice(1).map(String)]);
  }

  async check_twenty_connections() {
    const pool = createClientPool(this.options(), { minimum: 20, maximum: 20 });
    this.clients.push(pool.on("error", () => {}));
    await pool.connect();
    const work = (number) => pool.execute(async (client) => {
      for (const n of upTo(50)) {
        equal(await client.set(this.key(`t:${number}:${n}`), n), "OK");
        equal(await client.get(this.key(`t:${number}:${n}`)), String(n));
        await client.incr(this.key("t:sum"));
      }
    });
    await Promise.all(upTo(20).map(work));
    equal(await pool.getDel(this.key("t:sum")), "1000");
  }

  async check_client_side_cache() {
    if (this.protocol === 2) return; // No cache there.
    const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0 });
    const [caching, other] = [await this.client({ clientSideCache: cache }), await this.client()];
    const keys = upTo(100).map((n) => this.key(`cached:${n}`));
    for (const value of ["old", "new", "newest"]) {
      await Promise.all(keys.map((key) => other.set(key, value)));
      const until = Date.now() + PATIENCE;
      const read = () => Promise.all(keys.map((key) => caching.get(key)));
      while ((await read()).some((found) => found !== value)) {
        equal(Date.now() < until, true, "what is cached is right at last");
        // Cached values are returned without reading the socket.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    equal(cache.size(), keys.length);
  }

  async check_reconnect() {
    const [client, other] = [await this.client(), await this.client()];
    const victim = await client.clientId();
    const back = new Promise((resolve) => client.once("ready", resolve));
    equal(await other.clientKill({ filter: "ID", id: victim }), 1);
    await back;
    equal(await client.set(this.key("again"), 1), "OK");
    equal((await client.clientId()) !== victim, true, "another connection");
    await client.quit();
    equal(client.isOpen, false);
    await client.connect();
    equal(await client.get(this.key("again")), "1");
  }
}

await run("node-redis", Checks, [["RESP2", 2], ["RESP3", 3]]);
