/** All threads of a process, with real threads whose shards only report what they get. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { ShardReport } from "./messages.ts";
import { ThreadGroup } from "./thread_group.ts";

const ignore = Deno.build.os !== "linux";
const SCRIPT = new URL("./testing/noting_thread.ts", import.meta.url);

/** A group with one service of this kind, and what its shards and the group report. */
function groupOf(threads: number, kind = "plain") {
  const clock = new ManualClock();
  const reports: string[] = [];
  const events: Event[] = [];
  let wake = () => {};
  const note = (thread: number, report: ShardReport) => {
    if (report.is === "message") reports.push(`${thread} ${report.what}`);
    wake();
  };
  const group = new ThreadGroup({
    ...{ clock, threads, kinds: [kind], script: SCRIPT },
    publish: (event) => {
      events.push(event);
      wake();
    },
  });
  const service = group.addService({
    ...{ kind, settings: "set", limits: [] },
    onReport: (report, thread) => note(thread, report),
    accountForDeath: () => 4,
  });
  /** Waits until `fact` holds; each report and each event is a reason to look again. */
  const until = async (fact: () => boolean) => {
    while (!fact()) await new Promise<void>((resolve) => wake = resolve);
  };
  return { group, service, clock, reports, events, until };
}

Deno.test({
  name: "a service begins in all threads, and an order is in force when it resolves",
  ignore,
  async fn() {
    const { group, service, reports, until } = groupOf(2);
    assertEquals([group.threads, group.living], [2, [0, 1]]);
    await service.order({ do: "message", what: "count" });
    assertEquals(service.counters(["counted"]), { counted: 2 });
    service.orderOne(1, { do: "message", what: "alone" });
    await until(() => reports.includes("1 alone"));
    assertEquals(reports.filter((line) => line.endsWith("begun,set")).sort(), [
      ...["0 begun,set", "1 begun,set"],
    ]);
    assertEquals(reports.includes("0 alone"), false);
    const { inForce, ended } = service.stop(0);
    await inForce;
    assertEquals(await ended, 4);
    await group[Symbol.asyncDispose]();
  },
});

Deno.test({
  name:
    "a thread that dies is replaced after a pause, and gets the service with its standing orders",
  ignore,
  async fn() {
    const { group, service, clock, reports, events, until } = groupOf(2);
    await service.order({ do: "hold" }, "route");
    service.orderOne(0, { do: "message", what: "die" });
    await until(() => events.length > 0);
    const [died] = events;
    assertEquals(died?.type === "worker.died" && [died.worker, died.sessions, died.retryInMs], [
      ...[1, 4, 250],
    ]);
    assertMatch(died?.type === "worker.died" ? died.reason : "", /a bug, made by a test/);
    assertEquals(group.living, [1]);
    await until(() => reports.includes("1 look"));
    reports.length = 0;
    await clock.advance(250);
    await until(() => reports.includes("0 hold"));
    const ofNew = reports.filter((line) => line.startsWith("0 ") && line !== "0 look");
    assertEquals([ofNew, group.living], [["0 begun,set", "0 hold"], [0, 1]]);
    const { ended } = service.stop(0);
    await ended;
    await group[Symbol.asyncDispose]();
    assertEquals(clock.pending, 0);
  },
});

Deno.test({
  name: "a service that has stopped gets no reports, and no thread that starts later gets it",
  ignore,
  async fn() {
    const { group, service, reports } = groupOf(1);
    await service.stop(0).ended;
    reports.length = 0;
    const other = group.addService({
      ...{ kind: "plain", settings: "other", limits: [], accountForDeath: () => 0 },
      onReport: (report) => report.is === "message" && reports.push(String(report.what)),
    });
    await other.order({ do: "refuse" });
    await service.order({ do: "hold" });
    assertEquals(reports.includes("hold"), false);
    await other.stop(0).ended;
    await group[Symbol.asyncDispose]();
  },
});
