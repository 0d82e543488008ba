// valkey-glide's cluster client, RESP2 and RESP3: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

import { equal, run, upTo } from "./checks.mjs";
import { Common, glide, PROTOCOLS } from "./valkey_glide_common.mjs";

const { ClusterBatch, ClusterScanCursor, GlideClusterClient } = glide;

class Checks extends Common {
  Client = GlideClusterClient;

  check_values() {
    return this.values();
  }

  check_many_keys() {
    return this.manyKeys();
  }

  check_batches() {
    return this.batches(ClusterBatch);
  }

  check_scripts() {
    return this.scripts();
  }

  check_blocking() {
    return this.blocking();
  }

  async check_scans() {
    const client = await this.client();
    const names = upTo(200).map((n) => this.key(`scan:${n}`));
    await Promise.all(names.map((name) => client.set(name, "1")));
    const found = new Set();
    let cursor = new ClusterScanCursor();
    while (!cursor.isFinished()) {
      const [next, page] = await client.scan(cursor, { match: this.key("scan:*"), count: 50 });
      page.forEach((name) => found.add(name));
      cursor = next;
    }
    equal([...found].sort(), names.sort());
  }

  check_errors() {
    return this.errors();
  }
}

run("valkey-glide-node-cluster", Checks, PROTOCOLS);
