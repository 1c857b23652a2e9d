/**
 * Random sessions: short counts, interrupted calls, full sinks, ends and resets in every order,
 * descriptors that run out. A case that fails names its seed, which can be run alone.
 */
import { assert, assertEquals } from "@std/assert";
import { Loop } from "../../linux/loop.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { chosenSeed, Dice, seeds } from "../../base/testing/dice.ts";
import { endpointName, FakeKernel } from "../../linux/testing/fake_kernel.ts";
import type { Peer } from "../../linux/testing/fake_peer.ts";
import { SETTINGS } from "../testing/relay_fixture.ts";
import type { SharedCounters } from "../../threads/memory.ts";
import type { ShardReport } from "../../threads/messages.ts";
import { COUNT } from "./counters.ts";
import { relayIn } from "./testing/splice_fixture.ts";
import type { WorkerRelay } from "./worker_relay.ts";

const CASES = 4_000;
const PORT = 1;
const SCRATCH = 64;
const BUFFER = 200;

/** One end of a connection with a script: what it sends, how it ends, what it received. */
class ScriptedPeer {
  readonly toSend: Uint8Array;
  readonly received: number[] = [];
  sent = 0;
  ended = false;
  reset = false;
  /** May reset at any moment. */
  readonly mayReset: boolean;
  /** Closes its socket when it has sent all, and so does not receive the rest. */
  readonly closesEarly: boolean;
  closed = false;

  constructor(readonly peer: Peer, dice: Dice) {
    const length = dice.pick([0, 1, dice.under(50), dice.under(1_000), dice.under(6_000)]);
    this.toSend = new Uint8Array(length).map((_, at) => (at * 31 + dice.seed + (at >> 8)) & 255);
    this.mayReset = dice.once(6);
    this.closesEarly = dice.once(6);
  }

  act(dice: Dice): void {
    if (this.reset) return;
    if (this.mayReset && dice.once(30)) {
      this.reset = true;
      return this.peer.reset();
    }
    if (dice.once(60)) this.peer.sendUrgent();
    if (dice.once(2)) this.read(dice.pick([1, 10, 100, 1_000]));
    else this.write(dice.pick([1, 10, 100, 1_000]));
  }

  /** True when bytes sent to it may have been lost. */
  get mayMissBytes(): boolean {
    return this.reset || this.closed;
  }

  read(max: number): void {
    if (this.mayMissBytes) return;
    this.received.push(...this.peer.read(max));
  }

  write(max: number): void {
    if (this.reset || this.ended) return;
    this.sent += this.peer.send(this.toSend.subarray(this.sent, this.sent + max));
    if (this.sent < this.toSend.length) return;
    this.ended = true;
    if (!this.closesEarly) return this.peer.end();
    this.closed = true;
    this.peer.close();
  }
}

/** An upstream's socket; the PROXY header names its client. */
class ScriptedUpstream extends ScriptedPeer {
  clientPort: number | undefined;

  override read(max: number): void {
    super.read(max);
    const end = this.received.indexOf(10);
    if (this.clientPort !== undefined || end === -1) return;
    const header = String.fromCharCode(...this.received.splice(0, end + 1));
    this.clientPort = Number(header.split(" ")[4]);
  }
}

class Case {
  readonly dice: Dice;
  readonly kernel: FakeKernel;
  readonly counters: SharedCounters;
  readonly plane: WorkerRelay;
  readonly clients: ScriptedPeer[] = [];
  readonly servers: ScriptedUpstream[] = [];
  #isDoubted = false;

  constructor(seed: number) {
    const dice = this.dice = new Dice(seed);
    this.kernel = new FakeKernel({ dice, scratchBytes: SCRATCH, bufferBytes: BUFFER });
    this.kernel.answers.set(
      endpointName("127.0.0.1", 2),
      dice.pick(["accept", "silence"] as const),
    );
    const onReport = (report: ShardReport) => {
      this.#isDoubted ||= report.is === "doubt";
    };
    const settings = { ...SETTINGS, sendProxy: "v1" } as const;
    this.plane = relayIn(new Loop(this.kernel), settings, onReport);
    this.counters = this.plane.deps.counters;
    const listener = this.kernel.listen(ipSockaddr("127.0.0.1", PORT)!);
    this.plane.execute({ do: "listen", listener });
    const addresses = [ipSockaddr("127.0.0.1", 2)!];
    this.plane.execute({ do: "open", upstream: "a", epoch: 1, addresses });
    if (dice.once(4)) this.kernel.fdMax = 3 + dice.under(8);
  }

  turn(ms: number): void {
    this.kernel.time += ms;
    this.plane.loop.tick();
    for (const peer of this.kernel.upstreams.slice(this.servers.length)) {
      this.servers.push(new ScriptedUpstream(peer, this.dice));
    }
    for (const { peer } of this.servers) if (!peer.isUp && this.dice.once(3)) peer.accept();
    if (this.#isDoubted) this.plane.execute({ do: "confirm", upstream: "a" });
    this.#isDoubted = false;
  }

  run(): void {
    const clients = 1 + this.dice.under(3);
    for (let step = 0; step < 300; step++) {
      if (this.clients.length < clients && this.dice.once(5)) {
        this.clients.push(new ScriptedPeer(this.kernel.client(PORT)!, this.dice));
      }
      for (const client of this.clients) if (this.dice.once(2)) client.act(this.dice);
      for (const server of this.servers) {
        if (server.peer.isUp && this.dice.once(2)) server.act(this.dice);
      }
      if (this.dice.once(2)) this.turn(this.dice.pick([0, 1, 20]));
      this.checkHeld();
    }
    this.finish();
  }

  /** All peers send the rest and read to the end. */
  finish(): void {
    this.kernel.fdMax = Infinity;
    const isOver = () => [...this.clients, ...this.servers].every(({ peer }) => peer.weClosed);
    for (let step = 0; step < 1_000 && !isOver(); step++) {
      for (const actor of [...this.clients, ...this.servers]) {
        if (actor.peer.isUp) actor.write(1_000);
        if (actor.peer.isUp) actor.read(1_000);
      }
      this.turn(step < 500 ? 1 : 200); // clients without a descriptor try again after a second
    }
    for (const actor of [...this.clients, ...this.servers]) actor.read(Infinity);
    this.check();
  }

  serverOf(client: ScriptedPeer): ScriptedUpstream | undefined {
    const port = Number(client.peer.address.split(":")[1]);
    return this.servers.find(({ clientPort }) => clientPort === port);
  }

  /** The bytes that left one side and have not reached the other are held by the relay, up to a maximum. */
  checkHeld(): void {
    for (const client of this.clients) {
      const server = this.serverOf(client);
      if (server === undefined || client.mayMissBytes || server.mayMissBytes) continue;
      const taken = client.sent - client.peer.toUs.length;
      const held = taken - server.received.length - server.peer.fromUs.length;
      assert(held <= Math.max(SCRATCH, BUFFER), `${held} bytes held`);
    }
  }

  check(): void {
    for (const client of this.clients) {
      const server = this.serverOf(client);
      if (server === undefined) {
        const mayLeave = client.reset || client.toSend.length === 0;
        assert(
          mayLeave || this.servers.some(({ mayMissBytes }) => mayMissBytes),
          "a client was not joined to an upstream",
        );
        continue;
      }
      assertReceived(client, server);
      // An upstream that ends before any byte is checked first, and a client may leave meanwhile.
      const leftEarly = client.reset && server.toSend.length === 0 && server.received.length === 0;
      if (!leftEarly) assertReceived(server, client);
      const mayBeReset = client.mayMissBytes || server.mayMissBytes;
      const wasReset = client.peer.weReset || server.peer.weReset;
      assert(mayBeReset || !wasReset, "an end became a reset");
    }
    for (const { peer } of [...this.clients, ...this.servers]) {
      assert(peer.weClosed, "a socket stayed open");
    }
    this.plane.deps.pools.trim();
    assertEquals(this.kernel.open, 1, "descriptors leaked");
    const { active, held } = COUNT;
    assertEquals([this.counters[active], this.counters[held]], [0, 0]);
  }
}

/** All bytes that our kernel acknowledged to one side have arrived at the other. */
function assertReceived(by: ScriptedPeer, from: ScriptedPeer): void {
  if (!by.mayMissBytes) assertEquals(by.received.length, from.sent, "bytes were lost");
  assert(by.received.length <= from.toSend.length, "there are more bytes than were sent");
  const wrong = by.received.findIndex((byte, at) => byte !== from.toSend[at]);
  assertEquals(wrong, -1, "a byte is wrong");
}

Deno.test("sessions deliver every byte whatever the order of short counts, ends and resets", () => {
  let copied = 0;
  let spliced = 0;
  for (const seed of seeds(CASES, 1)) {
    const one = new Case(seed);
    try {
      one.run();
    } catch (error) {
      throw new Error(`FAILOVER_SEED=${seed}`, { cause: error });
    }
    copied += one.kernel.copied;
    spliced += one.kernel.spliced;
  }
  if (chosenSeed !== undefined) return;
  assert(copied > 1_000_000 && spliced > 1_000_000, `${copied} copied, ${spliced} spliced`);
});
