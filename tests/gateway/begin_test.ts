/** A service makes no check and no decision before it can serve, and each request has its own hold. */
import { assertEquals } from "@std/assert";
import { realClock } from "../../src/base/clock.ts";
import { httpOf } from "../../src/config/testing/config.ts";
import type { Event } from "../../src/events/events.ts";
import { Programs } from "../../src/hooks/program.ts";
import { httpStarter } from "../../src/app/http_service.ts";
import type { Service } from "../../src/app/service.ts";
import { startThreads } from "../../src/app/threads.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { askOnce } from "./clients.ts";
import { nodeUpstream, refusingPort } from "./gateway_fixture.ts";
import { serviceContext } from "./service_context.ts";

const PROTOCOLS = ["HTTP/1.1", "HTTP/2"] as const;

/** A service whose start takes as long as `whileStarting` does. */
async function start(args: readonly string[], whileStarting = () => Promise.resolve()) {
  const events: Event[] = [];
  const news = { arrived: Promise.withResolvers<void>() };
  const programs = new Programs(realClock);
  const config = httpOf(["--check-interval=100ms", "--listen=127.0.0.1:0", "--h2c", ...args]);
  const threads = await startThreads([config], 1, () => {});
  const service = await (await httpStarter(config)).start(serviceContext({
    publish(event: Event) {
      events.push(event);
      news.arrived.resolve();
      news.arrived = Promise.withResolvers();
    },
    programs,
    threads,
    connectionsMax: config.maxConnections,
    drainMs: 1_000,
    async publicEndpoints() {
      await whileStarting();
      return { fetch: () => new Response("window") };
    },
  })) as Service;
  const opened = events.find((event) => event.type === "port.opened")!;
  return {
    events,
    /** Asks once over each protocol, at the same time. */
    ask: () => {
      const port = Number(opened.address.split(":")[1]);
      return Promise.all(PROTOCOLS.map((protocol) => askOnce(port, protocol, "GET", "/")));
    },
    async event(type: Event["type"]): Promise<void> {
      const happened = async () => {
        while (!events.some((event) => event.type === type)) await news.arrived.promise;
      };
      await withTestDeadline(type, happened(), () => JSON.stringify(events, null, 1));
    },
    async [Symbol.asyncDispose]() {
      await service.stop(0, AbortSignal.abort());
      await threads[Symbol.asyncDispose]();
      await programs[Symbol.asyncDispose]();
    },
  };
}

scenario("a slow start promotes the first upstream once", async ({ relay }) => {
  let asked = 0;
  await using up = await nodeUpstream((request, response) => {
    if (request.headers["user-agent"]?.includes("check")) asked++;
    response.end("well");
  });
  const url = `http://127.0.0.1:${up.port}/`;
  await using front = await start([`--primary=${url}`, `--relay=${relay}`], async () => {
    // Longer than any check takes.
    for (let i = 0; i < 20; i++) await (await fetch(url)).text();
    assertEquals(asked, 0);
  });
  await front.event("promotion.finished");
  assertEquals((await front.ask()).map(({ body }) => body), ["well", "well"]);
  const promotions = front.events.filter((event) => event.type === "promotion.started");
  assertEquals(promotions.map(({ move, epoch }) => [move, epoch]), [["start", 1]]);
});

scenario(
  "each request waits for its own --hold, also long after the outage began",
  async ({ relay }) => {
    // Of a port that nobody else gets while nobody listens on it.
    const first = await nodeUpstream((_, response) => response.end("first"), refusingPort());
    const url = `http://127.0.0.1:${first.port}/`;
    await using front = await start([`--primary=${url}`, `--relay=${relay}`, "--hold=6s"]);
    assertEquals((await front.ask()).map(({ body }) => body), ["first", "first"]);
    await first[Symbol.asyncDispose]();
    await front.event("clients.held");
    for (const early of await front.ask()) {
      assertEquals([early.status, early.get("retry-after") !== undefined], [503, true]);
    }

    const late = front.ask();
    await using _again = await nodeUpstream((_, response) => response.end("again"), first.port);
    for (const { status, body } of await late) assertEquals([status, body], [200, "again"]);
  },
);
