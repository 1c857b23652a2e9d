import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import type { Address } from "../../base/address.ts";
import { ManualClock, realClock } from "../../base/clock.ts";
import { unusedPort } from "../../base/testing/ports.ts";
import { Fault } from "../../base/fault.ts";
import { EMFILE } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import { endpointName, FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { linuxTryConnect } from "./try_connect.ts";
import { untilRefused } from "../testing/refused.ts";

const ignore = Deno.build.os !== "linux";
const never = new AbortController().signal;
const at = (port: number): Address => ({ kind: "tcp", host: "127.0.0.1", port });

/** Counts the sockets that it opens and closes. */
class CountingLibc extends Libc {
  opened = 0;
  closed = 0;
  override connect(...given: Parameters<Libc["connect"]>): number {
    const fd = super.connect(...given);
    if (fd >= 0) this.opened++;
    return fd;
  }
  override close(fd: number): void {
    this.closed++;
    super.close(fd);
  }
}

Deno.test({
  name:
    "a connection to this machine is known when connect returns, without a timer, and is closed",
  ignore,
  async fn() {
    using libc = new CountingLibc();
    const clock = new ManualClock();
    const listener = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
    const { port } = listener.addr;
    const tryConnect = linuxTryConnect(libc, clock);
    const limits = { clock, timeoutMs: 1_000, signal: never };
    assertEquals(await tryConnect(at(port), limits), "connected");
    using accepted = await listener.accept();
    assertEquals(await accepted.read(new Uint8Array(1)), null);
    listener.close();
    await untilRefused(port);
    const refused = await tryConnect(at(port), limits);
    assertInstanceOf(refused, Fault);
    assertEquals(refused.fault, "connectRefused");
    assertEquals([libc.opened, libc.closed, clock.pending], [2, 2, 0]);
  },
});

Deno.test({
  name: "an unanswered connection is polled until its deadline or its cancellation, and is closed",
  ignore,
  async fn() {
    using libc = new CountingLibc();
    // The accept queue of one that accepts nobody is full after two, and the next connections get no answer.
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
    const address = at(listener.addr.port);
    const clock = new ManualClock();
    const tryConnect = linuxTryConnect(libc, clock);
    const limits = { clock, timeoutMs: 1_000, signal: never };
    let waits = false;
    for (let tries = 0; tries < 20 && !waits; tries++) {
      const outcome = tryConnect(address, limits);
      waits = clock.pending > 0;
      await clock.advance(1_000);
      const over = await outcome;
      if (waits) assert(over instanceof Fault && over.fault === "connectTimeout");
    }
    assert(waits, "all were answered");
    const cancelled = new AbortController();
    const outcome = tryConnect(address, { ...limits, signal: cancelled.signal });
    await clock.advance(500);
    cancelled.abort();
    assertEquals(await outcome, undefined);
    assertEquals([libc.opened - libc.closed, clock.pending], [0, 0]);
  },
});

Deno.test("an answer that comes later is noticed", async () => {
  const kernel = new FakeKernel();
  const clock = new ManualClock();
  kernel.answers.set(endpointName("127.0.0.1", 80), "accept");
  const { peerAddress } = kernel;
  let looks = 0;
  kernel.peerAddress = (fd) => ++looks < 10 ? new Uint8Array(0) : peerAddress.call(kernel, fd);
  const outcome = linuxTryConnect(kernel, clock)(at(80), {
    clock,
    timeoutMs: 1_000,
    signal: never,
  });
  await clock.advance(200);
  assertEquals([await outcome, clock.pending], ["connected", 0]);
});

Deno.test("a lack of descriptors is this machine's fault", async () => {
  const kernel = new FakeKernel();
  kernel.connect = () => -EMFILE;
  const limits = { clock: realClock, timeoutMs: 1_000, signal: never };
  const outcome = await linuxTryConnect(kernel, realClock)(at(80), limits);
  assert(outcome instanceof Fault && outcome.fault === "localShortage");
});
