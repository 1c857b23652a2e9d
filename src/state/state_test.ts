import { assert, assertEquals, assertMatch } from "@std/assert";
import { TEST_DEADLINE_MS } from "../../tests/harness/test_deadline.ts";
import { ManualClock, realClock, sleep } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { type Memory, memoryOf } from "../failover/memory.ts";
import { START } from "../failover/testing/states.ts";
import { EPOCHS_AHEAD, StateFolder } from "./state.ts";

const MEMORY: Memory = { ...memoryOf(START), epoch: 3, served: "b" };

/** A folder and a process that opens it, again and again. */
class Fixture implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly events: Event[] = [];

  private constructor(readonly folder: string) {}

  static async make(): Promise<Fixture> {
    return new Fixture(`${await Deno.makeTempDir()}/state`);
  }

  async open(...services: string[]): Promise<StateFolder> {
    const opened = await this.tryOpen(...services);
    assert(opened instanceof StateFolder, `${opened}`);
    return opened;
  }

  /**
   * As `open`, for a folder that was used a moment ago. A program that another test starts meanwhile shares
   * its lock until it has replaced itself.
   */
  async openFree(...services: string[]): Promise<StateFolder> {
    const giveUpAt = realClock.now() + TEST_DEADLINE_MS;
    let opened = await this.tryOpen(...services);
    while (!(opened instanceof StateFolder) && realClock.now() < giveUpAt) {
      await sleep(realClock, 1);
      opened = await this.tryOpen(...services);
    }
    assert(opened instanceof StateFolder, `${opened}`);
    return opened;
  }

  tryOpen(...services: string[]) {
    const publish = (event: Event) => void this.events.push(event);
    return StateFolder.open(this.folder, services, { clock: this.clock, publish });
  }

  file(service: string): string {
    return `${this.folder}/${service}.state.json`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder.replace(/\/state$/, ""), { recursive: true });
  }
}

Deno.test("the next process remembers what was stored, for each service", async () => {
  await using fixture = await Fixture.make();
  {
    await using first = await fixture.open("db", "web");
    assertEquals(first.memory("db").remembered, undefined);
    first.memory("db").keep({ ...MEMORY, epoch: 2, served: "a" });
    first.memory("db").keep(MEMORY);
    await first.memory("db").kept();
    first.memory("web").keep({ ...MEMORY, served: "c" });
  }
  await using second = await fixture.openFree("db", "web");
  assertEquals(second.memory("db").remembered, MEMORY);
  assertEquals(second.memory("web").remembered?.served, "c");
});

Deno.test("after a crash the next epoch is one that no script has seen", async () => {
  await using fixture = await Fixture.make();
  const first = await fixture.open("db");
  first.memory("db").keep(MEMORY);
  await first.memory("db").kept();
  const onDisk = await Deno.readTextFile(fixture.file("db"));
  await first[Symbol.asyncDispose]();
  for (const crashes of [1, 2]) {
    // The file is as the process left it that was killed.
    if (crashes === 1) await Deno.writeTextFile(fixture.file("db"), onDisk);
    const next = await fixture.openFree("db");
    const text = await Deno.readTextFile(fixture.file("db"));
    const { remembered } = next.memory("db");
    assertEquals(remembered?.epoch, MEMORY.epoch + crashes * EPOCHS_AHEAD);
    assertEquals(remembered?.served, "b");
    await next[Symbol.asyncDispose]();
    await Deno.writeTextFile(fixture.file("db"), text);
  }
});

Deno.test("a folder that another process uses is refused, and free again when that has ended", async () => {
  await using fixture = await Fixture.make();
  const first = await fixture.open("db");
  const again = await fixture.tryOpen("db");
  assertEquals(again, [`${fixture.folder}: another process uses it (pid ${Deno.pid})`]);
  await first[Symbol.asyncDispose]();
  await (await fixture.openFree("db"))[Symbol.asyncDispose]();
});

Deno.test("a damaged file, and a file in the place of the folder, are errors of one line", async () => {
  await using fixture = await Fixture.make();
  await Deno.mkdir(fixture.folder);
  await Deno.writeTextFile(fixture.file("db"), '{"version": 1, "serv');
  const damaged = await fixture.tryOpen("db", "web");
  assert(Array.isArray(damaged) && damaged.length === 1);
  assertMatch(damaged[0], /db\.state\.json: it is damaged \(it is not JSON\); remove it/);
  // Nothing has been overwritten, and the folder is free.
  assertEquals(await Deno.readTextFile(fixture.file("db")), '{"version": 1, "serv');
  await Deno.remove(fixture.file("db"));
  await (await fixture.openFree("db"))[Symbol.asyncDispose]();
  await Deno.remove(fixture.folder, { recursive: true });
  await Deno.writeTextFile(fixture.folder, "");
  const none = await fixture.tryOpen("db");
  assert(Array.isArray(none), "a file was taken for the folder");
});

Deno.test("a folder that fails is reported once, stops nothing, and is written to as soon as it works", async () => {
  await using fixture = await Fixture.make();
  await using opened = await fixture.open("db");
  const memory = opened.memory("db");
  await Deno.rename(fixture.folder, `${fixture.folder}.away`);
  memory.keep({ ...MEMORY, epoch: 4 });
  await memory.kept();
  memory.keep({ ...MEMORY, epoch: 5 });
  await memory.kept();
  const path = fixture.file("db");
  assertEquals(fixture.events, [{ type: "state.failed", path, reason: "the folder is gone" }]);
  await Deno.rename(`${fixture.folder}.away`, fixture.folder);
  await fixture.clock.advance(5_000);
  await memory.kept();
  assertEquals(fixture.events.slice(1), [{ type: "state.restored", path }]);
  const written = JSON.parse(await Deno.readTextFile(path));
  assertEquals([written.epoch, written.served], [5 + EPOCHS_AHEAD, "b"]);
});

Deno.test("a service that comes again under the name of one that still ends has the file for itself", async () => {
  await using fixture = await Fixture.make();
  await using state = await fixture.open("web");
  const former = state.memory("web");
  former.keep(MEMORY);
  assertEquals(await state.add("web"), undefined);
  const present = state.memory("web");
  assertEquals(present.remembered?.served, "b");
  present.keep({ ...MEMORY, served: "c" });
  // The one that was removed says something more, and ends.
  former.keep(MEMORY);
  await state.remove("web", former);
  present.keep({ ...MEMORY, served: "d" });
  await state.kept();
  assertMatch(await Deno.readTextFile(fixture.file("web")), /"served": *"d"/);
  await state.remove("web");
  assertEquals(state.memory("web"), undefined);
});
