import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { ThreadGroup } from "./thread_group.ts";

const ignore = Deno.build.os !== "linux";
const script = (text: string) => new URL(`data:application/javascript,${encodeURIComponent(text)}`);

function groupOf(source: string) {
  const clock = new ManualClock();
  const died = Promise.withResolvers<string>();
  const faulted = Promise.withResolvers<void>();
  const publish = (event: Event) => {
    if (event.type === "worker.died") died.resolve(event.reason);
    if (event.type === "proxy.faulted") faulted.resolve();
  };
  const group = new ThreadGroup({ clock, publish, threads: 1, kinds: [], script: script(source) });
  return { group, clock, died: died.promise, faulted: faulted.promise };
}

Deno.test({
  name: "a thread that ends without an error is noticed, and orders to it resolve",
  ignore,
  async fn() {
    // It reports a thread number that no thread of this process has, as if it had ended.
    const mute = `self.onmessage = ({ data }) => {
      data.memory.beats[1] = 2 ** 22;
      self.postMessage({ is: "faulted", reason: "" });
    }`;
    const { group, clock, died, faulted } = groupOf(mute);
    await faulted;
    const ordered = Promise.all(group.sendAll({ look: true }));
    // One look every 2 s, as long again for the thread to end, and the next one is started 250 ms later.
    await clock.advance(4_000);
    assertEquals(await died, "it ended without a report");
    await ordered;
    await group[Symbol.asyncDispose]();
    assertEquals(clock.pending, 0);
  },
});

Deno.test({
  name: "a thread that throws is noticed at once",
  ignore,
  async fn() {
    const broken = "self.onmessage = () => { throw new Error('a bug, made by a test') }";
    const { group, died } = groupOf(broken);
    assertEquals((await died).includes("a bug, made by a test"), true);
    await group[Symbol.asyncDispose]();
  },
});
