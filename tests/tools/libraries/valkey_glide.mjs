// valkey-glide for one server, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { equal, PASSWORD, refused, run, upTo } from "./checks.mjs";
import { Common, glide, PROTOCOLS } from "./valkey_glide_common.mjs";

const { Batch, ClosingError, GlideClient, ProtocolVersion } = glide;
const { Exact, Pattern } = glide.GlideClientConfiguration.PubSubChannelModes;

class Checks extends Common {
  Client = GlideClient;

  async check_handshake() {
    const client = await this.client();
    equal(await client.ping(), "PONG");
    equal(await client.clientGetName(), "by-name");
    equal((await client.info()).includes("redis_version:"), true);
    if (PASSWORD) await refused(this.client({ credentials: { password: "wrong" } }), ClosingError, "");
  }

  check_values() {
    return this.values();
  }

  check_many_keys() {
    return this.manyKeys();
  }

  check_batches() {
    return this.batches(Batch);
  }

  async check_watch() {
    const [client, other] = [await this.client(), await this.client()];
    for (const disturbed of [false, true]) {
      equal(await client.watch([this.key("watched")]), "OK");
      if (disturbed) await other.set(this.key("watched"), "other");
      const replies = await client.exec(new Batch(true).set(this.key("watched"), "mine"), true);
      equal(replies, disturbed ? null : ["OK"]);
    }
  }

  check_scripts() {
    return this.scripts();
  }

  check_blocking() {
    return this.blocking();
  }

  async check_subscriptions() {
    // The library has them in RESP3 only.
    if (this.protocol === ProtocolVersion.RESP2) return;
    const channelsAndPatterns = { [Exact]: new Set([this.key("channel")]), [Pattern]: new Set([this.key("pattern*")]) };
    const listener = await this.client({ pubsubSubscriptions: { channelsAndPatterns } });
    const publisher = await this.client();
    for (const n of upTo(20)) {
      for (const channel of ["channel", `pattern:${n}`]) {
        await publisher.publish(`${channel} ${n}`, this.key(channel));
        equal((await listener.getPubSubMessage()).message, `${channel} ${n}`);
      }
    }
  }

  async check_scans() {
    const client = await this.client();
    const names = upTo(200).map((n) => this.key(`scan:${n}`));
    await Promise.all(names.map((name) => client.set(name, "1")));
    const found = new Set();
    let cursor = "0";
    do {
      const [next, page] = await client.scan(cursor, { match: this.key("scan:*"), count: 50 });
      page.forEach((name) => found.add(name));
      cursor = next;
    } while (cursor !== "0");
    equal([...found].sort(), names.sort());
  }

  check_errors() {
    return this.errors();
  }

  async check_reconnect() {
    const [client, other] = [await this.client(), await this.client()];
    const victim = await client.clientId();
    equal(await other.customCommand(["CLIENT", "KILL", "ID", `${victim}`]), 1);
    let again = victim;
    while (again === victim) again = await client.clientId().catch(() => victim);
    equal(await client.clientGetName(), "by-name");
  }
}

run("valkey-glide-node", Checks, PROTOCOLS);
