/** The relay of a worker on a fake kernel, with the orders it gets, its reports and its peers. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../../events/events.ts";
import type { Doubt } from "../../../failover/ports.ts";
import type { SockAddr } from "../../../linux/kernel.ts";
import { Loop } from "../../../linux/loop.ts";
import { ipSockaddr } from "../../../linux/sockaddr.ts";
import { endpointName, FakeKernel } from "../../../linux/testing/fake_kernel.ts";
import type { Peer } from "../../../linux/testing/fake_peer.ts";
import type { RelaySettings } from "../../engine.ts";
import { SETTINGS } from "../../testing/relay_fixture.ts";
import { LocalSemaphore } from "../../../base/semaphore.ts";
import { newServiceMemory } from "../../../threads/memory.ts";
import type { ShardOrder, ShardReport } from "../../../threads/messages.ts";
import { COUNT } from "../counters.ts";
import type { OfferedParcel } from "../passing.ts";
import { WorkerRelay } from "../worker_relay.ts";

export const PORT = 1;
export const at = (ip: string): SockAddr => ipSockaddr(ip, 80)!;
export const bytes = (text: string) => new TextEncoder().encode(text);
export const asText = (from: Peer) => new TextDecoder().decode(from.read());

/** A worker's relay on a loop, with memory that it shares with nobody. */
export function relayIn(
  loop: Loop,
  settings: RelaySettings,
  report: (report: ShardReport) => void,
): WorkerRelay {
  const { counters: [counters] } = newServiceMemory(1, []);
  const connections = new LocalSemaphore(settings.connectionsMax);
  const held = new LocalSemaphore(settings.heldMax);
  return new WorkerRelay({ loop, counters: counters!, connections, held, report }, settings);
}

/** A worker's relay on a fake kernel. Upstream a is at 10.0.0.2, b at 10.0.0.3. */
export class SpliceFixture {
  readonly kernel = new FakeKernel({ scratchBytes: 64, bufferBytes: 256 });
  readonly events: Event[] = [];
  readonly doubts: Doubt[] = [];
  /** Sessions offered to another process. */
  readonly offers: OfferedParcel[] = [];
  readonly relay: WorkerRelay;
  /** The port, which the main thread would own. */
  #listener = -1;
  stopped: number | undefined;

  constructor(settings: Partial<RelaySettings> = {}) {
    const loop = new Loop(this.kernel);
    this.relay = relayIn(loop, { ...SETTINGS, ...settings }, (report) => {
      if (report.is === "event") this.events.push(report.event);
      if (report.is === "doubt") this.doubts.push(report.doubt);
      if (report.is === "message") this.offers.push(report.what as OfferedParcel);
      if (report.is === "stopped") this.stopped = report.cut;
    });
    this.kernel.answers.set(endpointName("10.0.0.2", 80), "accept");
    this.kernel.answers.set(endpointName("10.0.0.3", 80), "accept");
  }

  execute(order: ShardOrder): void {
    this.relay.execute(order);
    if (order.do === "open" && this.#listener === -1) {
      this.#listener = this.kernel.listen(ipSockaddr("127.0.0.1", PORT)!);
      this.relay.execute({ do: "listen", listener: this.#listener });
    }
    if ((order.do === "refuse" || order.do === "stop") && this.#listener !== -1) {
      this.kernel.close(this.#listener);
      this.#listener = -1;
    }
    this.runTicks();
  }

  open(upstream: "a" | "b", epoch: number): void {
    const addresses = [at(upstream === "a" ? "10.0.0.2" : "10.0.0.3")];
    this.execute({ do: "open", upstream, epoch, addresses });
  }

  /** Lets everything happen that needs no time to pass. */
  runTicks(): void {
    for (let round = 0; round < 20; round++) this.relay.loop.tick();
  }

  /** Lets time pass, in steps as small as the loop's own. */
  pass(ms: number): void {
    for (const end = this.kernel.time + ms; this.kernel.time < end;) {
      this.kernel.time = Math.min(end, this.kernel.time + 16);
      this.relay.loop.tick();
    }
    this.kernel.time += 16; // a deadline may expire up to one tick late
    this.runTicks();
  }

  client(): Peer {
    const peer = this.kernel.client(PORT)!;
    this.runTicks();
    return peer;
  }

  /** A client whose session moved a byte each way, and its upstream. */
  session(): { client: Peer; upstream: Peer } {
    const client = this.client();
    const upstream = this.kernel.upstreams.at(-1)!;
    client.send(bytes("?"));
    upstream.send(bytes("!"));
    this.runTicks();
    assertEquals([asText(upstream), asText(client)], ["?", "!"]);
    return { client, upstream };
  }

  count(name: keyof typeof COUNT): number {
    return this.relay.deps.counters[COUNT[name]]!;
  }

  of<T extends Event["type"]>(type: T): Event[] {
    return this.events.filter((event) => event.type === type);
  }
}
