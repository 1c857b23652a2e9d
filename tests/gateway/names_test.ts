/** A name service that does not answer: a problem of this machine, not of the upstream. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { nodeUpstream } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";

/** Advances the clock by `stepMs` at a time until `promise` has settled; by `mostMs` at most. */
async function passUntil<T>(
  clock: ManualClock,
  promise: Promise<T>,
  mostMs: number,
  stepMs = 500,
): Promise<{ value: T; afterMs: number }> {
  let settled: { value: T } | undefined;
  const waiting = promise.then((value) => settled = { value });
  for (let ms = 0;; ms += stepMs) {
    for (let turns = 0; turns < 20 && settled === undefined; turns++) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (settled !== undefined) return { ...settled as { value: T }, afterMs: ms };
    if (ms >= mostMs) break;
    await clock.advance(stepMs);
  }
  await withTestDeadline("the end", waiting);
  throw new Error(`It did not end within ${mostMs} ms`);
}

onBothProtocols(
  "a name service that does not answer raises no doubt: requests wait, and then get a 503",
  async ({ start }) => {
    const clock = new ManualClock();
    const lookUp = () => new Promise<string[]>(() => {});
    await using fixture = await start([1], {
      clock,
      upstreamHost: "up.test",
      lookUp,
      holdMs: 8_000,
    });
    await fixture.open(0);
    const { value, afterMs } = await passUntil(clock, fixture.ask("POST", "/"), 60_000);
    assertEquals([value.status, fixture.doubts], [503, []]);
    assertEquals(value.get("failover"), "upstream=none; attempt=1; reason=name-silent");
    assert(afterMs >= 8_000, `answered after ${afterMs} ms`);
  },
);

onBothProtocols(
  "a name service that answers late delays requests, and has no other effect",
  async ({ start }) => {
    await using up = await nodeUpstream((_, response) => response.end("well"));
    const clock = new ManualClock();
    const asked = Promise.withResolvers<void>();
    const found = Promise.withResolvers<string[]>();
    await using fixture = await start([up.port], {
      clock,
      upstreamHost: "up.test",
      lookUp: () => {
        asked.resolve();
        return found.promise;
      },
    });
    await fixture.open(0);
    const answer = fixture.ask("POST", "/");
    await withTestDeadline("the look-up", asked.promise);
    await clock.advance(2_900);
    found.resolve(["127.0.0.1"]);
    const { value } = await passUntil(clock, answer, 5_000);
    assertEquals([value.status, fixture.doubts], [200, []]);
  },
);
