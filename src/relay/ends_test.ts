/**
 * How connections end, through both engines and without a proxy: whatever one side does after its bytes
 * were acknowledged, the other side receives them, and then the same end. On the real kernel, with peers
 * that reset, close with unread bytes and send urgent data.
 */
import { assertEquals } from "@std/assert";
import { type Address, parseAddress } from "../base/address.ts";
import { ConfigError } from "../base/config_error.ts";
import { RawListener, RawSocket } from "../linux/testing/raw_socket.ts";
import { makePortableRelay } from "./portable/portable.ts";
import { spliceRelay as splice } from "./splice/testing/alone.ts";
import { type MakeRelay, RelayFixture } from "./testing/relay_fixture.ts";

const ignore = Deno.build.os !== "linux";

/**
 * What the ending side does when it has sent everything. `late`: it closes, and the other side sends something
 * after that, before it has read everything. `unread`: it closes with unread bytes of the other side, which makes
 * it a reset. `busy`: it resets while the other side keeps sending, more than all buffers hold.
 */
type How = "close" | "half-close" | "reset" | "late" | "unread" | "busy" | "urgent";
const HOWS: readonly How[] = ["close", "half-close", "reset", "late", "unread", "busy", "urgent"];
const SIZES = [1, 65_536, 2_000_000];

interface Case {
  readonly ends: "client" | "upstream";
  readonly how: How;
  readonly isFast: boolean;
  readonly size: number;
}

const ALL: readonly Case[] = (["client", "upstream"] as const).flatMap((ends) =>
  HOWS.flatMap((how) =>
    [true, false].flatMap((isFast) => SIZES.map((size) => ({ ends, how, isFast, size })))
  )
);
/** A busy peer fills every buffer on the way, megabytes each: the largest size is enough. */
const CASES = ALL.filter(({ how, size }) => how !== "busy" || size === Math.max(...SIZES));

/** Unix sockets have no reset but that of bytes unread, and urgent bytes of another kind (unix(7)). */
function casesOn(at: Address): readonly Case[] {
  if (at.kind === "tcp") return CASES;
  return CASES.filter(({ how }) => how !== "reset" && how !== "busy" && how !== "urgent");
}

function nameOf({ ends, how, isFast, size }: Case): string {
  return `${ends} ${how}, ${isFast ? "fast" : "slow"} reader, ${size}`;
}

/** Bytes that depend on their position. */
function pattern(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map((_, at) => (at * 31 + (at >> 8) * 7 + (at >> 16)) & 255);
}

/** Runs one case over a connection. Returns how many bytes the other side received, and how it ended. */
async function runCase(
  each: Case,
  ender: RawSocket,
  reader: RawSocket,
  kind: Address["kind"],
): Promise<string> {
  const { how, isFast, size } = each;
  const bytes = pattern(size);
  if (how === "unread") reader.trySend(new Uint8Array(1_000));
  const reading = reader.readToEnd(isFast, (part, at) => {
    for (let i = 0; i < part.length; i++) {
      if (part[i] !== bytes[at + i]) throw new Error(`byte ${at + i} is wrong`);
    }
  });
  reading.catch(() => {}); // awaited below
  if (how === "busy") {
    const talked = reader.sendUntilFull();
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
    answer = `, answer ${await ender.readToEnd(true, () => {})} ${ender.received}`;
    return `${reader.received} ${end}${answer}`;
  }
  if (how !== "close") await ender.acknowledged();
  if (how === "unread") await ender.readable();
  if (how === "reset" || how === "busy") ender.reset();
  else if (how === "late") ender.closeNow();
  else ender.close();
  if (how === "late") {
    reader.trySend(new Uint8Array(1));
    // On a unix socket a byte that comes while the relay closes it would make its end a reset (unix(7)).
    if (kind === "tcp") reader.trySend(new Uint8Array(1));
  }
  const end = await reading;
  // Either a write or a read of the sender fails with the reset; after a write a read returns an end.
  return how === "busy" ? `${reader.received}` : `${reader.received} ${end}`;
}

type Pair = readonly [client: RawSocket, upstream: RawSocket];

/** Runs all cases at once, each over its own pair of sockets of the kind of `at`. */
async function runAll(pairs: readonly Pair[], at: Address) {
  const results = new Map<string, string>();
  await Promise.all(
    casesOn(at).map(async (each, place) => {
      using client = pairs[place]![0];
      using upstream = pairs[place]![1];
      const [ender, reader] = each.ends === "client" ? [client, upstream] : [upstream, client];
      results.set(nameOf(each), await runCase(each, ender, reader, at.kind).catch(String));
    }),
  );
  return results;
}

/** A pair for each case, connected through `to`. */
async function pairsThrough(to: Address, listener: RawListener): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const _ of casesOn(to)) pairs.push([RawSocket.connect(to), await listener.accept()]);
  return pairs;
}

/** The addresses of the upstream and the relay. */
interface Addresses {
  readonly upstream: Address;
  readonly relay: Address;
}

async function throughRelay(make: MakeRelay, { upstream, relay }: Addresses) {
  using listener = new RawListener(upstream);
  await using fixture = await RelayFixture.start(make, { bind: relay });
  await fixture.relay.open({ name: "a", address: listener.address, rank: 0 }, 1);
  const opened = parseAddress((await fixture.event("port.opened")).address);
  if (opened instanceof ConfigError) throw new Error("no address");
  const pairs = await pairsThrough(opened, listener);
  await fixture.counters("all are joined", (c) => c.active === pairs.length);
  const results = await runAll(pairs, relay);
  await fixture.counters("all sessions ended", (c) => c.active === 0);
  assertEquals(fixture.doubts, []);
  return results;
}

async function direct({ upstream }: Addresses): Promise<Map<string, string>> {
  using listener = new RawListener(upstream);
  const results = await runAll(await pairsThrough(listener.address, listener), upstream);
  if (upstream.kind === "unix") await Deno.remove(upstream.path);
  return results;
}

/** The cases whose results differ, one line each. */
function differences(want: Map<string, string>, got: Map<string, string>): string[] {
  return [...want].filter(([name, result]) => got.get(name) !== result)
    .map(([name, result]) => `${name}: ${got.get(name)}, not ${result}`);
}

async function compare(name: string, make: MakeRelay, addresses: Addresses): Promise<void> {
  const wanted = await direct(addresses);
  // Deno cannot send a reset, and a unix socket has none: the other side sees an orderly end.
  const want = name === "splice" && addresses.relay.kind === "tcp"
    ? wanted
    : new Map([...wanted].map(([each, result]) => [each, result.replace(/ reset$/, " end")]));
  assertEquals(differences(want, await throughRelay(make, addresses)), []);
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
