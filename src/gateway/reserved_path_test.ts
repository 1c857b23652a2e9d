import { assert, assertEquals } from "@std/assert";
import { Hono } from "hono";
import { random } from "../http1/testing/mutations.ts";
import { isReserved, isReservedPath } from "./reserved_path.ts";
import { headOf } from "./testing/fake_client.ts";

Deno.test("reserved paths are recognised in every spelling", () => {
  const own = [
    "/__failover",
    "/__failover/",
    "/__failover/state?a",
    "/__failover?x",
    "/__failover#x",
    "/%5f_failover/state",
    "/%5F%5f%66ailove%72",
    "/__failover/../x",
  ];
  const other = [
    "",
    "*",
    "/",
    "/x",
    "/_",
    "/__failove",
    "/__failovers",
    "/__failover%2Fstate",
    "/%2F__failover",
    "%2f__failover/state",
    "/__failover\\state",
    "/%5g_failover",
    "/%5",
    "/%",
    "/x/../__failover/state",
    "//__failover/state",
    "/__FAILOVER/state",
    "/?/__failover",
  ];
  assertEquals(own.filter((path) => !isReservedPath(path)), []);
  assertEquals(other.filter(isReservedPath), []);
});

Deno.test("Hono agrees which paths are reserved", async () => {
  const app = new Hono();
  app.all("/__failover/*", (c) => c.text("own"));
  app.all("*", (c) => c.text("other"));
  const pieces = "/|/__failover|/__failover/|__failover|%5f_fail|over|%2F|%|x|?|/x".split("|");
  const dice = random(7);
  const seen = { own: 0, other: 0 };
  for (let i = 0; i < 2_000; i++) {
    let path = "";
    for (let count = 1 + dice(4); count > 0; count--) path += pieces[dice(pieces.length)];
    if (!path.startsWith("/")) path = `/${path}`;
    seen[isReservedPath(path) ? "own" : "other"]++;
    const said = await (await app.request(`http://h${path}`)).text();
    assertEquals(isReservedPath(path), said === "own", path);
    // The bytes of the head decide, also for a target in absolute form.
    if (/[^\x21-\x7e]|#/.test(path)) continue;
    for (const target of [path, `http://h${path}`]) {
      const head = headOf(`GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`);
      assertEquals(isReserved(head), said === "own", target);
    }
  }
  assert(seen.own > 200 && seen.other > 200, JSON.stringify(seen));
});
