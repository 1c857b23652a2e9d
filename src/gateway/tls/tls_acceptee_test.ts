/** Handshakes that succeed, fail, stall and are too many, with a TLS whose steps the test makes. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import type { Event } from "../../events/events.ts";
import type { Server } from "../../http1/server.ts";
import type { Conn } from "../../net/conn.ts";
import { TlsAcceptee } from "./tls_acceptee.ts";

function bench(options: { readonly connectionsMax?: number } = {}) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const done: string[] = [];
  const steps: PromiseWithResolvers<string>[] = [];
  const begun = new Set<number>();
  const acceptee = new TlsAcceptee({
    clock,
    publish: (event) => void events.push(event),
    terminator: {
      begin() {
        const step = Promise.withResolvers<string>();
        const at = steps.push(step) - 1;
        return {
          protocol: step.promise,
          isResumed: at === 1,
          get hasBegun() {
            return begun.has(at);
          },
          end: () => step.reject(new Error("closed by us")),
        };
      },
      use() {},
      close() {},
    },
    server: {
      hasRoom: true,
      serve: (_: Conn, peer: string) => (done.push(`http1 ${peer}`), Promise.resolve()),
      otherEntered: () => ({ isOverLimit: false }),
      otherLeft: () => done.push("left"),
    } as unknown as Server,
    http2: {
      serve: (
        _,
        peer,
        _isWanted,
        wait,
      ) => (done.push(`http2 ${peer} ${wait !== undefined}`), Promise.resolve()),
      giveWay: () => false,
    },
    clientLimit: undefined,
    connectionsMax: options.connectionsMax ?? 1_000,
    onError: (error) => void done.push(String(error)),
  });
  const serve = (peer: string) =>
    acceptee.serve(
      {
        closeWrite: () => Promise.resolve(),
        read: () => Promise.resolve(null),
        close: () => done.push(`closed ${peer}`),
      } as unknown as Conn,
      peer,
    );
  return { clock, events, done, steps, begun, acceptee, serve };
}

Deno.test("after the handshake the protocol that was chosen says who serves the client", async () => {
  const { done, steps, acceptee, serve } = bench();
  const served = [serve("10.0.0.1"), serve("10.0.0.2"), serve("10.0.0.3")];
  steps[0]!.resolve("http/1.1");
  steps[1]!.resolve("h2");
  steps[2]!.resolve("");
  await Promise.all(served);
  assertEquals(done.sort(), ["http1 10.0.0.1", "http1 10.0.0.3", "http2 10.0.0.2 false", "left"]);
  assertEquals(acceptee.counts, { handshakes: 3, resumed: 1, failed: 0 });
});

Deno.test("failed handshakes are counted, and each reason is told once in a while", async () => {
  const { clock, events, done, steps, acceptee, serve } = bench();
  for (const [at, reason] of ["no TLS", "no TLS", "other"].entries()) {
    const served = serve(`10.0.0.${at}`);
    steps[at]!.reject(new Error(reason));
    await served;
  }
  assertEquals(done, ["closed 10.0.0.0", "closed 10.0.0.1", "closed 10.0.0.2"]);
  await clock.advance(10_000);
  const served = serve("10.0.0.3");
  steps[3]!.reject(new Error("no TLS"));
  await served;
  assertEquals(acceptee.counts.failed, 4);
  const type = "handshake.failed" as const;
  assertEquals(events, [
    { type, client: "10.0.0.0", reason: "no TLS", count: 1 },
    { type, client: "10.0.0.2", reason: "other", count: 1 },
    { type, client: "10.0.0.3", reason: "no TLS", count: 2 },
  ]);
});

Deno.test("a handshake has ten seconds, and when there are too many a silent one makes room", async () => {
  const { clock, events, acceptee, serve, begun } = bench({ connectionsMax: 1 });
  const served = serve("10.0.0.1");
  await clock.advance(10_000);
  await served;
  assertEquals(events, [
    { type: "handshake.failed", client: "10.0.0.1", reason: "it took too long", count: 1 },
  ]);
  for (let at = 1; at <= 16; at++) begun.add(at);
  const many = Array.from({ length: 16 }, (_, at) => serve(`10.0.1.${at}`));
  assertEquals([acceptee.hasRoom, acceptee.giveWay()], [false, false]);
  begun.delete(7);
  await clock.advance(250);
  assertEquals([acceptee.hasRoom, acceptee.giveWay()], [true, false]);
  await many[6];
  const cut = new AbortController();
  cut.abort();
  await acceptee.drain(cut.signal);
  await Promise.all(many);
  assertEquals(acceptee.counts.failed, 17);
});
