import { assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { ThreadGroup } from "./thread_group.ts";

const ignore = Deno.build.os !== "linux";
const script = (text: string) => new URL(`data:application/javascript,${encodeURIComponent(text)}`);

function groupOf(source: string) {
  const clock = new ManualClock();
  const died = Promise.withResolvers<string>();
  const publish = (event: Event) => {
    if (event.type === "worker.died") died.resolve(event.reason);
  };
  const group = new ThreadGroup({ clock, publish, threads: 1, kinds: [], script: script(source) });
  return { group, clock, died: died.promise };
}

Deno.test({
  name: "a thread that ends without a word is noticed, and orders to it resolve",
  ignore,
  async fn() {
    // It says its number, which no thread of this process has.
    const mute = `self.onmessage = ({ data }) => {
      data.memory.beats[1] = 2 ** 22;
      self.postMessage({ is: "faulted", reason: "" });
      self.close();
    }`;
    const { group, clock, died } = groupOf(mute);
    const ordered = Promise.all(group.sendAll({ look: true }));
    let reason: string | undefined;
    died.then((text) => reason = text);
    while (reason === undefined) {
      await clock.advance(2_000);
      await new Promise((resolve) => realClock.after(1, () => resolve(undefined)));
    }
    assertEquals(reason, "it ended without a report");
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
