// Shared by the Node scripts: the server from the command line, values, and the run with its last line.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

export const [HOST, PORT, PASSWORD] = process.argv.slice(2);
export const PATIENCE = 20_000;
export const EVERY_BYTE = Buffer.concat([
  Buffer.from([...Array(256).keys()]),
  Buffer.from("\r\n$3\r\n*1\r\n\0"),
]);
export const BIG = Buffer.from("0123456789abcdef".repeat(65_536));
export const ADD = "return redis.call('incrby', KEYS[1], ARGV[1])";

// The libraries are installed in the working directory, not in the folder of the script.
export const library = createRequire(join(process.cwd(), "script.js"));

export const equal = assert.deepStrictEqual;

/** Asserts the class and a part of the text of the error that a call ends with. */
export async function refused(outcome, kind, text) {
  await assert.rejects(outcome, (error) => {
    assert.ok(error instanceof kind && error.message.includes(text), `${error?.stack} has no ${text}`);
    return true;
  });
}

/** Numbers from 0. */
export const upTo = (end) => [...Array(end).keys()];

/** Every method check_* is one check; `new Checks(...kind)` for each of the kinds, by their titles. */
export async function run(name, Checks, kinds) {
  let passed = 0;
  let failed = 0;
  for (const [title, ...kind] of kinds) {
    const names = Object.getOwnPropertyNames(Checks.prototype).filter((name) => name.startsWith("check_"));
    for (const check of names) {
      const checks = new Checks(...kind);
      const run = `${name}:${randomUUID()}`;
      checks.key = (end) => `${run}:${end}`;
      let timer;
      try {
        const late = new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error("it did not end")), 3 * PATIENCE);
        });
        await Promise.race([checks[check](), late]);
        passed += 1;
      } catch (error) {
        failed += 1;
        console.log(`FAILED ${name} ${title} ${check}\n${error.stack}`);
      } finally {
        clearTimeout(timer);
        checks.close();
      }
    }
  }
  console.log(`${name}: ${passed} passed, ${failed} failed`);
  process.exit(Math.min(failed, 1));
}
