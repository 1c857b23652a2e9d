/** What the real program says of a coordinator that it cannot use. */
import { assertEquals } from "@std/assert";
import { runProxy } from "../harness/proxy.ts";

Deno.test("a coordinator with the same member twice is one line and exit code 2", async () => {
  const place = "etcd://e1:2379,e2:2379,e1:2379/prod";
  const { code, stderr } = await runProxy(
    ["--bind", "127.0.0.1:1", "--hosts", "a:1,b:2", "--coordinator", place],
  );
  const line = `failover: Cannot use "e1:2379" twice as coordinator: expected each member once ` +
    "(from flag --coordinator)";
  assertEquals([code, stderr], [2, [line]]);
});
