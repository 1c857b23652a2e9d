import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { initialState, type State } from "../failover/state.ts";
import { CHANGES_MAX, Timeline } from "./timeline.ts";
import { upstreamsOf } from "../failover/testing/results.ts";

const UPSTREAMS = upstreamsOf("a", "b");
const START = initialState(UPSTREAMS, 0);

function serving(rank: number): State {
  return {
    ...START,
    phase: {
      name: "serving",
      active: UPSTREAMS[rank]!,
      epoch: 1,
      triggers: { is: "ran" },
      failbackPlan: undefined,
    },
    admission: { is: "open" },
  };
}

Deno.test("a state is recorded only if it differs from the one before", async () => {
  const clock = new ManualClock(0, Date.parse("2026-11-21T03:00:00Z"));
  const timeline = new Timeline(clock);
  for (const state of [START, START, serving(0), { ...serving(0), epoch: 9 }]) timeline.note(state);
  await clock.advance(1_000);
  timeline.note(serving(1));
  assertEquals(
    timeline.changes.map(({ time, phase, upstream, rank, admission }) =>
      [time, phase, upstream, rank, admission].join(" ")
    ),
    [
      "2026-11-21T03:00:00.000Z waiting   closed",
      "2026-11-21T03:00:00.000Z serving a 0 open",
      "2026-11-21T03:00:01.000Z serving b 1 open",
    ],
  );
});

Deno.test("the operator's hold and pause are changes too", () => {
  const timeline = new Timeline(new ManualClock());
  const order = { by: "ann", reason: "", since: 0 };
  timeline.note(serving(0));
  timeline.note({ ...serving(0), held: { ...order, until: 9 } });
  timeline.note({ ...serving(0), paused: order });
  assertEquals(timeline.changes.map(({ admission, paused }) => [admission, paused]), [
    ["open", false],
    ["holding", false],
    ["open", true],
  ]);
});

Deno.test("changes older than a day are dropped except the last one, and their number is limited", async () => {
  const clock = new ManualClock();
  const timeline = new Timeline(clock);
  timeline.note(serving(0));
  await clock.advance(3_600_000);
  timeline.note(serving(1));
  await clock.advance(24 * 3_600_000);
  assertEquals(timeline.changes.map(({ rank }) => rank), [1]);
  for (let change = 0; change < 2 * CHANGES_MAX; change++) timeline.note(serving(change % 2));
  assertEquals(timeline.changes.length, CHANGES_MAX);
});
