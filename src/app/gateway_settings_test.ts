import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { httpOf } from "../config/testing/config.ts";
import type { Event } from "../events/events.ts";
import { DEFAULT_PAGE } from "../gateway/error_page.ts";
import { newClientTables } from "../net/client_limit.ts";
import {
  accessLogFor,
  clientLimitFor,
  clientLimits,
  endAccessLog,
  gatewaySettings,
} from "./gateway_settings.ts";

const HTTP = ["--primary", "http://a.example", "--backup", "http://b.example"];

Deno.test("each limit for clients comes from its own option", () => {
  const config = httpOf([
    ...HTTP,
    ...["--max-head", "1KB", "--head-timeout", "2s", "--body-timeout", "3s"],
    ...["--write-timeout", "4s", "--keep-alive-timeout", "5s", "--accept-proxy", "v2", "--h2c"],
  ]);
  const limits = {
    headBytesMax: 1_024,
    headMs: 2_000,
    bodyMs: 3_000,
    writeMs: 4_000,
    idleMs: 5_000,
  };
  assertEquals(clientLimits(config), { limits, h2c: true, acceptProxy: "v2" });
  assertEquals("acceptProxy" in clientLimits(httpOf(HTTP)), false);
});

Deno.test("the settings of a gateway are the options of its service", () => {
  const config = httpOf([
    ...HTTP,
    "--hold",
    "7s",
    "--hold-clients",
    "9",
    "--request-id",
    "--allow-trace",
  ]);
  const { holdMs, heldMax, requestId, allowTrace, pseudonym, errorPage } = gatewaySettings(
    config,
    DEFAULT_PAGE,
    "failover-1",
  );
  assertEquals([holdMs, heldMax, requestId, allowTrace], [7_000, 9, true, true]);
  assertEquals([pseudonym, errorPage], ["failover-1", DEFAULT_PAGE]);
});

Deno.test("there is an access log only if one is configured, and closing it takes a second at most", async () => {
  const clock = new ManualClock();
  const never = new Promise<never>(() => {});
  const parts = { clock, publish: () => {}, write: () => never };
  assertEquals(accessLogFor(httpOf(HTTP), parts), undefined);
  await endAccessLog(undefined, clock);
  const log = accessLogFor(httpOf([...HTTP, "--access-log", "-"]), parts)!;
  log.refused(
    Object.assign(new (await import("../base/fault.ts")).Fault("badRequest")),
    "peer",
    "http",
  );
  let hasEnded = false;
  const ending = endAccessLog(log, clock).then(() => hasEnded = true);
  await clock.advance(999);
  assertEquals(hasEnded, false);
  await clock.advance(1);
  await ending;
});

Deno.test("connections of one client are limited only if that is configured, and refusals are published", () => {
  const clock = new ManualClock();
  const events: Event[] = [];
  const context = { clock, publish: (event: Event) => void events.push(event) };
  assertEquals(clientLimitFor(undefined, 0, context), {});
  const { clientLimit } = clientLimitFor(newClientTables(1, 10, 1), 0, context);
  clientLimit!.enter("192.0.2.1");
  assertEquals(clientLimit!.enter("192.0.2.1"), undefined);
  assertEquals(events, [{ type: "client.limited", client: "192.0.2.1", max: 1, count: 1 }]);
});
