import { assert, assertEquals } from "@std/assert";
import { type Clock, realClock } from "../base/clock.ts";
import { CAN_MOUNT, mountSmallDisk } from "../base/testing/small_disk.ts";
import type { Event } from "../events/events.ts";
import { encode } from "./codec.ts";
import type { IncidentRecord } from "./record.ts";
import type { Recorded } from "./recording.ts";
import { IncidentStore, WAITING_MAX } from "./store.ts";
import { incidentsFile, inputsOf, lineOf, readIncidents } from "./stored.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { IncidentFixture } from "./testing/incident_fixture.ts";

/** An incident that happened, and its inputs. */
async function example(): Promise<{ record: IncidentRecord; recorded: Recorded }> {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  await fixture.answer("a", REFUSED, 4);
  await fixture.answer("b", PASSED);
  await fixture.clock.advance(1);
  return { record: fixture.last, recorded: (await fixture.incidents.inputs(fixture.last.id))! };
}

/**
 * No deadline passes, since a busy machine may take longer for a file than a store waits for it. The pause before
 * another attempt, which is longer than all of them, is short.
 */
const PATIENT: Clock = {
  ...realClock,
  after: (ms, callback) => ms < 20_000 ? () => {} : realClock.after(10, callback),
};

/** A store in a folder that does not exist yet, with the events of the store. */
async function setUp() {
  const above = await Deno.makeTempDir();
  const folder = `${above}/state`;
  const events: Event[] = [];
  const open = () =>
    new IncidentStore(folder, { clock: PATIENT, publish: (event) => events.push(event) });
  return {
    ...{ folder, events, open },
    [Symbol.asyncDispose]: () => Deno.remove(above, { recursive: true }),
  };
}

Deno.test("a stored incident can be read again with its inputs, and only by the owner", async () => {
  await using fixture = await setUp();
  const { record, recorded } = await example();
  {
    await using store = fixture.open();
    assertEquals(await store.load(), []);
    store.write(record, undefined);
    store.write({ ...record, id: "two" }, undefined);
    store.write(record, recorded);
    store.write({ ...record, rounds_failed: 7 }, undefined);
  }
  await using store = fixture.open();
  const loaded = await store.load();
  assertEquals(loaded.map(({ id }) => id).toSorted(), [record.id, "two"]);
  assertEquals(loaded.find(({ id }) => id === record.id)?.rounds_failed, 7);
  assertEquals(encode((await store.inputs(record.id))!), encode(recorded));
  assertEquals(await store.inputs("two"), undefined);
  assertEquals(fixture.events, []);
  if (Deno.build.os === "windows") return;
  const modes = [fixture.folder, incidentsFile(fixture.folder)].map((path) =>
    (Deno.statSync(path).mode! & 0o777).toString(8)
  );
  assertEquals(modes, ["700", "600"]);
});

Deno.test("damaged lines are skipped, counted in one event, and the next line is whole", async () => {
  await using fixture = await setUp();
  const { record } = await example();
  await Deno.mkdir(fixture.folder);
  const good = lineOf(record);
  const torn = good.slice(0, 100);
  await Deno.writeTextFile(
    incidentsFile(fixture.folder),
    `${good}{"id":7}\n\u0000\u0000\n\n${lineOf({ ...record, id: "two" })}${torn}`,
  );
  {
    await using store = fixture.open();
    assertEquals((await store.load()).map(({ id }) => id), [record.id, "two"]);
    store.write({ ...record, id: "three" }, undefined);
  }
  assertEquals(fixture.events.map(({ type }) => type), ["state.damaged"]);
  assertEquals((fixture.events[0] as { lines: number }).lines, 3);
  const { incidents, isTorn } = await readIncidents(fixture.folder);
  assertEquals([[...incidents.keys()].at(-1), isTorn], ["three", false]);
});

Deno.test("only the last thousand incidents are kept, and the file is rewritten", async () => {
  await using fixture = await setUp();
  const { record, recorded } = await example();
  await Deno.mkdir(fixture.folder);
  const lines = Array.from(
    { length: 4_100 },
    (_, n) => lineOf({ ...record, id: `id${n % 1_500}` }),
  );
  await Deno.writeTextFile(incidentsFile(fixture.folder), lines.join(""));
  {
    await using store = fixture.open();
    assertEquals((await store.load()).length, 1_000);
    store.write({ ...record, id: "last" }, recorded);
  }
  const { incidents, lines: left } = await readIncidents(fixture.folder);
  assertEquals([incidents.size, left], [1_000, 1_000]);
  assertEquals(encode(inputsOf(incidents.get("last")!)!), encode(recorded));
});

Deno.test("a full disk causes one event, and nothing is lost once there is room again", {
  ignore: !CAN_MOUNT,
}, async () => {
  await using fixture = await setUp();
  const { record } = await example();
  await Deno.mkdir(fixture.folder);
  await using _disk = await mountSmallDisk(fixture.folder, DISK_BYTES);
  const rest = `${fixture.folder}/rest`;
  await Deno.writeFile(rest, new Uint8Array(DISK_BYTES - 8_192));
  await using store = fixture.open();
  const big = { ...record, reason: "x".repeat(5_000) };
  for (let n = 0; n < 3; n++) store.write({ ...big, id: `id${n}` }, undefined);
  await until(() => fixture.events.length > 0);
  store.write({ ...record, id: "more" }, undefined);
  await Deno.remove(rest);
  store.write({ ...record, id: "id3" }, undefined);
  await until(() => fixture.events.length > 1);
  assertEquals(fixture.events.map((event) => "reason" in event ? event.reason : event.type), [
    "no space is left on the device",
    "state.restored",
  ]);
  await until(() => !store.isBusy);
  const { incidents } = await readIncidents(fixture.folder);
  assertEquals([...incidents.keys()].toSorted(), ["id0", "id1", "id2", "id3", "more"]);
});

Deno.test("a folder that cannot be made causes one event, and the queue is limited", async () => {
  await using fixture = await setUp();
  const { record } = await example();
  await Deno.writeTextFile(fixture.folder, "a file");
  await using store = fixture.open();
  assertEquals(await store.load(), []);
  for (let n = 0; n < WAITING_MAX + 5; n++) store.write({ ...record, id: `id${n}` }, undefined);
  assertEquals(store.lost, 5);
  await until(() => fixture.events.length > 0);
  assertEquals(fixture.events.length, 1);
  assert(fixture.events[0]?.type === "state.failed");
});

const DISK_BYTES = 65_536;

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise<void>((resolve) => realClock.after(1, resolve));
}
