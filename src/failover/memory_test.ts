import { assert, assertEquals } from "@std/assert";
import { isSameMemory, listedOnly, type Memory, memoryOf, rememberedName } from "./memory.ts";
import { initialState, type State } from "./state.ts";
import { a, b, promoting, serving, START, stateOf } from "./testing/states.ts";

const RAN = { is: "ran" } as const;
const RUNNING = { is: "running", attempt: 1 } as const;
const BY = { by: "ann", reason: "a new disk", since: 7 };

function whoServed(state: State) {
  const { served, unfinished } = memoryOf(state);
  return [served, unfinished?.to, unfinished?.from];
}

Deno.test("an upstream whose triggers have ended served; otherwise its promotion is unfinished", () => {
  assertEquals(whoServed(START), [undefined, undefined, undefined]);
  assertEquals(whoServed(stateOf(serving(RAN))), ["b", undefined, undefined]);
  const failed = { is: "failed", reason: "exited with 1", proof: "none" } as const;
  assertEquals(whoServed(stateOf(serving(failed))), ["b", undefined, undefined]);
  assertEquals(whoServed(stateOf(serving(RUNNING))), ["b", "b", undefined]);
  const lastServed = { to: "b", promotion: undefined, since: 0 };
  assertEquals(whoServed({ ...stateOf(promoting(true, RUNNING)), lastServed }), ["b", "a", "b"]);
  const due = promoting(true, { is: "due", at: 9 });
  assertEquals(whoServed({ ...stateOf(due), lastServed }), ["b", undefined, undefined]);
});

Deno.test("the remembered upstream stays remembered until another one serves", () => {
  const first = memoryOf(stateOf(promoting(true, RUNNING)));
  const again = initialState([a, b], 0, first);
  const unfinished = { to: "a", from: "b" };
  assertEquals(again.remembered, { served: undefined, unfinished, isGivenUp: false });
  assertEquals(memoryOf(again), first);
  assertEquals(rememberedName(again.remembered), "a");
});

Deno.test("epoch, orders and times of failbacks are kept over a restart", () => {
  const state: State = {
    ...stateOf(serving(RAN)),
    ...{ epoch: 12, fence: 40 },
    failbacks: [1, 2],
    failedMoves: { to: "a", count: 2, until: 99 },
    paused: BY,
    drained: new Map([["a", BY]]),
    pinned: "b",
  };
  const again = initialState([a, b], 50, memoryOf(state));
  const { epoch, failbacks, failedMoves, paused, drained, pinned, lastChosen } = again;
  assertEquals([epoch, failbacks, pinned, lastChosen], [12, [1, 2], "b", "a"]);
  assertEquals(again.fence, 40);
  assertEquals([failedMoves, paused], [state.failedMoves, BY]);
  assertEquals(drained, state.drained);
  assertEquals(again.admission, { is: "closed", outSince: 50 });
});

Deno.test("upstreams that are no longer listed are forgotten, and the epoch is not", () => {
  const memory: Memory = {
    ...memoryOf(stateOf(serving(RAN))),
    unfinished: { to: "b", from: "a" },
    epoch: 12,
    failedMoves: { to: "b", count: 2, until: 99 },
    drained: new Map([["b", BY], ["a", BY]]),
    pinned: "b",
  };
  const listed = listedOnly(memory, [a]);
  assertEquals([listed.served, listed.unfinished, listed.pinned], [
    undefined,
    undefined,
    undefined,
  ]);
  assertEquals([listed.lastChosen, listed.failedMoves], ["a", undefined]);
  assertEquals([[...listed.drained.keys()], listed.epoch], [["a"], 12]);
  assertEquals(initialState([a], 0, memory).remembered, undefined);
});

Deno.test("two memories are the same if nothing that is remembered differs", () => {
  const state = stateOf(promoting(true, RUNNING));
  const memory = memoryOf(state);
  assert(isSameMemory(memory, memoryOf({ ...state, now: 77, stage: 5 })));
  assert(!isSameMemory(memory, memoryOf({ ...state, epoch: 9 })));
  assert(!isSameMemory(memory, memoryOf({ ...state, paused: BY })));
  assert(!isSameMemory(memory, { ...memory, unfinished: { to: "a", from: undefined } }));
});
