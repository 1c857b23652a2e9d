/**
 * The proxy with a bug in it: as soon as the file that FAULT_FILE names is there, the part that keeps the
 * record of checks throws once, for the upstream whose name is in the file; or, if the file says
 * `stray`, a promise that nobody awaits is rejected.
 */
import { History } from "../../src/failover/history.ts";

const file = Deno.env.get("FAULT_FILE")!;
const add = History.prototype.add;

History.prototype.add = function (this: History, upstream, result) {
  if (wanted() === upstream) {
    Deno.removeSync(file);
    throw new Error("a bug on purpose");
  }
  if (wanted() === "stray") {
    Deno.removeSync(file);
    void Promise.reject(new Error("a stray bug on purpose"));
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
