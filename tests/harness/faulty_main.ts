/**
 * The proxy with a bug: as soon as the file that FAULT_FILE names exists, the part that keeps the
 * record of checks throws once, for the upstream whose name is in the file; or, if the file says
 * `stray`, a promise that nobody awaits is rejected.
 */
import { History } from "../../src/failover/history.ts";

const file = Deno.env.get("FAULT_FILE")!;
const add = History.prototype.add;

History.prototype.add = function (this: History, upstream, result) {
  if (wanted() === upstream) {
    Deno.removeSync(file);
    throw new Error("a bug made by the test");
  }
  if (wanted() === "stray") {
    Deno.removeSync(file);
    void Promise.reject(new Error("a stray bug made by the test"));
  }
  return add.call(this, upstream, result);
};

function wanted(): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

await import("../../src/main.ts");
