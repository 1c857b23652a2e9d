/** Some quick rows of the table of faults, for our engines in both modes: nothing may be lost. */
import { assertEquals } from "@std/assert";
import { differing, patternOf } from "./pattern.ts";
import { FAULTS } from "./faults.ts";
import { Load, type Tally } from "./load.ts";
import { comparedProxies } from "./proxies.ts";
import { runFault } from "./run_fault.ts";
import { acceptedBy } from "../harness/accepted.ts";

/** None of these faults is noticed by silence, and on a busy machine a check may take long. */
const OURS = comparedProxies({ haproxy: false }, "10s");
/** The maximum of running requests: what a killed primary was just answering is lost inevitably. */
const UNDER_WAY = 6;
/**
 * The kernel closes the sockets of a killed process one after another, which takes a while on a busy machine: a client
 * whose request was lost may connect again before the listening socket is closed, and lose that one, too.
 */
const LOST_MAX = 2 * UNDER_WAY;

/** How long a client waits for its answer, in milliseconds. */
const PATIENCE_MS = 20_000;

/** The result of a fault with each of our proxies. */
async function tallyOf(name: string): Promise<Map<string, Tally>> {
  const fault = FAULTS.find((each) => each.name === name)!;
  const here = OURS.filter(({ name }) => Deno.build.os === "linux" || name.endsWith("stream"));
  const tallies = await Promise.all(
    here.map(async (each) =>
      [`${each.mode} ${each.name}`, (await runFault(fault, each, PATIENCE_MS))!] as const
    ),
  );
  return new Map(tallies);
}

for (const name of ["check-gone", "clock"]) {
  Deno.test(`[faults] ${name}: no client is turned away, and nothing is lost, doubled, wrong or cut`, async () => {
    for (const [proxy, tally] of await tallyOf(name)) {
      const { failed, lost, doubled, wrongBytes, cut } = tally;
      const nothing = { failed: 0, lost: 0, doubled: 0, wrongBytes: 0, cut: 0 };
      assertEquals([proxy, { failed, lost, doubled, wrongBytes, cut }], [proxy, nothing]);
    }
  });
}

Deno.test("[faults] kill: nothing is doubled or wrong, and only running requests can be lost", async () => {
  for (const [proxy, { failed, lost, doubled, wrongBytes, cut }] of await tallyOf("kill")) {
    assertEquals([proxy, doubled, wrongBytes, cut], [proxy, 0, 0, 0]);
    assertEquals([proxy, Math.max(failed + lost, LOST_MAX)], [proxy, LOST_MAX]);
  }
});

Deno.test("[faults] the client counts what was turned away, lost, doubled and wrong", async () => {
  // Nobody answers this client; the request logs of the upstreams are invented.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const gone = (async () => {
    for await (const conn of acceptedBy(listener)) conn.close();
  })();
  const load = new Load(listener.addr.port);
  await load.begin();
  await load.end();
  listener.close();
  await gone;
  const asked = load.tally([], []).asked;
  const requestLog = ["GET 0 0", "GET 0 0", "POST 1 7", "POST 1 0", "POST 3 2"];
  const tally = load.tally(requestLog, []);
  assertEquals([tally.doubled, tally.wrongBytes, tally.cut], [1, 9, 4]);
  assertEquals(tally.failed + tally.lost, asked);
  assertEquals(load.tally(requestLog, [""]).cut, 0);
});

Deno.test("[faults] bytes are compared with what they should be", () => {
  const right = patternOf(5);
  const wrong = right.slice();
  wrong[3]! ^= 1;
  assertEquals(differing(right, patternOf(5)), 0);
  assertEquals(differing(wrong, right), 1);
  assertEquals(differing(right.subarray(0, 10), right), right.length - 10);
});
