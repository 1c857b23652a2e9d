/** The control socket: its file, its folder, and who has the path already. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import type { Event } from "../events/events.ts";
import type { Conn } from "../net/conn.ts";
import type { Acceptee } from "../net/transport.ts";
import { openControl } from "./control.ts";

const ignore = Deno.build.os === "windows";

/** Answers each client with one word. */
const GREETER: Acceptee = {
  hasRoom: true,
  room: () => Promise.resolve(),
  async serve(conn: Conn): Promise<void> {
    // A process that only asks who listens here has left already.
    await conn.write(new TextEncoder().encode("hello")).catch(() => {});
    conn.close();
  },
};

/** Opens a control socket, and waits for its events. */
function opening(path: string, clock = new ManualClock()) {
  const events: Event[] = [];
  let wake = () => {};
  const publish = (event: Event) => {
    events.push(event);
    wake();
  };
  const opened = openControl(path, GREETER, { clock, publish });
  const count = async (number: number) => {
    while (events.length < number) await new Promise<void>((resolve) => wake = resolve);
  };
  return { opened, events, count };
}

async function answerOf(path: string): Promise<string> {
  using conn = await Deno.connect({ transport: "unix", path });
  const buffer = new Uint8Array(5);
  return new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
}

const modeOf = (path: string) => (Deno.statSync(path).mode! & 0o777).toString(8);

Deno.test({
  name:
    "the folder is made, only the user and the group may connect, and the file is removed at the end",
  ignore,
  fn: () =>
    inTempFolder(async (folder) => {
      const path = `${folder}/run/failover.sock`;
      const { opened, events } = opening(path);
      const listener = await opened;
      if (typeof listener === "string") throw new Error(listener);
      assertEquals([modeOf(path), modeOf(`${folder}/run`)], ["660", "750"]);
      assertEquals(await answerOf(path), "hello");
      assertEquals(events, [{ type: "control.opened", path }]);
      await listener[Symbol.asyncDispose]();
      assertEquals([...Deno.readDirSync(`${folder}/run`)], []);
    }),
});

Deno.test({
  name: "a file that somebody has removed is made again",
  ignore,
  fn: () =>
    inTempFolder(async (folder) => {
      const path = `${folder}/failover.sock`;
      const clock = new ManualClock();
      const { opened, count } = opening(path, clock);
      const listener = await opened;
      if (typeof listener === "string") throw new Error(listener);
      await Deno.remove(path);
      await clock.advance(5_000);
      await count(2);
      assertEquals(await answerOf(path), "hello");
      await listener[Symbol.asyncDispose]();
      assertEquals(clock.pending, 0);
    }),
});

Deno.test({
  name: "a path that cannot be used is refused with the reason",
  ignore,
  fn: () =>
    inTempFolder(async (folder) => {
      const path = `${folder}/failover.sock`;
      const reasonFor = async (each: string) => String(await opening(each).opened);
      assertMatch(await reasonFor(`${folder}/${"x".repeat(120)}`), /too long for a unix socket/);
      await Deno.writeTextFile(`${folder}/file`, "kept");
      assertEquals(await reasonFor(`${folder}/file`), "a file that is no socket is in the way");
      assertEquals(await Deno.readTextFile(`${folder}/file`), "kept");
      assertMatch(await reasonFor(`${folder}/file/x.sock`), /^cannot make the folder /);
      const listener = await opening(path).opened;
      assert(typeof listener !== "string", String(listener));
      assertMatch(await reasonFor(path), /^(process \d+|another process) listens there already$/);
      assertEquals(await answerOf(path), "hello");
      await listener[Symbol.asyncDispose]();
    }),
});
