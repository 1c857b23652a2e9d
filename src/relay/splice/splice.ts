/**
 * The Linux relay engine, as the main thread sees it: each order goes to the shards in all threads, each report
 * to the control plane. The threads move the bytes, on sockets that this thread never touches.
 *
 * Names are resolved here, because a thread waits for nothing but epoll. Orders are not delayed by that: a shard
 * lets clients wait until it gets the addresses.
 */
import type { Histogram } from "../../base/histogram.ts";
import type { DrainOrder } from "../../failover/ports.ts";
import type { Upstream } from "../../failover/upstream.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { closeDescriptors } from "../../linux/pass_descriptors.ts";
import { literalSockaddr } from "../../linux/sockaddr.ts";
import type { GoOn, Parcel } from "../../net/handover.ts";
import type { ThreadGroup } from "../../threads/thread_group.ts";
import type { ShardedService } from "../../threads/sharded_service.ts";
import type { ShardReport } from "../../threads/messages.ts";
import { NameWatch } from "../../threads/name_watch.ts";
import { ShardedDataPlane } from "../../threads/sharded_data_plane.ts";
import { Port } from "../../threads/port.ts";
import {
  type Relay,
  type RelayContext,
  type RelayCounters,
  type RelaySettings,
  userTimeoutOf,
} from "../engine.ts";
import { readParcel } from "./parcel.ts";
import type { OfferedParcel, ToSpliceShard } from "./passing.ts";
import { accountForDeadRelay, RELAY_COUNTERS } from "./counters.ts";

/** Makes the engine in the threads of `group`, with its port closed. */
export function startSplice(
  settings: RelaySettings,
  context: RelayContext,
  group: ThreadGroup,
): Relay {
  return new SpliceRelay(settings, context, group);
}

class SpliceRelay implements Relay {
  readonly engine = "splice";
  readonly #finished = Promise.withResolvers<void>();
  readonly #context: RelayContext;
  readonly #service: ShardedService;
  readonly #plane: ShardedDataPlane;
  readonly #port: Port;
  #upstreamWatch: NameWatch | undefined;
  #stopped: Promise<number> | undefined;
  /** Offers a session to another process, which takes over. */
  #passOn: ((parcel: Parcel) => Promise<boolean>) | undefined;
  /** The thread that gets the next session of another process is this one of those that live. */
  #next = 0;
  readonly #group: ThreadGroup;

  constructor(settings: RelaySettings, context: RelayContext, group: ThreadGroup) {
    this.#context = context;
    this.#group = group;
    const { clock, publish, resolver } = context;
    const service = this.#service = group.addService({
      kind: "tcp",
      settings,
      limits: [settings.connectionsMax, settings.heldMax],
      onReport: (report, thread) => this.#hear(report, thread),
      accountForDeath: accountForDeadRelay,
    });
    this.#plane = new ShardedDataPlane(service);
    const { bind: address, socketMode } = settings;
    this.#port = new Port({ address, socketMode, userTimeoutMs: userTimeoutOf(settings) }, {
      libc: group.libc,
      clock,
      publish,
      resolver,
      received: context.received,
      opened: (listener) => void this.#plane.listen(listener),
    });
    this.#port.watchName();
  }

  /** Resolves after `stop`. A thread that dies is replaced and does not end the engine. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  open({ name, address }: Upstream, epoch: number): Promise<void> {
    this.#upstreamWatch?.[Symbol.dispose]();
    const literal = literalSockaddr(address);
    const addresses = literal === undefined ? undefined : [literal];
    const ordered = this.#plane.openAt(name, epoch, addresses);
    // What is still under way when the service ends must not open it again.
    if (this.#stopped === undefined) this.#port.open();
    if (literal === undefined && address.kind === "tcp") {
      const tell = (addresses: readonly SockAddr[]) =>
        void this.#plane.setAddresses(name, addresses);
      const { clock, resolver } = this.#context;
      this.#upstreamWatch = new NameWatch(clock, address, tell, resolver);
    }
    return ordered;
  }

  hold(): Promise<void> {
    return this.#plane.hold();
  }

  refuse(): Promise<void> {
    const refused = this.#plane.refuse();
    this.#plane.forgetListener();
    this.#port.refuse(refused);
    return refused;
  }

  confirm(upstream: string): Promise<void> {
    return this.#plane.confirm(upstream);
  }

  drain(order: DrainOrder): Promise<void> {
    return this.#plane.drain(order);
  }

  spare(upstream: string): Promise<void> {
    return this.#plane.spare(upstream);
  }

  busy(upstream: string, throughEpoch: number): Promise<number> {
    return this.#plane.busy(upstream, throughEpoch);
  }

  configure(settings: RelaySettings): Promise<void> {
    this.#port.setUserTimeout(userTimeoutOf(settings));
    return this.#service.configure(settings, [settings.connectionsMax, settings.heldMax]);
  }

  counters(): RelayCounters {
    return this.#service.counters(RELAY_COUNTERS);
  }

  holdTimes(): Histogram {
    return this.#service.holdTimes();
  }

  stop(drainMs: number, now: AbortSignal): Promise<number> {
    return this.#stopped ??= this.#stop(drainMs, now);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0, AbortSignal.abort());
  }

  passed() {
    return this.#port.passed;
  }

  leave(
    passOn: (parcel: Parcel) => Promise<boolean>,
    drainMs: number,
    now: AbortSignal,
  ): Promise<number> {
    return this.#stopped ??= this.#stop(drainMs, now, passOn);
  }

  async #stop(
    drainMs: number,
    now: AbortSignal,
    passOn?: (parcel: Parcel) => Promise<boolean>,
  ): Promise<number> {
    const cutAll = () => this.#service.cutAll();
    now.addEventListener("abort", cutAll);
    this.#upstreamWatch?.[Symbol.dispose]();
    this.#port[Symbol.dispose]();
    this.#passOn = passOn;
    const isLeft = passOn !== undefined;
    const { inForce, ended } = this.#service.stop(drainMs, isLeft);
    this.#port.close(inForce, isLeft ? "left" : "now");
    if (now.aborted) cutAll();
    const cut = await ended;
    now.removeEventListener("abort", cutAll);
    this.#finished.resolve();
    return cut;
  }

  receive(parcel: Parcel): GoOn | undefined {
    const session = readParcel(parcel);
    if (session === undefined || this.#stopped !== undefined) return undefined;
    return () => {
      // From now on the other process accepts no more, and may have left clients in the queue.
      if (this.#next === 0) this.#group.look();
      const { living } = this.#group;
      const thread = living[this.#next++ % Math.max(1, living.length)];
      if (thread === undefined) return closeDescriptors(parcel.descriptors);
      this.#group.give(thread, parcel.descriptors);
      this.#tell(thread, { is: "received", session });
    };
  }

  #hear(report: ShardReport, thread: number): void {
    if (report.is === "doubt") this.#context.doubt(report.doubt);
    if (report.is === "event") this.#context.publish(report.event);
    if (report.is === "message") void this.#pass(report.what as OfferedParcel, thread);
  }

  /** Offers a session of a thread to the other process. */
  async #pass({ id, parcel }: OfferedParcel, thread: number): Promise<void> {
    const isTaken = await this.#passOn?.(parcel) ?? false;
    this.#tell(thread, { is: "answered", id, isTaken });
  }

  #tell(thread: number, what: ToSpliceShard): void {
    this.#service.orderOne(thread, { do: "message", what });
  }
}
