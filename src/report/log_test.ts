import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Event } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";
import { jsonLine, personLine, sentenceOf } from "./lines.ts";
import { Log, type LogSettings, type Sink } from "./log.ts";
import { stamped } from "./testing/stamped.ts";

const DOWN: Event = {
  type: "upstream.down",
  upstream: "db1:5432",
  reason: "connection refused",
  failingMs: 40,
};

/** A sink that writes nothing until it is opened, and then only a part at a time. */
class SlowSink implements Sink {
  text = "";
  #gate = Promise.withResolvers<void>();
  open(): void {
    this.#gate.resolve();
  }
  async write(bytes: Uint8Array): Promise<number> {
    await this.#gate.promise;
    const part = bytes.subarray(0, 1_000);
    this.text += new TextDecoder().decode(part);
    return part.length;
  }
}

async function logged(settings: LogSettings, ...events: readonly Stamped[]): Promise<string> {
  const sink = new SlowSink();
  sink.open();
  const log = new Log(settings, sink);
  events.forEach(log.take);
  await log.flushed();
  return sink.text;
}

Deno.test("a text line has the time, the level, the service and a sentence", () => {
  assertEquals(
    personLine(stamped(DOWN)),
    "2026-11-21 03:00:00.123Z WARN  [orders] upstream db1:5432 is down: connection refused",
  );
  assertEquals(personLine(stamped(DOWN, "")).includes("["), false);
});

Deno.test("a JSON line holds the same sentence and the event's own fields", () => {
  assertEquals(JSON.parse(jsonLine(stamped(DOWN))), {
    time: "2026-11-21T03:00:00.123Z",
    level: "warn",
    service: "orders",
    event: "upstream.down",
    message: "upstream db1:5432 is down: connection refused",
    upstream: "db1:5432",
    reason: "connection refused",
    failingMs: 40,
  });
});

Deno.test("a client that was given up before it had an upstream is reported without one", () => {
  const failed = { type: "session.failed", client: "10.0.0.1:4000", reason: "held for too long" };
  assertEquals(
    sentenceOf(failed as Event),
    "session of client 10.0.0.1:4000 failed: held for too long",
  );
  assertEquals(
    sentenceOf({ ...failed, upstream: "db1:5432" } as Event),
    "session of client 10.0.0.1:4000 with db1:5432 failed: held for too long",
  );
});

Deno.test("times in a JSON line have at most microseconds", () => {
  const done: Event = { type: "trigger.finished", program: "t", epoch: 2, tookMs: 30.3188712345 };
  assertEquals(JSON.parse(jsonLine(stamped(done))).tookMs, 30.319);
});

Deno.test("what a program prints can neither forge a line nor move the cursor", () => {
  const said: Event = {
    type: "program.said",
    program: "check",
    upstream: "a",
    line: "x\u001b[2J\r\nERROR y\u2028z",
  };
  assertEquals(sentenceOf(said), "check a: x [2J ERROR y z");
});

Deno.test("lines below the level are left out", async () => {
  const opened: Event = { type: "port.opened", address: "a:1" };
  const text = await logged({ level: "warn", json: false }, stamped(opened), stamped(DOWN));
  assertEquals(text.split("\n").length, 2);
  assertStringIncludes(text, "is down");
});

Deno.test("json and text are chosen by the setting", async () => {
  assert((await logged({ level: "info", json: true }, stamped(DOWN))).startsWith("{"));
  assert((await logged({ level: "info", json: false }, stamped(DOWN))).startsWith("2026-"));
});

Deno.test("a reader that is too slow loses the oldest lines and reads how many were lost", async () => {
  const sink = new SlowSink();
  const log = new Log({ level: "info", json: false }, sink);
  for (let i = 0; i < 5_000; i++) log.take(stamped({ ...DOWN, upstream: `u${i}` }));
  sink.open();
  await log.flushed();
  assert(log.lost > 2_000);
  assertStringIncludes(sink.text, `${log.lost} log lines were lost`);
  assertStringIncludes(sink.text, "upstream u4999 is down");
});

/** A sink that accepts `room` more bytes and then fails. */
class FullSink implements Sink {
  text = "";
  room = Infinity;
  tries = 0;
  error: Error = Object.assign(new Error("No space left on device"), { code: "ENOSPC" });

  write(bytes: Uint8Array): Promise<number> {
    this.tries++;
    if (this.room === 0) return Promise.reject(this.error);
    const part = bytes.subarray(0, this.room);
    this.text += new TextDecoder().decode(part);
    this.room -= part.length;
    return Promise.resolve(part.length);
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

const downs = (log: Log, from: number, to: number) => {
  for (let i = from; i < to; i++) log.take(stamped({ ...DOWN, upstream: `u${i}` }));
};

Deno.test("a full disk loses no line once there is room again, and repeats at most a part of one", async () => {
  const sink = new FullSink();
  const log = new Log({ level: "info", json: false }, sink);
  sink.room = 250;
  downs(log, 0, 10);
  await log.flushed();
  assertEquals(sink.text.length, 250);
  downs(log, 10, 20);
  await log.flushed();
  sink.room = Infinity;
  downs(log, 20, 21);
  await log.flushed();
  assertEquals(log.lost, 0);
  const whole = sink.lines.filter((line) => line.endsWith("connection refused"));
  assertEquals(whole.map((line) => /u(\d+)/.exec(line)?.[1]), [...Array(21).keys()].map(String));
  assertEquals(sink.lines.length, 22);
});

Deno.test("a disk that stays full loses the oldest lines, and their number is logged when there is room", async () => {
  const sink = new FullSink();
  const log = new Log({ level: "info", json: true }, sink);
  sink.room = 0;
  for (let i = 0; i < 3_000; i += 100) {
    downs(log, i, i + 100);
    await log.flushed();
  }
  assertEquals(log.lost, 1_000);
  sink.room = Infinity;
  await log.flushed();
  assertEquals(log.lost, 1_000);
  assertEquals(sink.lines.length, 2_001);
  const [first, ...rest] = sink.lines.map((line) => JSON.parse(line));
  assertEquals([first.event, first.count], ["log.lost", 1_000]);
  assertEquals(rest[0].upstream, "u1000");
  downs(log, 0, 1);
  await log.flushed();
  assertEquals(sink.lines.filter((line) => line.includes("log.lost")).length, 1);
});

Deno.test("a reader that is gone costs one attempt for each burst, and its lost lines are counted", async () => {
  const sink = new FullSink();
  sink.error = new Deno.errors.BrokenPipe("Broken pipe");
  const log = new Log({ level: "info", json: false }, sink);
  sink.room = 0;
  downs(log, 0, 100);
  await log.flushed();
  assertEquals([log.lost, sink.tries], [100, 1]);
  downs(log, 0, 1);
  await log.flushed();
  assertEquals(log.lost, 101);
  // A named pipe may get another reader.
  sink.room = Infinity;
  downs(log, 7, 8);
  await log.flushed();
  assertEquals(sink.lines.length, 2);
  assertStringIncludes(sink.lines[0]!, "101 log lines were lost");
  assertStringIncludes(sink.lines[1]!, "u7");
});
