// Socket.IO servers joined by @socket.io/redis-adapter, over ioredis and over node-redis: HOST PORT [PASSWORD]. Nothing is
// set up for slotmux.

import { createServer } from "node:http";

import { equal, HOST, library, PASSWORD, PORT, run, upTo } from "./checks.mjs";

const { createAdapter } = library("@socket.io/redis-adapter");
const { Server } = library("socket.io");
const { io: connect } = library("socket.io-client");
const Redis = library("ioredis").default;
const { createClient } = library("redis");

const SERVERS = 3;

class Checks {
  constructor(kind) {
    this.kind = kind;
    this.servers = [];
    this.sockets = [];
    this.clients = [];
  }

  /** A connection to Redis, once it is there. */
  async redis() {
    if (this.kind === "ioredis") {
      const client = new Redis({ host: HOST, port: Number(PORT), password: PASSWORD });
      client.on("error", () => {});
      this.clients.push(() => client.disconnect());
      await client.ping();
      return client;
    }
    const client = createClient({ socket: { host: HOST, port: Number(PORT) }, password: PASSWORD });
    client.on("error", () => {});
    // Not at once: the adapter must first learn that its subscriptions have ended.
    this.clients.push(() => client.close().catch(() => {}));
    return client.connect();
  }

  /** Several servers, each with a browser. */
  async start() {
    for (const at of upTo(SERVERS)) {
      const http = createServer();
      const [publisher, subscriber] = [await this.redis(), await this.redis()];
      const adapter = createAdapter(publisher, subscriber, { key: this.key("socket.io"), requestsTimeout: 10_000 });
      const io = new Server(http, { adapter });
      this.servers.push(io);
      await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
      io.on("connection", (socket) => {
        socket.join(`room ${at % 2}`);
        socket.on("answer", (reply) => reply(at));
      });
      const socket = connect(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"] });
      await new Promise((resolve) => socket.on("connect", resolve));
      this.sockets.push(socket);
    }
    // All servers know each other once all count the same number.
    for (const io of this.servers) {
      while ((await io.of("/").adapter.serverCount()) !== SERVERS) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  close() {
    this.sockets.forEach((socket) => socket.disconnect());
    this.servers.forEach((io) => io.close());
    this.clients.forEach((end) => end());
  }

  got(name) {
    return this.sockets.map((socket) => new Promise((resolve) => socket.once(name, resolve)));
  }

  async check_all_are_reached_from_any() {
    await this.start();
    for (const [at, io] of this.servers.entries()) {
      const all = this.got("news");
      io.emit("news", { at });
      equal(await Promise.all(all), upTo(SERVERS).map(() => ({ at })));
    }
  }

  async check_rooms() {
    await this.start();
    const [first, second, third] = this.got("news");
    this.servers[1].to("room 0").emit("news", 0);
    equal([await first, await third], [0, 0]);
    this.servers[0].to("room 1").emit("news", 1);
    equal(await second, 1);
  }

  async check_questions_to_all_servers() {
    await this.start();
    const found = await this.servers[0].fetchSockets();
    equal(found.map((socket) => socket.id).sort(), this.sockets.map((socket) => socket.id).sort());
    await this.servers[2].in("room 0").socketsJoin("late");
    let late = [];
    while (late.length < 2) late = await this.servers[1].in("late").fetchSockets();
    equal(late.length, 2);
  }

  async check_answers_of_servers_and_browsers() {
    await this.start();
    this.servers.forEach((io, at) => io.on("question", (reply) => reply(at)));
    const answers = await new Promise((resolve, reject) =>
      this.servers[0].serverSideEmit("question", (error, replies) => (error ? reject(error) : resolve(replies))));
    equal(answers.sort(), [1, 2]);
    this.sockets.forEach((socket, at) => socket.on("call", (reply) => reply(at)));
    const replies = await this.servers[1].timeout(10_000).emitWithAck("call");
    equal(replies.sort(), [0, 1, 2]);
  }
}

run("socket.io", Checks, [["ioredis", "ioredis"], ["node-redis", "node-redis"]]);
