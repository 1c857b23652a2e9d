/**
 * How connections end, through both engines and without a proxy: what one side does after its bytes
 * were acknowledged, the other side gets them, and then the same end. On the real kernel, with peers that
 * reset, close with bytes unread and send urgent data.
 */
import { assertEquals } from "@std/assert";
import { type Address, parseAddress } from "../base/address.ts";
import { ConfigError } from "../base/config_error.ts";
import { RawListener, RawSocket } from "../linux/testing/raw_socket.ts";
import { makePortableRelay } from "./portable/portable.ts";
import { spliceRelay as splice } from "./splice/testing/alone.ts";
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

const ALL: readonly Scene[] = (["client", "upstream"] as const).flatMap((ends) =>
  HOWS.flatMap((how) =>
    [true, false].flatMap((isFast) => SIZES.map((size) => ({ ends, how, isFast, size })))
  )
);
/** Talking fills every buffer on the way, megabytes each: the largest size shows it. */
const SCENES = ALL.filter(({ how, size }) => how !== "talk" || size === Math.max(...SIZES));

/** Unix sockets have no reset but that of bytes unread, and urgent bytes of another kind (unix(7)). */
function scenes(at: Address): readonly Scene[] {
  if (at.kind === "tcp") return SCENES;
  return SCENES.filter(({ how }) => how !== "reset" && how !== "talk" && how !== "urgent");
}

function nameOf({ ends, how, isFast, size }: Scene): string {
  return `${ends} ${how}, ${isFast ? "fast" : "slow"} reader, ${size}`;
}

/** Bytes that depend on their position. */
function said(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map((_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255);
}

/** Plays one scene over a connection. Returns what the listening side got, and how it ended. */
async function play(scene: Scene, ender: RawSocket, reader: RawSocket): Promise<string> {
  const { how, isFast, size } = scene;
  const bytes = said(size);
  if (how === "unread") reader.trySend(new Uint8Array(1_000));
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
  // It is chance whether a sender sees the reset by a write or by a read; after that a read returns an end.
  return how === "talk" ? `${reader.got}` : `${reader.got} ${end}`;
}

type Pair = readonly [client: RawSocket, upstream: RawSocket];

/** Plays all scenes at once, each over its own pair. */
async function playAll(pairs: readonly Pair[], scenes: readonly Scene[]) {
  const results = new Map<string, string>();
  await Promise.all(scenes.map(async (scene, place) => {
    using client = pairs[place]![0];
    using upstream = pairs[place]![1];
    const [ender, reader] = scene.ends === "client" ? [client, upstream] : [upstream, client];
    results.set(nameOf(scene), await play(scene, ender, reader).catch(String));
  }));
  return results;
}

/** A pair for each scene, connected through `to`. */
async function pairsThrough(to: Address, listener: RawListener): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const _ of scenes(to)) pairs.push([RawSocket.connect(to), await listener.accept()]);
  return pairs;
}

/** Where the upstream and the relay listen. */
interface Places {
  readonly upstream: Address;
  readonly relay: Address;
}

async function throughRelay(make: MakeRelay, { upstream, relay }: Places) {
  using listener = new RawListener(upstream);
  await using world = await World.start(make, { bind: relay });
  await world.relay.open({ name: "a", address: listener.address, rank: 0 }, 1);
  const opened = parseAddress((await world.event("port.opened")).address);
  if (opened instanceof ConfigError) throw new Error("no address");
  const pairs = await pairsThrough(opened, listener);
  await world.counters("all are joined", (c) => c.active === pairs.length);
  const results = await playAll(pairs, scenes(relay));
  await world.counters("all sessions ended", (c) => c.active === 0);
  assertEquals(world.doubts, []);
  return results;
}

async function direct({ upstream }: Places): Promise<Map<string, string>> {
  using listener = new RawListener(upstream);
  const results = await playAll(await pairsThrough(listener.address, listener), scenes(upstream));
  if (upstream.kind === "unix") await Deno.remove(upstream.path);
  return results;
}

/** What differs, a line each. */
function differences(want: Map<string, string>, got: Map<string, string>): string[] {
  return [...want].filter(([name, result]) => got.get(name) !== result)
    .map(([name, result]) => `${name}: ${got.get(name)}, not ${result}`);
}

async function compare(name: string, make: MakeRelay, places: Places): Promise<void> {
  const wanted = await direct(places);
  // Deno cannot send a reset, and nobody can on a unix socket: the other side sees an end in order.
  const want = name === "splice" && places.relay.kind === "tcp"
    ? wanted
    : new Map([...wanted].map(([scene, result]) => [scene, result.replace(/ reset$/, " end")]));
  assertEquals(differences(want, await throughRelay(make, places)), []);
}

for (const [name, make] of [["splice", splice], ["stream", makePortableRelay]] as const) {
  Deno.test({
    name: `${name}: every end is as without a proxy`,
    ignore,
    async fn() {
      const loopback = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
      await compare(name, make, { upstream: loopback, relay: loopback });
    },
  });

  Deno.test({
    name: `${name}: every end is as without a proxy, on unix sockets`,
    ignore,
    async fn() {
      const folder = await Deno.makeTempDir();
      const upstream = { kind: "unix", path: `${folder}/upstream` } as const;
      const relay = { kind: "unix", path: `${folder}/relay` } as const;
      await compare(name, make, { upstream, relay }).finally(() =>
        Deno.remove(folder, { recursive: true })
      );
    },
  });
}
