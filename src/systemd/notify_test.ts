import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { EAGAIN, ENOENT } from "../linux/errno.ts";
import { Notifier } from "./notify.ts";

/** A notifier, what it sends, and how the manager answers. */
function notifierOf(env: Readonly<Record<string, string>> = {}) {
  const clock = new ManualClock();
  const sent: string[] = [];
  const lines: string[] = [];
  const manager = { answer: 0, sent, lines, clock };
  const notifier = Notifier.from({ NOTIFY_SOCKET: "@manager", ...env }, 7, {
    clock,
    monotonicUsec: () => 123_456_789_012n,
    onTrouble: (line) => lines.push(line),
    send: (address, bytes) => {
      assertEquals(address[2], 0);
      if (manager.answer === 0) sent.push(new TextDecoder().decode(bytes));
      return manager.answer;
    },
  });
  if (notifier === undefined) throw new Error("no notifier");
  return { notifier, manager };
}

Deno.test("each state has its message, in the words of sd_notify(3)", () => {
  const { notifier, manager } = notifierOf();
  notifier.ready();
  notifier.reloading();
  notifier.ready();
  notifier.stopping();
  notifier.handOver(99);
  assertEquals(manager.sent, [
    "READY=1",
    "RELOADING=1\nMONOTONIC_USEC=123456789012",
    "READY=1",
    "STOPPING=1",
    "MAINPID=99",
  ]);
  // Another process is the service now.
  notifier.stopping();
  notifier.status(() => "I am gone");
  assertEquals(manager.sent.length, 5);
  const next = notifierOf();
  next.notifier.ready(99);
  assertEquals(next.manager.sent, ["READY=1\nMAINPID=99"]);
});

Deno.test("the line about the state is one line, the latest one, and at most one a second", async () => {
  const { notifier, manager: { sent, clock } } = notifierOf();
  notifier.status(() => "one\nREADY=1");
  notifier.status(() => "two");
  notifier.status(() => "three");
  assertEquals(sent, ["STATUS=one READY=1"]);
  await clock.advance(999);
  assertEquals(sent.length, 1);
  await clock.advance(1);
  assertEquals(sent.slice(1), ["STATUS=three"]);
  notifier.status(() => "three");
  await clock.advance(10_000);
  assertEquals(sent.length, 2);
  notifier.status(() => "x".repeat(9_999));
  assertEquals(sent.at(-1)!.length, "STATUS=".length + 500);
  notifier.status(() => "four");
  notifier[Symbol.dispose]();
  await clock.advance(10_000);
  assertEquals(sent.length, 3);
});

Deno.test("it says that it is alive twice in each interval, from when it is ready until another one is", async () => {
  const { notifier, manager: { sent, clock } } = notifierOf({ WATCHDOG_USEC: "10000000" });
  await clock.advance(20_000);
  assertEquals(sent, []);
  notifier.ready();
  await clock.advance(10_000);
  assertEquals(sent, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
  notifier.stopping();
  await clock.advance(5_000);
  assertEquals(sent.slice(3), ["STOPPING=1", "WATCHDOG=1"]);
  notifier.handOver(8);
  await clock.advance(50_000);
  assertEquals(sent.slice(5), ["MAINPID=8"]);
});

Deno.test("a watchdog of another process, or of no time, is not fed", async () => {
  for (
    const env of [
      {},
      { WATCHDOG_USEC: "10000000", WATCHDOG_PID: "8" },
      { WATCHDOG_USEC: "0" },
      { WATCHDOG_USEC: "soon" },
    ]
  ) {
    const { notifier, manager: { sent, clock } } = notifierOf(env);
    notifier.ready();
    await clock.advance(60_000);
    assertEquals(sent, ["READY=1"]);
  }
  const { notifier, manager: { sent, clock } } = notifierOf({
    WATCHDOG_USEC: "10000000",
    WATCHDOG_PID: "7",
  });
  notifier.ready();
  await clock.advance(5_000);
  assertEquals(sent, ["READY=1", "WATCHDOG=1"]);
  notifier[Symbol.dispose]();
});

Deno.test("a full queue of the manager delays messages, keeps their order, and loses the oldest at last", async () => {
  const { notifier, manager } = notifierOf();
  manager.answer = -EAGAIN;
  notifier.ready();
  notifier.stopping();
  await manager.clock.advance(1_000);
  assertEquals([manager.sent, manager.lines], [[], []]);
  manager.answer = 0;
  await manager.clock.advance(100);
  assertEquals(manager.sent, ["READY=1", "STOPPING=1"]);
  manager.answer = -EAGAIN;
  for (let count = 0; count < 40; count++) notifier.reloading();
  await manager.clock.advance(60_000);
  assertEquals(manager.lines.length, 1);
  manager.answer = 0;
  await manager.clock.advance(5_000);
  notifier.ready();
  assertEquals(manager.sent.at(-1), "READY=1");
});

Deno.test("a manager that is gone is one line, however often it is told", () => {
  const { notifier, manager } = notifierOf();
  manager.answer = -ENOENT;
  notifier.ready();
  notifier.stopping();
  assertEquals(manager.lines, [
    "the service manager cannot be notified: no such file or directory",
  ]);
});

Deno.test("without an address there is no notifier, and one of another kind is a line", () => {
  const lines: string[] = [];
  const from = (NOTIFY_SOCKET: string) =>
    Notifier.from({ NOTIFY_SOCKET }, 7, {
      clock: new ManualClock(),
      monotonicUsec: () => 0n,
      onTrouble: (line) => lines.push(line),
    });
  assertEquals([from(""), lines], [undefined, []]);
  const wrong = ["@", "vsock:2:1234", "relative/path", `/${"x".repeat(108)}`];
  for (const place of wrong) assertEquals(from(place), undefined);
  assertEquals(
    lines,
    wrong.map((place) =>
      `NOTIFY_SOCKET is "${place}", which is no unix socket: nobody is notified`
    ),
  );
});
