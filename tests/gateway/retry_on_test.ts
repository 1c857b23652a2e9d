/**
 * `--retry-on`: a response with one of these statuses is discarded, and the request is sent to the next
 * upstream.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { nodeUpstream, refusingPort, type RunningServer } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";

/** Answers with this status, and counts the requests. */
async function answering(
  status: number,
  says: string,
): Promise<RunningServer & { readonly count: () => number }> {
  let count = 0;
  const upstream = await nodeUpstream((request, response) => {
    count++;
    let body = "";
    request.on("data", (part) => body += part);
    request.on("end", () => {
      response.statusCode = status;
      response.end(says + body);
    });
  });
  return Object.assign(upstream, { count: () => count });
}

const ON = [{ from: 502, to: 504 }];

onBothProtocols(
  "after a status of --retry-on an idempotent request is sent to the next upstream",
  async ({ start }) => {
    await using first = await answering(503, "first");
    await using second = await answering(200, "second ");
    await using fixture = await start([first.port, second.port], { retryOn: ON });
    await fixture.open(0);
    const answer = await fixture.ask("PUT", "/", [], "body");
    assertEquals([answer.status, answer.body], [200, "second body"]);
    assertEquals(answer.get("Failover"), "upstream=backup; attempt=2; reason=status-refused");
    assertEquals([first.count(), second.count(), fixture.doubts], [1, 1, []]);
  },
);

onBothProtocols(
  "without --retry-on, for non-idempotent requests and other statuses, the response is passed on",
  async ({ start }) => {
    await using first = await answering(503, "first");
    await using second = await answering(200, "second");
    for (
      const [method, retryOn] of [["GET", []], ["POST", ON], ["GET", [{
        from: 502,
        to: 502,
      }]]] as const
    ) {
      await using fixture = await start([first.port, second.port], { retryOn });
      await fixture.open(0);
      const answer = await fixture.ask(method, "/", [], method === "POST" ? "!" : "");
      assertEquals([answer.status, answer.get("Failover")], [503, "upstream=primary; attempt=1"]);
      assertStringIncludes(answer.body, "first");
    }
    assertEquals(second.count(), 0);
  },
);

onBothProtocols(
  "if no further upstream may be tried, the client gets the last response",
  async ({ start }) => {
    await using first = await answering(503, "first");
    await using alone = await start([first.port], { retryOn: ON });
    await alone.open(0);
    assertEquals((await alone.ask("GET", "/")).body, "first");
    await using second = await answering(504, "second");
    await using both = await start([first.port, second.port], { retryOn: ON });
    await both.open(0);
    const answer = await both.ask("GET", "/");
    assertEquals([answer.status, answer.body], [504, "second"]);
    assertEquals([first.count(), second.count()], [2, 1]);
    await using waiting = await start([first.port, second.port], { retryOn: ON, standIn: false });
    await waiting.open(0);
    assertEquals((await waiting.ask("GET", "/")).body, "first");
  },
);

onBothProtocols(
  "if the second upstream is unreachable, the client gets an error from the proxy",
  async ({ start }) => {
    await using first = await answering(503, "first");
    await using fixture = await start([first.port, refusingPort()], { retryOn: ON, holdMs: 0 });
    await fixture.open(0);
    const { status } = await fixture.ask("GET", "/");
    assertEquals(status >= 502 && status <= 503, true);
  },
);
