/** Bugs of the proxy in one exchange: it ends, is reported and counted, and no other exchange ends. */
import { assertEquals, assertMatch } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  type GatewayFixture,
  nodeUpstream,
  rawUpstream,
  readUntil,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";

/** Throws, as a bug would. */
function bug(_?: unknown): never {
  throw new TypeError("a bug made by the test");
}

function faultsOf(fixture: GatewayFixture): string[] {
  return fixture.events.flatMap((event) => event.type === "proxy.faulted" ? [event.reason] : []);
}

onBothProtocols(
  "a bug in forwarding answers 500, and the connection to the upstream ends",
  async ({ start }) => {
    let isBroken = false;
    const ended = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      try {
        while ((await readUntil(conn)) !== "") {
          await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
      } finally {
        ended.resolve();
      }
    });
    await using fixture = await start([up.port], {
      meddle: (exchange) => {
        const respond = exchange.respond.bind(exchange);
        // Once, as the answer to the bug is made in the same way.
        exchange.respond = isBroken ? () => bug(exchange.respond = respond) : respond;
      },
    });
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).body, "ok");
    isBroken = true;
    assertEquals((await fixture.ask("GET", "/")).status, 500);
    await withTestDeadline("the upstream's connection to end", ended.promise);
    isBroken = false;
    assertEquals((await fixture.ask("GET", "/")).body, "ok");
    assertEquals([fixture.doubts, fixture.gateway.counters().faulted], [[], 1]);
    assertMatch(
      faultsOf(fixture).join(),
      /^TypeError: a bug made by the test \(tests\/gateway\/bugs_test.ts:\d+\)$/,
    );
  },
);

onBothProtocols(
  "a bug in the body of a request answers 500, at once or later",
  async ({ start }) => {
    for (const isLater of [false, true]) {
      let isBroken = true;
      await using up = await nodeUpstream((request, response) => {
        request.resume().on("error", () => {}).on("end", () => response.end("well"));
      });
      await using fixture = await start([up.port], {
        meddle: ({ body }) => {
          if (!isBroken) return;
          // Once, as the rest of the body is read and dropped in the same way.
          const [ready, read] = [body.ready?.bind(body), body.read.bind(body)];
          const broken = (): never => {
            if (ready !== undefined) body.ready = ready;
            return bug(body.read = read);
          };
          if (!isLater) body.ready = broken;
          body.read = isLater ? () => Promise.resolve().then(broken) : broken;
        },
      });
      await fixture.open(0);
      const client = await fixture.client();
      const broken = await client.begin("PUT", "/", ["Content-Length: 4"], { hasBody: true });
      assertEquals((await withTestDeadline("an answer", broken.head())).status, 500);
      await broken.leave();
      isBroken = false;
      const { status } = await fixture.ask("PUT", "/", [], "body");
      assertEquals([status, fixture.doubts, fixture.gateway.counters().faulted], [200, [], 1]);
      assertEquals(faultsOf(fixture).length, 1);
    }
  },
);

onBothProtocols(
  "a bug while a response is forwarded cuts that client, and no other",
  async ({ start, cut }) => {
    let isBroken = true;
    await using up = await nodeUpstream((_, response) => response.end("well"));
    await using fixture = await start([up.port], {
      meddle: (exchange) => {
        if (!isBroken) return;
        const send = exchange.send.bind(exchange);
        exchange.send = async (body) => {
          await send(
            body instanceof Uint8Array || body === null ? body : {
              length: 100,
              ready: () => new Uint8Array(3),
              read: () => Promise.resolve().then(bug),
            },
          );
        };
      },
    });
    await fixture.open(0);
    const broken = await (await fixture.client()).begin("GET", "/");
    const { status, end } = await withTestDeadline("the end", broken.answer());
    assertEquals([status, end], [200, cut]);
    isBroken = false;
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    const { faulted, lost } = fixture.gateway.counters();
    assertEquals([faulted, lost, fixture.doubts, faultsOf(fixture).length], [1, 1, [], 1]);
  },
);

onBothProtocols("a bug in a static backup answers 500", async ({ start }) => {
  await using fixture = await start([], { backup: () => Promise.resolve().then(bug) });
  await fixture.open(0);
  assertEquals((await fixture.ask("GET", "/")).status, 500);
  assertEquals((await fixture.ask("GET", "/")).status, 500);
  assertEquals([fixture.gateway.counters().faulted, faultsOf(fixture).length], [2, 1]);
});
