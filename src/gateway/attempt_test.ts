/** The outcome of an attempt for each way in which its upstream or its client may fail. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Fault } from "../base/fault.ts";
import type { Event } from "../events/events.ts";
import { poolFixture } from "../http1/testing/pool_fixture.ts";
import { Deadlines } from "../net/deadlines.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import type { MakePair } from "../net/testing/fake_conn.ts";
import { attempt, type AttemptContext, type AttemptPlan, type Outcome } from "./attempt.ts";
import { Connector } from "./connector.ts";
import { GatewayErrors } from "./gateway_errors.ts";
import { requestRules } from "./headers.ts";
import { FailureLog } from "./failure_log.ts";
import { RequestState } from "./request_state.ts";
import { Running } from "./running.ts";
import { FakeClient } from "./testing/fake_client.ts";
import type { ServerUpstream } from "./upstream.ts";

function fixtureOf(pair: MakePair, client = new FakeClient(), dialFault?: Fault) {
  const fixture = poolFixture(
    pair,
    dialFault === undefined ? {} : { dial: () => Promise.reject(dialFault) },
  );
  const { clock, pool } = fixture;
  const events: Event[] = [];
  const doubts: string[] = [];
  const publish = (event: Event) => void events.push(event);
  const running = new Running(clock, new Deadlines(clock), publish, 0);
  const counters = { clientSentBytes: 0, clientReceivedBytes: 0 };
  const context: AttemptContext = {
    clock,
    connector: new Connector(clock),
    running,
    failures: new FailureLog(clock, publish),
    gatewayErrors: new GatewayErrors(),
    settings: { responseTimeoutMs: 5_000, failoverHeader: true },
    counters,
    doubt: (_, hard, reason) => void doubts.push(`${hard ? "hard" : "soft"}: ${reason}`),
    retriesOn: undefined,
    attempted: (_state, _plan, outcome) => attempted.resolve(outcome),
  };
  const to: ServerUpstream = {
    kind: "server",
    upstream: { name: "a", rank: 0, address: { kind: "tcp", host: "127.0.0.1", port: 1 } },
    origin: "http://up.test",
    basePath: "",
    pool,
    rules: requestRules("up.test", { preserveHost: false, headers: [], pseudonym: "failover" }),
  };
  const settings = { bodyMax: 1_000, honourIdempotencyKey: false };
  const state = new RequestState(client, "http", settings, { bytes: 0 }, 0);
  state.attempts = 1;
  const plan: AttemptPlan = { route: { upstream: to.upstream, epoch: 1 }, to, fresh: false };
  let attempted = Promise.withResolvers<Outcome>();
  const run = (): Promise<Outcome> => {
    attempted = Promise.withResolvers();
    attempt(context, state, plan, to);
    return attempted.promise;
  };
  return { ...fixture, client, state, running, counters, events, doubts, run };
}

/** An outcome with only the name of its fault. */
function summaryOf(outcome: Outcome): unknown {
  return outcome.is === "done" ? "done" : { ...outcome, fault: outcome.fault.fault };
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

onConns(
  "a whole response is done, and leaves its connection for the next attempt",
  async (pair) => {
    const fixture = fixtureOf(pair);
    for (let i = 0; i < 2; i++) {
      const outcome = fixture.run();
      await fixture.clock.advance(0);
      assertEquals([fixture.running.size, fixture.state.attempt === undefined], [1, false]);
      await fixture.upstreams[0]!.readUntil("\r\n\r\n");
      await fixture.upstreams[0]!.sendText(OK);
      assertEquals(summaryOf(await outcome), "done");
    }
    assertStringIncludes(fixture.client.answered, "Failover: upstream=primary; attempt=1\r\n");
    assertEquals([fixture.upstreams.length, fixture.pool.idle, fixture.running.size], [1, 1, 0]);
    assertEquals([fixture.counters.clientReceivedBytes, fixture.state.attempt], [8, undefined]);
    fixture.pool.close();
  },
);

onConns("a connection that cannot be made means that nothing was sent", async (pair) => {
  const fixture = fixtureOf(pair, new FakeClient(), new Fault("connectRefused"));
  assertEquals(summaryOf(await fixture.run()), {
    is: "failed",
    fault: "connectRefused",
    stage: "nothingSent",
    reused: false,
  });
  assertEquals([fixture.running.size, fixture.clock.pending], [0, 0]);
});

for (
  const [method, stage] of [["GET", "sentSafe"], ["POST", "sentUnsafe"]] as const
) {
  onConns(`a ${method} without an answer has failed as ${stage}`, async (pair) => {
    const fixture = fixtureOf(pair, new FakeClient(method));
    const outcome = fixture.run();
    await fixture.clock.advance(0);
    await fixture.upstreams[0]!.readUntil("\r\n\r\n");
    fixture.upstreams[0]!.close();
    assertEquals(summaryOf(await outcome), {
      is: "failed",
      fault: "upstreamReset",
      stage,
      reused: false,
    });
    assertEquals([fixture.running.size, fixture.client.answered], [0, ""]);
  });
}

onConns(
  "a response that is cut short cuts the client, is published and raises a doubt",
  async (pair) => {
    const fixture = fixtureOf(pair);
    const outcome = fixture.run();
    await fixture.clock.advance(0);
    await fixture.upstreams[0]!.readUntil("\r\n\r\n");
    await fixture.upstreams[0]!.sendText(OK.slice(0, -2));
    fixture.upstreams[0]!.close();
    assertEquals(summaryOf(await outcome), { is: "cut", fault: "responseCut" });
    assertEquals(fixture.events.map(({ type }) => type), ["session.failed"]);
    assertEquals(fixture.doubts, ["hard: response was cut short"]);
    assertEquals([fixture.running.size, fixture.state.attempt], [0, undefined]);
  },
);

onConns("a client that leaves ends its attempt at once, without a doubt", async (pair) => {
  const fixture = fixtureOf(pair);
  const outcome = fixture.run();
  await fixture.clock.advance(0);
  await fixture.upstreams[0]!.readUntil("\r\n\r\n");
  fixture.client.leave();
  assertEquals((await outcome).is, "failed");
  assertEquals([fixture.state.signal.aborted, fixture.doubts, fixture.events], [true, [], []]);
});
