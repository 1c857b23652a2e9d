import { assert, assertEquals } from "@std/assert";
import { pageText } from "./page.ts";

Deno.test("the page of the control socket is reached through a forwarded port", () => {
  const text = pageText({ admin: null, admin_takes_orders: false }, "/run/failover/failover.sock");
  assert(text.includes("ssh -N -L 9911:/run/failover/failover.sock THIS-HOST"), text);
  assert(text.includes("http://localhost:9911/__failover/"), text);
  assert(!text.includes("--admin"), text);
});

Deno.test("the page of the admin listener is named first, if a browser can reach it", () => {
  const first = (admin: string, admin_takes_orders: boolean) =>
    pageText({ admin, admin_takes_orders }, "/c").split("\n").slice(0, 2);
  assertEquals(first("127.0.0.1:9911", false), [
    "The page of --admin, without buttons:",
    "  http://127.0.0.1:9911/__failover/",
  ]);
  assertEquals(
    first("127.0.0.1:9911", true)[0],
    "The page of --admin, with buttons that need the token:",
  );
  assert(first("unix:/run/a", false)[0]!.startsWith("The page of the control socket"));
});
