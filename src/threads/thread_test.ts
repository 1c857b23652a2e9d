/** What a thread does about bugs of its shards, and how it ends. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { ThreadGroup } from "./thread_group.ts";

const ignore = Deno.build.os !== "linux";
const SCRIPT = new URL("./testing/noting_thread.ts", import.meta.url);

Deno.test({
  name: "a rejected promise in a thread that runs promises is reported, and the thread goes on",
  ignore,
  async fn() {
    const faulted = Promise.withResolvers<Event>();
    const group = new ThreadGroup({
      ...{ clock: new ManualClock(), threads: 1, kinds: ["promising"], script: SCRIPT },
      publish: faulted.resolve,
    });
    const service = group.addService({
      ...{ kind: "promising", settings: {}, limits: [], accountForDeath: () => 0 },
      onReport: () => {},
    });
    await service.order({ do: "message", what: "reject" });
    const event = await faulted.promise;
    assertMatch(event.type === "proxy.faulted" ? event.reason : event.type, /nobody awaits this/);
    await service.order({ do: "message", what: "count" });
    assertEquals(service.counters(["counted"]), { counted: 1 });
    assertEquals(await service.stop(0).ended, 2);
    await group[Symbol.asyncDispose]();
  },
});

Deno.test({
  name: "new limits are in force in all threads before the shard learns of its new settings",
  ignore,
  async fn() {
    const reports: unknown[] = [];
    const group = new ThreadGroup({
      ...{ clock: new ManualClock(), threads: 1, kinds: ["plain"], script: SCRIPT },
      publish: () => {},
    });
    const service = group.addService({
      ...{ kind: "plain", settings: {}, limits: [5], accountForDeath: () => 0 },
      onReport: (report) => report.is === "message" && reports.push(report.what),
    });
    await service.order({ do: "configure", settings: "new", limits: [7] });
    assertEquals(reports.filter((what) => what !== "look").at(-1), "configure 7");
    await service.stop(0).ended;
    await group[Symbol.asyncDispose]();
  },
});
