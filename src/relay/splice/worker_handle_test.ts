import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock, realClock } from "../../base/clock.ts";
import { SETTINGS, until } from "../testing/world.ts";
import { COUNT } from "./counters.ts";
import { WorkerDied, WorkerHandle } from "./worker_handle.ts";

const ignore = Deno.build.os !== "linux";
const script = (text: string) => new URL(`data:application/javascript,${encodeURIComponent(text)}`);

Deno.test({
  name: "an order is in force when it is answered, and a stop gives everything back",
  ignore,
  async fn() {
    const handle = new WorkerHandle(realClock, SETTINGS, false, () => {});
    await handle.order({ do: "hold" });
    void handle.order({ do: "stop", drainMs: 0 });
    assertEquals(await handle.ended, 0);
    await handle.order({ do: "hold" }); // nobody is there; nobody waits for ever
  },
});

Deno.test({
  name: "a loop without traffic shows that it lives",
  ignore,
  async fn() {
    const handle = new WorkerHandle(realClock, SETTINGS, false, () => {});
    await until("the loop turned thrice", () => handle.counters[COUNT.beat]! > 3);
    void handle.order({ do: "stop", drainMs: 0 });
    await handle.ended;
  },
});

Deno.test({
  name: "a worker that ends without a word is noticed, and orders to it resolve",
  ignore,
  async fn() {
    const clock = new ManualClock();
    const mute = script("self.onmessage = () => self.close()");
    const handle = new WorkerHandle(clock, SETTINGS, false, () => {}, mute);
    const ordered = handle.order({ do: "hold" });
    const died = assertRejects(() => handle.ended, WorkerDied, "stands still");
    await clock.advance(12_000);
    await died;
    await ordered;
    assertEquals(clock.pending, 0);
  },
});

Deno.test({
  name: "a worker that throws is noticed at once",
  ignore,
  async fn() {
    const broken = script("self.onmessage = () => { throw new Error('a bug, made by a test') }");
    const handle = new WorkerHandle(realClock, SETTINGS, false, () => {}, broken);
    await assertRejects(() => handle.ended, WorkerDied, "a bug, made by a test");
  },
});
