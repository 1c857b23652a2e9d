/**
 * How connections end, through both engines and without a proxy: whatever one side does after its bytes
 * were acknowledged, the other side gets them, and then the same end. On the real kernel, with peers that
 * reset, close with bytes unread and send urgent data.
 */
import { assertEquals } from "@std/assert";
import { RawListener, RawSocket } from "../linux/testing/raw_socket.ts";
import { EngineUnavailable } from "./engine.ts";
import { makePortableRelay } from "./portable.ts";
import { startSplice } from "./splice/splice.ts";
import { type MakeRelay, World } from "./testing/world.ts";

const ignore = Deno.build.os !== "linux";

/**
 * What the side that ends does when it has said all. `late`: it closes, and the other side says something
 * after that. `unread`: it closes with bytes of the other side unread, which makes it a reset. `talk`: it
 * resets while the other side goes on talking to it, more than all buffers hold.
 */
type How = "close" | "half-close" | "reset" | "late" | "unread" | "talk" | "urgent";
const HOWS: readonly How[] = ["close", "half-close", "reset", "late", "unread", "talk", "urgent"];
const SIZES = [1, 65_536, 2_000_000];

interface Scene {
  readonly ends: "client" | "upstream";
  readonly how: How;
  readonly isFast: boolean;
  readonly size: number;
}

const SCENES: readonly Scene[] = (["client", "upstream"] as const).flatMap((ends) =>
  HOWS.flatMap((how) =>
    [true, false].flatMap((isFast) => SIZES.map((size) => ({ ends, how, isFast, size })))
  )
);

function nameOf({ ends, how, isFast, size }: Scene): string {
  return `${ends} ${how}, ${isFast ? "fast" : "slow"} reader, ${size}`;
}

/** Bytes that tell their place. */
function said(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map((_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255);
}

/** Plays one scene over a connection and tells what the listening side got, and how it ended. */
async function play(scene: Scene, ender: RawSocket, reader: RawSocket): Promise<string> {
  const { how, isFast, size } = scene;
  const bytes = said(size);
  if (how === "unread") {
    reader.trySend(new Uint8Array(1_000));
    await reader.acknowledged();
  }
  const reading = reader.readToEnd(isFast, (part, at) => {
    for (let i = 0; i < part.length; i++) {
      if (part[i] !== bytes[at + i]) throw new Error(`byte ${at + i} is wrong`);
    }
  });
  reading.catch(() => {}); // awaited below
  if (how === "talk") {
    const talked = reader.talkUntilFull();
    talked.catch(() => {}); // awaited next
    await talked;
  }
  const half = size >> 1;
  await ender.send(bytes.subarray(0, half));
  if (how === "urgent") await ender.sendUrgent();
  await ender.send(bytes.subarray(half));
  let answer = "";
  if (how === "half-close" || how === "urgent") {
    ender.end();
    const end = await reading;
    reader.trySend(new Uint8Array(2));
    reader.close();
    answer = `, answer ${await ender.readToEnd(true, () => {})} ${ender.got}`;
    return `${reader.got} ${end}${answer}`;
  }
  if (how !== "close") await ender.acknowledged();
  if (how === "unread") await ender.readable();
  if (how === "reset" || how === "talk") ender.reset();
  else ender.close();
  if (how === "late") {
    reader.trySend(new Uint8Array(1));
    reader.trySend(new Uint8Array(1));
  }
  const end = await reading;
  // Whether a talker meets the reset by talking or by reading is chance; then reading tells an end.
  return how === "talk" ? `${reader.got}` : `${reader.got} ${end}`;
}

type Pair = readonly [client: RawSocket, upstream: RawSocket];

/** Plays all scenes at once, each over a pair of its own. */
async function playAll(pairs: readonly Pair[]): Promise<Map<string, string>> {
  const results = new Map<string, string>();
  await Promise.all(SCENES.map(async (scene, place) => {
    using client = pairs[place]![0];
    using upstream = pairs[place]![1];
    const [ender, reader] = scene.ends === "client" ? [client, upstream] : [upstream, client];
    results.set(nameOf(scene), await play(scene, ender, reader).catch(String));
  }));
  return results;
}

/** A pair for each scene, connected through `port`. */
async function pairsThrough(port: number, listener: RawListener): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const _ of SCENES) pairs.push([RawSocket.connect(port), await listener.accept()]);
  return pairs;
}

async function throughRelay(make: MakeRelay): Promise<Map<string, string>> {
  using listener = new RawListener();
  await using world = await World.start(make);
  const address = { kind: "tcp", host: "127.0.0.1", port: listener.port } as const;
  await world.relay.open({ name: "a", address, rank: 0 }, 1);
  const opened = await world.event("port.opened");
  const pairs = await pairsThrough(Number(opened.address.split(":")[1]), listener);
  await world.counters("all are joined", (c) => c.active === SCENES.length);
  const results = await playAll(pairs);
  await world.counters("all sessions ended", (c) => c.active === 0);
  assertEquals(world.doubts, []);
  return results;
}

async function direct(): Promise<Map<string, string>> {
  using listener = new RawListener();
  return await playAll(await pairsThrough(listener.port, listener));
}

const splice: MakeRelay = (settings, context) => {
  const relay = startSplice(settings, context);
  if (relay instanceof EngineUnavailable) throw new Error(relay.reason);
  return relay;
};

/** What differs, a line each. */
function differences(want: Map<string, string>, got: Map<string, string>): string[] {
  return [...want].filter(([name, result]) => got.get(name) !== result)
    .map(([name, result]) => `${name}: ${got.get(name)}, not ${result}`);
}

Deno.test({
  name: "splice: every end is as without a proxy",
  ignore,
  async fn() {
    assertEquals(differences(await direct(), await throughRelay(splice)), []);
  },
});

Deno.test({
  name: "stream: every end is as without a proxy",
  ignore,
  async fn() {
    // Deno cannot send a reset: the other side sees an end in order.
    const want = [...await direct()].map(([name, result]) =>
      [name, result.replace(/ reset$/, " end")] as const
    );
    assertEquals(differences(new Map(want), await throughRelay(makePortableRelay)), []);
  },
});
