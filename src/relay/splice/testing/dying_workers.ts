/**
 * A separate program for `thread_group_test.ts`: workers die again and again, after which no more descriptors are open
 * than after the first two deaths, and a stop while one is dead ends at once. Ends with an error if not.
 */
import { ManualClock } from "../../../base/clock.ts";
import { descriptorCount } from "../../../linux/testing/descriptors.ts";
import {
  echoes,
  encode,
  RelayFixture,
  TestUpstream,
  until,
  writeAll,
} from "../../testing/relay_fixture.ts";
import { spliceAlone } from "./alone.ts";

const DEATHS = 5;

/** Reads until the connection has ended; resolves with how. */
async function endOf(conn: Deno.Conn): Promise<string> {
  try {
    while (await conn.read(new Uint8Array(10)) !== null);
    return "end";
  } catch (error) {
    return error instanceof Deno.errors.ConnectionReset ? "reset" : String(error);
  }
}

/** The number of open descriptors once what has ended is closed, which takes a moment. */
async function steadyDescriptors(): Promise<number> {
  let last = -1;
  let same = 0;
  await until("descriptors are steady", () => {
    same = descriptorCount() === last ? same + 1 : 0;
    last = descriptorCount();
    return same > 100; // checks, one millisecond or more apart
  });
  return last;
}

async function main(): Promise<void> {
  const clock = new ManualClock();
  await using upstream = new TestUpstream("a", echoes);
  const make = spliceAlone({ script: new URL("./faulty_thread.ts", import.meta.url) });
  await using fixture = await RelayFixture.start(make, {}, clock);
  await fixture.relay.open(upstream.upstream, 1);
  await fixture.event("port.opened");
  // The first deaths load what the runtime keeps.
  let usual = 0;
  for (let death = 1; death <= DEATHS; death++) {
    using fatal = await fixture.connect();
    await writeAll(fatal, encode("die"));
    await fixture.event("worker.died", death);
    await endOf(fatal);
    if (death <= 2) usual = Math.max(usual, await steadyDescriptors());
    if (death < DEATHS) await clock.advance(10_000);
  }
  await until("nothing of dead workers is open", () => descriptorCount() <= usual);
  const late = await fixture.connect();
  const cut = await fixture.relay.stop(1_000, new AbortController().signal);
  await fixture.relay.finished;
  const end = await endOf(late);
  late.close();
  if (cut !== 0 || end !== "reset") throw new Error(`${cut} were cut, a late client saw: ${end}`);
}

await main();
