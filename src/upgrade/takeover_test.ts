import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  closeDescriptors,
  DescriptorListener,
  DescriptorSocket,
} from "../linux/pass_descriptors.ts";
import { Channel, isReceived } from "./channel.ts";
import { Takeover, TakeoverFailed } from "./takeover.ts";

const ignore = Deno.build.os !== "linux";
const WELCOME = {
  type: "welcome",
  protocol: 1,
  version: "1.0.0",
  pid: 7,
  stateDir: null,
  listenerMessages: 1,
} as const;

/** A takeover and the old process's end of its connection. */
function pair() {
  const ends = DescriptorSocket.pair();
  assert(typeof ends !== "number");
  const old = new Channel(ends[0]);
  return {
    takeover: new Takeover(new Channel(ends[1]), "2.0.0"),
    old,
    async next() {
      const found = await old.receive(10_000);
      assert(isReceived(found), JSON.stringify(found));
      return found.message;
    },
  };
}

Deno.test({
  name:
    "a takeover gets listeners and memories, begins at the word of the old process, and takes connections",
  ignore,
  async fn() {
    const { takeover, old, next } = pair();
    await old.send(WELCOME);
    const listener = { owner: { is: "admin" }, address: "127.0.0.1:1" } as const;
    await old.send({ type: "listeners", listeners: [listener] }, { descriptors: [old.fd] });
    const { listeners, version, pid, stateLock } = await takeover.hello();
    assertEquals([version, pid, stateLock], ["1.0.0", 7, undefined]);
    const [received] = listeners.takeRest();
    closeDescriptors([received!.descriptor]);
    assertEquals({ ...received, descriptor: 0 }, { ...listener, descriptor: 0 });
    assertEquals(await next(), { type: "hello", protocol: 1, version: "2.0.0", pid: Deno.pid });
    await old.send({ type: "memory", service: "db", text: "one" });
    await old.send({ type: "take" });
    assertEquals(await takeover.ready(), new Map([["db", "one"]]));
    await old.send({ type: "go" });
    await takeover.took();
    assertEquals([(await next()).type, (await next()).type], ["ready", "took"]);
    await old.send({ type: "parcel", id: 1, service: "db", kind: "a" });
    await old.send({ type: "parcel", id: 2, service: "web", kind: "b" });
    await old.send({ type: "end" });
    const wentOn: string[] = [];
    const count = await takeover.receiveConnections((service) =>
      service === "db" ? () => wentOn.push(service) : undefined
    );
    assertEquals([count, wentOn], [1, ["db"]]);
    assertEquals([await next(), await next()], [
      { type: "got", id: 1, isTaken: true },
      { type: "got", id: 2, isTaken: false },
    ]);
    takeover[Symbol.dispose]();
    old[Symbol.dispose]();
  },
});

Deno.test({
  name:
    "an old process that dies before everything is there is not replaced, and one that dies later is",
  ignore,
  async fn() {
    const early = pair();
    early.old[Symbol.dispose]();
    const error = await assertRejects(() => early.takeover.hello(), TakeoverFailed);
    assertEquals(error.lines, ["the process to take over from has ended"]);
    const middle = pair();
    await middle.old.send({ type: "memory", service: "db", text: "one" });
    middle.old[Symbol.dispose]();
    await assertRejects(() => middle.takeover.ready(), TakeoverFailed, "has ended");
    const late = pair();
    late.old[Symbol.dispose]();
    await late.takeover.took();
    assertEquals(await late.takeover.receiveConnections(() => () => {}), 0);
    for (const { takeover } of [early, middle, late]) takeover[Symbol.dispose]();
  },
});

Deno.test({
  name: "a refusal is passed on as it was said, and another protocol is refused on both sides",
  ignore,
  async fn() {
    const { takeover, old } = pair();
    await old.send({ type: "refused", reason: "b is being promoted" });
    await assertRejects(() => takeover.ready(), TakeoverFailed, "b is being promoted");
    await old.send({ type: "refused", reason: "the proxy is to end" });
    await assertRejects(() => takeover.took(), TakeoverFailed, "the proxy is to end");
    await old.send({ type: "end" });
    await assertRejects(() => takeover.ready(), TakeoverFailed, "said end, which was not its turn");
    old[Symbol.dispose]();
    takeover[Symbol.dispose]();
    const other = pair();
    await other.old.send({ ...WELCOME, protocol: 2 });
    const line =
      "version 2.0.0 cannot take over from version 1.0.0: that one speaks protocol 2 of " +
      "upgrades, and this one 1";
    await assertRejects(() => other.takeover.hello(), TakeoverFailed, line);
    assertEquals([(await other.next()).type, await other.next()], [
      "hello",
      { type: "failed", lines: [line] },
    ]);
    other.old[Symbol.dispose]();
    other.takeover[Symbol.dispose]();
  },
});

Deno.test({
  name: "only the process that started this one is taken over from",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir();
    const socket = `${folder}/upgrade.sock`;
    const connect = () => Takeover.connect(socket, "2.0.0", Deno.ppid);
    assertThrows(connect, TakeoverFailed, `at ${socket}: no such file or directory`);
    const listener = DescriptorListener.listen(socket);
    assert(typeof listener !== "number");
    assertThrows(connect, TakeoverFailed, `Process ${Deno.pid} listens at ${socket}`);
    Takeover.connect(socket, "2.0.0", Deno.pid)[Symbol.dispose]();
    listener.close();
    await Deno.remove(folder, { recursive: true });
  },
});
