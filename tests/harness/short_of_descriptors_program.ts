/**
 * A process that asks database servers at which nobody listens, at first with descriptors to spare, then without one,
 * and prints how each question failed. In a separate process, since nothing else works without descriptors.
 * Arguments: a kind of database, and the address; then the next pair.
 */
import { AskedServer } from "./ask_server.ts";
import { forbidDescriptors, limit } from "./limits.ts";
import type { Database } from "../../src/health/server_probe.ts";

limit("descriptors", 200);
for (let at = 0; at < Deno.args.length; at += 2) {
  await using asked = new AskedServer(Deno.args[at] as Database, Deno.args[at + 1]!, { user: "a" });
  const usual = await asked.fails();
  const allow = forbidDescriptors();
  const short = await asked.fails();
  allow();
  console.log(Deno.args[at], usual, short);
}
