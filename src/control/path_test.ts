import { assertEquals } from "@std/assert";
import { defaultControlPath } from "./path.ts";

Deno.test("the control socket is in the folder of the service, of the user's session, or of the system", () => {
  const all = { RUNTIME_DIRECTORY: "/run/a:/run/b", XDG_RUNTIME_DIR: "/run/user/7" };
  assertEquals(defaultControlPath(all, "linux"), "/run/a/failover.sock");
  assertEquals(
    defaultControlPath({ ...all, RUNTIME_DIRECTORY: "" }, "linux"),
    "/run/user/7/failover.sock",
  );
  assertEquals(defaultControlPath({}, "linux"), "/run/failover/failover.sock");
  assertEquals(defaultControlPath(all, "windows"), undefined);
});
