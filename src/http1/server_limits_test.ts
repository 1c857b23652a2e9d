import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Deadlines } from "../net/deadlines.ts";
import { Server } from "./server.ts";
import { SERVER_LIMITS } from "./server_limits.ts";

Deno.test("limits that are not set have their defaults", () => {
  const deadlines = new Deadlines(new ManualClock());
  const { limits } = new Server({
    deadlines,
    handler: () => Promise.resolve(),
    limits: { idleMs: 5 },
  });
  assertEquals(limits, { ...SERVER_LIMITS, idleMs: 5 });
});

Deno.test("limits that change later hold for the connections that there are", () => {
  const deadlines = new Deadlines(new ManualClock());
  const server = new Server({ deadlines, handler: () => Promise.resolve() });
  const { limits, connOptions, bodyRules } = server;
  server.setLimits({ writeMs: 1, bodyMs: 2, headBytesMax: 2_000, connectionsMax: 0 });
  assertEquals([connOptions.writeMs, bodyRules.waitMs], [1, 2]);
  assertEquals([limits.headBytesMax, limits.idleMs], [2_000, SERVER_LIMITS.idleMs]);
  assertEquals(server.makeRoom(), false);
  server.setLimits({ connectionsMax: 1 });
  assertEquals(server.makeRoom(), true);
});
