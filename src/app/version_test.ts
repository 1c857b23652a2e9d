import { assertEquals, assertMatch } from "@std/assert";
import deno from "../../deno.json" with { type: "json" };
import { VERSION, versionText } from "./version.ts";

Deno.test("the version is that of deno.json, and its line says how this program was made", async () => {
  assertEquals(VERSION, deno.version);
  assertMatch(
    await versionText(),
    /^failover \d+\.\d+\.\d+\S* \((from source|commit \w+), Deno \d\S*, \S+, relay engine (splice|stream)\)$/,
  );
});
