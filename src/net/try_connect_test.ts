import { assert, assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { unusedPort } from "../base/testing/ports.ts";
import { Fault } from "../base/fault.ts";
import { tryConnectByDeno } from "./try_connect.ts";
import { untilRefused } from "./testing/refused.ts";

const LIMITS = { clock: realClock, timeoutMs: 60_000, signal: new AbortController().signal };

Deno.test("an address is tried by a connection that is closed at once", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
  const address = { kind: "tcp", host: "127.0.0.1", port: listener.addr.port } as const;
  assertEquals(await tryConnectByDeno(address, LIMITS), "connected");
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
  listener.close();
  await untilRefused(address.port);
  const outcome = await tryConnectByDeno(address, LIMITS);
  assert(outcome instanceof Fault && outcome.fault === "connectRefused");
  assertEquals(
    await tryConnectByDeno(address, { ...LIMITS, signal: AbortSignal.abort() }),
    undefined,
  );
});
