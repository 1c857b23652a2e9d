/**
 * Random sessions on a fake kernel: short counts, interrupted calls, full sinks, ends and resets in every order,
 * descriptors that run out, and another process that takes over in the middle.
 */
import { assert, assertEquals } from "@std/assert";
import { Loop } from "../../../linux/loop.ts";
import { ipSockaddr } from "../../../linux/sockaddr.ts";
import { Dice } from "../../../base/testing/dice.ts";
import { endpointName, FakeKernel } from "../../../linux/testing/fake_kernel.ts";
import type { Peer } from "../../../linux/testing/fake_peer.ts";
import { SETTINGS } from "../../testing/relay_fixture.ts";
import type { ShardReport } from "../../../threads/messages.ts";
import { COUNT } from "../counters.ts";
import { relayIn } from "./splice_fixture.ts";
import { readParcel } from "../parcel.ts";
import type { OfferedParcel } from "../passing.ts";
import type { WorkerRelay } from "../worker_relay.ts";

const PORT = 1;
const SCRATCH = 64;
const BUFFER = 200;
const CASE_SETTINGS = { ...SETTINGS, sendProxy: "v1" } as const;

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

/** A kernel in which a descriptor that two processes have stays open when one of them closes it. */
class SharedKernel extends FakeKernel {
  readonly shared = new Set<number>();

  override close(fd: number): void {
    if (!this.shared.delete(fd)) super.close(fd);
  }
}

/** One case: clients and upstreams with scripts, and a relay between them. */
export class RandomCase {
  readonly dice: Dice;
  readonly kernel: SharedKernel;
  readonly plane: WorkerRelay;
  /** That of the process which takes over. */
  next: WorkerRelay | undefined;
  /** Sessions that it went on with, and those that it did not take. */
  readonly passed = { taken: 0, refused: 0 };
  readonly #offers: OfferedParcel[] = [];
  readonly #report = (report: ShardReport) => {
    this.#isDoubted ||= report.is === "doubt";
    if (report.is === "message") this.#offers.push(report.what as OfferedParcel);
  };
  readonly clients: ScriptedPeer[] = [];
  readonly servers: ScriptedUpstream[] = [];
  #isDoubted = false;
  readonly #listener: number;

  /** `takesOver`: another process takes over in the middle. */
  constructor(seed: number, readonly takesOver: boolean) {
    const dice = this.dice = new Dice(seed);
    this.kernel = new SharedKernel({ dice, scratchBytes: SCRATCH, bufferBytes: BUFFER });
    this.kernel.answers.set(
      endpointName("127.0.0.1", 2),
      dice.pick(["accept", "silence"] as const),
    );
    this.plane = relayIn(new Loop(this.kernel), CASE_SETTINGS, this.#report);
    this.#listener = this.kernel.listen(ipSockaddr("127.0.0.1", PORT)!);
    this.#begin(this.plane, 1);
    if (dice.once(4)) this.kernel.fdMax = 3 + dice.under(8);
  }

  #begin(plane: WorkerRelay, epoch: number): void {
    plane.execute({ do: "listen", listener: this.#listener });
    const addresses = [ipSockaddr("127.0.0.1", 2)!];
    plane.execute({ do: "open", upstream: "a", epoch, addresses });
  }

  /** Another process begins to take over. */
  #takeOver(): void {
    this.plane.execute({ do: "stop", drainMs: 1e9, isLeft: true });
    this.next = relayIn(this.plane.loop, CASE_SETTINGS, this.#report);
    this.#begin(this.next, 2);
  }

  /** Answers some of the offers. */
  #answer(): void {
    while (this.#offers.length > 0 && !this.dice.once(3)) {
      const { id, parcel } = this.#offers.shift()!;
      const isTaken = !this.dice.once(6);
      this.passed[isTaken ? "taken" : "refused"]++;
      const session = readParcel(parcel);
      assert(session !== undefined, "a parcel cannot be read");
      if (isTaken) { for (const fd of parcel.descriptors) this.kernel.shared.add(fd); }
      this.plane.execute({ do: "message", what: { is: "answered", id, isTaken } });
      if (!isTaken) continue;
      assertEquals(this.kernel.shared.size, 0, "a descriptor that was passed stayed open");
      this.next!.execute({ do: "message", what: { is: "received", session } });
    }
  }

  turn(ms: number): void {
    this.#answer();
    this.kernel.time += ms;
    this.plane.loop.tick();
    for (const peer of this.kernel.upstreams.slice(this.servers.length)) {
      this.servers.push(new ScriptedUpstream(peer, this.dice));
    }
    for (const { peer } of this.servers) if (!peer.isUp && this.dice.once(3)) peer.accept();
    for (const plane of this.#isDoubted ? this.#planes : []) {
      plane.execute({ do: "confirm", upstream: "a" });
    }
    this.#isDoubted = false;
  }

  get #planes(): WorkerRelay[] {
    return this.next === undefined ? [this.plane] : [this.plane, this.next];
  }

  run(): void {
    const clients = 1 + this.dice.under(3);
    const takeover = this.takesOver ? this.dice.under(300) : -1;
    for (let step = 0; step < 300; step++) {
      if (step === takeover) this.#takeOver();
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

  /** The last one: a client whose upstream ended before any byte gets another one. */
  serverOf(client: ScriptedPeer): ScriptedUpstream | undefined {
    const port = Number(client.peer.address.split(":")[1]);
    return this.servers.findLast(({ clientPort }) => clientPort === port);
  }

  /** The bytes that left one side and have not reached the other are held by the relay, up to a maximum. */
  checkHeld(): void {
    // A client may be at a second upstream, which has not said yet whose connection it is.
    const isUnsure = this.servers.some(({ clientPort }) => clientPort === undefined);
    if (this.next !== undefined && isUnsure) return;
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
    for (const { deps: { pools, counters } } of this.#planes) {
      pools.trim();
      const { active, held } = COUNT;
      assertEquals([counters[active], counters[held]], [0, 0]);
    }
    assertEquals(this.kernel.open, 1, "descriptors leaked");
  }
}

/** All bytes that our kernel acknowledged to one side have arrived at the other. */
function assertReceived(by: ScriptedPeer, from: ScriptedPeer): void {
  if (!by.mayMissBytes) assertEquals(by.received.length, from.sent, "bytes were lost");
  assert(by.received.length <= from.toSend.length, "there are more bytes than were sent");
  const wrong = by.received.findIndex((byte, at) => byte !== from.toSend[at]);
  assertEquals(wrong, -1, "a byte is wrong");
}
