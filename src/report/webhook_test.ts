import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../base/testing/ports.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { EventStream } from "../events/stream.ts";
import { Notices } from "./notices.ts";
import {
  ATTEMPT_MS,
  ATTEMPTS_MAX,
  FLUSH_MS,
  NOTICES_MAX,
  Webhook,
  type WebhookSettings,
} from "./webhook.ts";

/** Deadlines wait for the test; pauses between attempts are recorded and end at once. */
class PauseClock extends ManualClock {
  readonly pauses: number[] = [];
  /** While true, pauses wait for the test too. */
  isStopping = false;
  override after(ms: number, callback: () => void): () => void {
    if (ms === ATTEMPT_MS || this.isStopping) return super.after(ms, callback);
    this.pauses.push(ms);
    return realClock.after(0, callback);
  }
}

/** A web service with scripted answers, which records its requests. */
function receiver(answer: (count: number) => Response | Promise<Response>) {
  const bodies: string[] = [];
  let onRequest = () => {};
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    bodies.push(await request.text());
    onRequest();
    return answer(bodies.length);
  });
  return {
    url: new URL(`http://127.0.0.1:${server.addr.port}/secret-path`),
    bodies,
    /** Resolves with the next request. */
    request: () => new Promise<void>((resolve) => onRequest = resolve),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A webhook on a stream of events, and what it published itself. */
function build(url: URL, format: WebhookSettings["format"] = "json") {
  const clock = new PauseClock();
  const events = new EventStream(clock, { keep: 500 });
  const notices = new Notices({ shop: "a" }, () => ({ released: 1 }), () => "r1");
  const webhook = new Webhook({ url, format }, { notices, clock, publish: events.scope("") });
  events.subscribe(webhook.take);
  const ends: Event[] = [];
  let onEnd = () => {};
  events.subscribe(({ event }) => {
    if (!event.type.startsWith("notification.")) return;
    ends.push(event);
    onEnd();
  });
  let epoch = 0;
  return {
    clock,
    events,
    webhook,
    ends,
    /** Traffic moves to an upstream; each move is a notice as long as it is not the first to `a`. */
    move(to: string) {
      epoch++;
      const facts = { id: `x-${epoch}`, epoch, to, reason: "because", tookMs: 5 };
      events.publish("shop", { type: "promotion.finished", move: "failover", ...facts });
    },
    /** Resolves when this many notices were sent or given up. */
    ended: (count: number) =>
      new Promise<void>((resolve) => {
        onEnd = () => ends.length >= count && resolve();
        onEnd();
      }),
  };
}

Deno.test("a failover reaches the receiver as documented JSON", async () => {
  await using to = receiver(() => new Response("ok"));
  await using hook = wrap(build(to.url));
  hook.move("b");
  await hook.ended(1);
  assertEquals(hook.ends, [{ type: "notification.sent", kind: "failover", attempts: 1 }]);
  const time = new Date(hook.clock.wall()).toISOString();
  const began = new Date(hook.clock.wall() - 5).toISOString();
  assertEquals(JSON.parse(to.bodies[0]!), {
    schema: 2,
    id: `${hook.clock.wall()}-1`,
    kind: "failover",
    service: "shop",
    time,
    message: "[shop] failover to b: because. clients found no upstream for 5ms, 0 released. " +
      "More: failover history r1",
    from: null,
    to: "b",
    reason: "because",
    interrupted_ms: 5,
    incident: { started: began, reason: "because", lasted_ms: 5, finished: false },
    record: "r1",
    clients: { released: 0 },
  });
});

Deno.test("a receiver that fails is asked again, later each time, with the same id", async () => {
  await using to = receiver((count) => new Response("", { status: count < 4 ? 500 : 200 }));
  await using hook = wrap(build(to.url));
  hook.move("b");
  await hook.ended(1);
  assertEquals(hook.ends, [{ type: "notification.sent", kind: "failover", attempts: 4 }]);
  assertEquals(hook.clock.pauses, [1_000, 2_000, 4_000]);
  assertEquals(new Set(to.bodies).size, 1);
});

Deno.test("a receiver that keeps failing loses the notice, and the URL stays secret", async () => {
  await using to = receiver(() => new Response("", { status: 503 }));
  await using hook = wrap(build(to.url));
  hook.move("b");
  await hook.ended(1);
  const reason = "answered with status 503";
  const lost = { type: "notification.lost", kind: "failover", attempts: ATTEMPTS_MAX, reason };
  assertEquals<unknown[]>(hook.ends, [lost]);
  assertEquals([hook.webhook.lost, to.bodies.length], [1, ATTEMPTS_MAX]);
});

Deno.test("a request that would be refused again is not repeated", async () => {
  await using to = receiver(() => new Response("", { status: 404 }));
  await using hook = wrap(build(to.url));
  hook.move("b");
  await hook.ended(1);
  assertEquals([to.bodies.length, hook.webhook.lost], [1, 1]);
});

Deno.test("a redirect is not followed", async () => {
  await using elsewhere = receiver(() => new Response("ok"));
  await using to = receiver(() => Response.redirect(elsewhere.url, 307));
  await using hook = wrap(build(to.url));
  hook.move("b");
  await hook.ended(1);
  assertEquals([elsewhere.bodies.length, to.bodies.length, hook.webhook.lost], [0, 1, 1]);
});

Deno.test("a receiver that cannot be reached loses its notice and nothing else", async () => {
  await using hook = wrap(build(new URL(`http://127.0.0.1:${unusedPort()}/secret-path`)));
  hook.move("b");
  await hook.ended(1);
  assertEquals<unknown[]>(hook.ends, [
    { type: "notification.lost", kind: "failover", attempts: 5, reason: "cannot be reached" },
  ]);
  assert(!JSON.stringify(hook.events.recent).includes("secret-path"));
});

/** A webhook whose first notice hangs at its receiver until `gate` is settled. */
async function hangingHook() {
  await using parts = new AsyncDisposableStack();
  const gate = Promise.withResolvers<Response>();
  const to = parts.use(receiver((count) => count === 1 ? gate.promise : new Response("ok")));
  const hook = parts.use(wrap(build(to.url)));
  const asked = to.request();
  hook.move("b");
  await asked;
  const owned = parts.move();
  return { gate, to, hook, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

Deno.test("a receiver that does not answer is given up after its timeout", async () => {
  await using hanging = await hangingHook();
  const { gate, hook } = hanging;
  await hook.clock.advance(ATTEMPT_MS);
  await hook.ended(1);
  gate.resolve(new Response("too late"));
  assertEquals(hook.ends, [{ type: "notification.sent", kind: "failover", attempts: 2 }]);
});

Deno.test("while a receiver hangs the oldest notices are dropped, and publishing never waits", async () => {
  await using hanging = await hangingHook();
  const { gate, to, hook } = hanging;
  for (let i = 0; i < NOTICES_MAX + 3; i++) hook.move(i % 2 === 0 ? "c" : "b");
  assertEquals(hook.webhook.lost, 3);
  await hook.clock.advance(ATTEMPT_MS);
  await hook.ended(NOTICES_MAX + 4);
  gate.resolve(new Response("too late"));
  // The notice that hung was sent twice, then those that were still waiting.
  assertEquals(to.bodies.length, 2 + NOTICES_MAX);
  assertEquals(JSON.parse(to.bodies[2]!).to, "b");
});

Deno.test("a stop sends the notices that still wait", async () => {
  await using to = receiver(() => new Response("ok"));
  const hook = build(to.url);
  hook.move("b");
  hook.move("c");
  hook.clock.isStopping = true;
  await hook.webhook[Symbol.asyncDispose]();
  assertEquals([to.bodies.length, hook.clock.pending], [2, 0]);
  hook.move("b");
  assertEquals(to.bodies.length, 2);
});

Deno.test("a stop waits for a hanging receiver no longer than its limit", async () => {
  const gate = Promise.withResolvers<Response>();
  await using to = receiver(() => gate.promise);
  const hook = build(to.url);
  const asked = to.request();
  hook.move("b");
  hook.move("c");
  await asked;
  hook.clock.isStopping = true;
  const stopped = hook.webhook[Symbol.asyncDispose]();
  await hook.clock.advance(FLUSH_MS);
  await stopped;
  gate.resolve(new Response("too late"));
  assertEquals([hook.webhook.lost, hook.clock.pending], [2, 0]);
});

Deno.test("the format is that of the setting, or else that of the receiver", async () => {
  await using to = receiver(() => new Response("ok"));
  const keys = async (format: WebhookSettings["format"]) => {
    await using hook = wrap(build(to.url, format));
    hook.move("b");
    await hook.ended(1);
    return Object.keys(JSON.parse(to.bodies.at(-1)!))[0];
  };
  assertEquals(await keys("slack"), "text");
  assertEquals(await keys("discord"), "content");
  assertEquals(await keys("auto"), "schema");
});

type Built = ReturnType<typeof build>;

/** Ends the webhook with the test. */
function wrap(built: Built): Built & AsyncDisposable {
  return Object.assign(built, {
    [Symbol.asyncDispose]: () => built.webhook[Symbol.asyncDispose](),
  });
}
