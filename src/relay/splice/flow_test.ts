/** One direction of a session, on a kernel whose buffers are a few bytes long. */
import { assert, assertEquals } from "@std/assert";
import { Histogram, HOLD_BOUNDS } from "../../base/histogram.ts";
import { LocalSemaphore } from "../../base/semaphore.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { Flow, type FlowDeps } from "./flow.ts";
import { Pools } from "./pools.ts";

/** A flow between two sockets, and the peers at their other ends. */
class Fixture {
  readonly kernel = new FakeKernel({ scratchBytes: 64, bufferBytes: 256 });
  readonly deps: FlowDeps = {
    kernel: this.kernel,
    pools: new Pools(this.kernel),
    counters: new Float64Array(new SharedArrayBuffer(8)),
    holdTimes: new Histogram(HOLD_BOUNDS),
    held: new LocalSemaphore(1),
  };
  readonly flow = new Flow(0);
  readonly #sockets = [1, 2].map((port) => {
    this.kernel.answers.set(`127.0.0.1:${port}`, "accept");
    return this.kernel.connect(ipSockaddr("127.0.0.1", port)!, { userTimeoutMs: 0 });
  });
  readonly source = this.kernel.upstreams[0]!;
  readonly sink = this.kernel.upstreams[1]!;

  constructor() {
    this.flow.begin(this.#sockets[0]!, this.#sockets[1]!, false, false);
  }

  send(count: number, first = 0): void {
    this.source.send(Uint8Array.from({ length: count }, (_, index) => first + index));
    this.flow.sourceReady(false);
  }

  pump(isAlone = false) {
    return this.flow.pump(this.deps, isAlone);
  }
}

Deno.test("a small message is copied, and counted", () => {
  const fixture = new Fixture();
  assertEquals([fixture.flow.used, fixture.pump()], [false, "dry"]);
  fixture.send(10);
  assertEquals([fixture.flow.canMove, fixture.pump()], [true, "dry"]);
  assertEquals([...fixture.sink.read()], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertEquals([fixture.deps.counters[0], fixture.flow.used], [10, true]);
  assertEquals([fixture.flow.tookStep(), fixture.flow.tookStep()], [true, false]);
});

Deno.test("what a full sink does not take is held, in order, and nothing more is read", () => {
  const fixture = new Fixture();
  const sent: number[] = [];
  const received: number[] = [];
  for (let round = 0; round < 10; round++) {
    fixture.send(50, round * 20);
    sent.push(...Array.from({ length: 50 }, (_, index) => (round * 20 + index) % 256));
    if (fixture.pump() === "full") break;
  }
  assert(fixture.flow.held > 0);
  assertEquals(fixture.flow.canMove, false);
  for (let turn = 0; turn < 20 && received.length < sent.length; turn++) {
    received.push(...fixture.sink.read(30));
    fixture.flow.sinkReady();
    fixture.pump();
  }
  assertEquals([received, fixture.flow.held], [sent, 0]);
});

Deno.test("an end is reported when all bytes before it were delivered, a reset at once", () => {
  const ended = new Fixture();
  ended.send(5);
  ended.source.end();
  ended.flow.sourceReady(true);
  assertEquals([ended.pump(), ended.sink.read().length], ["end", 5]);

  const reset = new Fixture();
  reset.source.reset();
  reset.flow.sourceReady(true);
  assertEquals(reset.pump(), "sourceFailed");

  const broken = new Fixture();
  broken.sink.reset();
  broken.send(5);
  assertEquals(broken.pump(), "sinkFailed");
});

Deno.test("bulk is spliced, and small messages after it are copied again", () => {
  const fixture = new Fixture();
  for (let round = 0; round < 40 && !fixture.flow.splices; round++) {
    fixture.send(250);
    fixture.pump();
    fixture.sink.read();
    fixture.flow.sinkReady();
  }
  assert(fixture.flow.splices);
  const { copied } = fixture.kernel;
  fixture.send(200);
  fixture.pump();
  assertEquals([fixture.kernel.copied, fixture.kernel.spliced >= 200], [copied, true]);
  for (let round = 0; round < 40 && fixture.flow.splices; round++) {
    fixture.sink.read();
    fixture.flow.sinkReady();
    fixture.send(1);
    fixture.pump();
  }
  assertEquals(fixture.flow.splices, false);
});

Deno.test("a header that is put before the client's bytes comes first", () => {
  const fixture = new Fixture();
  fixture.flow.prepend(new Uint8Array([100, 101]), fixture.deps);
  fixture.send(2);
  fixture.pump();
  assertEquals([...fixture.sink.read()], [100, 101, 0, 1]);
});

Deno.test("the end of a flow gives its pipe back, and nothing moves any more", () => {
  const fixture = new Fixture();
  const before = fixture.kernel.open;
  for (let round = 0; round < 40 && !fixture.flow.splices; round++) {
    fixture.send(250);
    fixture.pump();
    fixture.sink.read();
    fixture.flow.sinkReady();
  }
  fixture.send(250);
  fixture.pump();
  fixture.flow.end(fixture.deps);
  assertEquals([fixture.flow.ended, fixture.flow.canMove, fixture.flow.held], [true, false, 0]);
  fixture.deps.pools.trim();
  assertEquals(fixture.kernel.open, before);
});
