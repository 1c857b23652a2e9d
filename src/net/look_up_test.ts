import { assert, assertEquals } from "@std/assert";
import { systemLookUp } from "./look_up.ts";

Deno.test("a name is looked up as the system does it, /etc/hosts included", async () => {
  const found = await systemLookUp("localhost");
  assert(found.includes("127.0.0.1") || found.includes("::1"), found.join());
});

Deno.test("a look-up that fails has no addresses, and does not reject", async () => {
  // A label of 64 characters is too long (RFC 1035 section 2.3.4), so no name service is asked.
  assertEquals(await systemLookUp(`${"x".repeat(64)}.invalid`), []);
});
