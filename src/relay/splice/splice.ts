/**
 * The Linux relay engine, as the main thread sees it: each order goes to every worker, each report to the
 * control plane. The workers move the bytes, on sockets that this thread never touches.
 *
 * Names are resolved here, because a worker's thread waits for nothing but epoll. Orders are not delayed by
 * that: a worker lets clients wait until it gets the addresses.
 */
import { formatAddress, parseAddress } from "../../base/address.ts";
import { ConfigError } from "../../base/config_error.ts";
import type { Event } from "../../events/events.ts";
import type { DrainOrder } from "../../failover/ports.ts";
import type { Upstream } from "../../failover/upstream.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { isGranted, kernelUnsupportedReason } from "../../linux/unsupported_reason.ts";
import { literalSockaddr } from "../../linux/sockaddr.ts";
import {
  EngineUnavailable,
  type Relay,
  type RelayContext,
  type RelayCounters,
  type RelaySettings,
} from "../engine.ts";
import { Crew } from "./crew.ts";
import type { Report } from "./messages.ts";
import { NameWatch } from "./names.ts";

/** The reason why this engine cannot run here, or undefined. Tries the system calls; leaves nothing open. */
export function unsupportedReason(): string | undefined {
  const reason = kernelUnsupportedReason();
  if (reason !== undefined) return reason;
  const path = new URL("./worker.ts", import.meta.url);
  const isFile = path.protocol === "file:" && !Deno.build.standalone;
  if (isFile && !isGranted({ name: "read", path })) {
    return "starting a worker is not permitted (--allow-read)";
  }
}

/**
 * Makes the engine, with its port closed. `workers` threads, each with its own loop, share the port
 * (SO_REUSEPORT) and get the same orders. Each has an equal share of the limits, while the kernel spreads
 * clients by a hash: one worker may be full before the others are. Tests replace the worker's `script`.
 */
export function startSplice(
  settings: RelaySettings,
  context: RelayContext,
  script?: URL,
): Relay | EngineUnavailable {
  const reason = unsupportedReason();
  if (reason !== undefined) return new EngineUnavailable(reason);
  return new SpliceRelay(settings, context, script);
}

class SpliceRelay implements Relay {
  readonly engine = "splice";
  readonly #finished = Promise.withResolvers<void>();
  readonly #settings: RelaySettings;
  readonly #context: RelayContext;
  readonly #crew: Crew;
  readonly #bindWatch: NameWatch | undefined;
  #upstreamWatch: NameWatch | undefined;
  #stopped: Promise<number> | undefined;

  constructor(settings: RelaySettings, context: RelayContext, script?: URL) {
    // Unix sockets cannot be shared: SO_REUSEPORT is for the internet's (socket(7)).
    const workers = settings.bind.kind === "unix" ? 1 : settings.workers;
    this.#settings = settings;
    this.#context = context;
    const share = {
      ...settings,
      heldMax: Math.ceil(settings.heldMax / workers),
      connectionsMax: Math.ceil(settings.connectionsMax / workers),
    };
    const hear = (number: number, report: Report) => this.#hear(number, report);
    this.#crew = new Crew(workers, share, context, hear, script);
    this.#bindWatch = this.#bind();
  }

  /** Resolves after `stop`. A worker that dies is replaced and does not end the engine. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  open({ name, address }: Upstream, epoch: number): Promise<void> {
    this.#upstreamWatch?.[Symbol.dispose]();
    const literal = literalSockaddr(address);
    const addresses = literal === undefined ? undefined : [literal];
    const ordered = this.#crew.order({ do: "open", upstream: name, epoch, addresses });
    if (literal === undefined && address.kind === "tcp") {
      const onAddresses = (addresses: readonly SockAddr[]) =>
        void this.#crew.order({ do: "addresses", upstream: name, addresses });
      this.#upstreamWatch = new NameWatch(
        this.#context.clock,
        address,
        onAddresses,
        this.#context.resolver,
      );
    }
    return ordered;
  }

  hold(): Promise<void> {
    return this.#crew.order({ do: "hold" });
  }

  refuse(): Promise<void> {
    return this.#crew.order({ do: "refuse" });
  }

  confirm(upstream: string): Promise<void> {
    return this.#crew.order({ do: "confirm", upstream });
  }

  drain(order: DrainOrder): Promise<void> {
    return this.#crew.order({ do: "drain", order });
  }

  spare(upstream: string): Promise<void> {
    return this.#crew.order({ do: "spare", upstream });
  }

  counters(): RelayCounters {
    return this.#crew.counters();
  }

  stop(drainMs: number, now: AbortSignal): Promise<number> {
    return this.#stopped ??= this.#stop(drainMs, now);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0, AbortSignal.abort());
  }

  async #stop(drainMs: number, now: AbortSignal): Promise<number> {
    const cutAll = () => void this.#crew.order({ do: "cutAll" });
    now.addEventListener("abort", cutAll);
    const stopping = this.#crew.stop({ do: "stop", drainMs });
    if (now.aborted) cutAll();
    const cut = await stopping;
    now.removeEventListener("abort", cutAll);
    this.#bindWatch?.[Symbol.dispose]();
    this.#upstreamWatch?.[Symbol.dispose]();
    this.#finished.resolve();
    return cut;
  }

  /** Orders the first worker to listen; the others join the port that it opened. */
  #bind(): NameWatch | undefined {
    const { bind } = this.#settings;
    const { clock, publish, resolver } = this.#context;
    const literal = literalSockaddr(bind);
    if (literal !== undefined) this.#crew.bind(0, { do: "bind", address: literal });
    if (literal !== undefined || bind.kind === "unix") return undefined;
    const onAddresses = ([address]: readonly SockAddr[]) => {
      if (address !== undefined) return this.#crew.bind(0, { do: "bind", address });
      const reason = "name does not resolve";
      publish({ type: "port.failed", address: formatAddress(bind), reason, retryInMs: 1_000 });
    };
    return new NameWatch(clock, bind, onAddresses, resolver);
  }

  #hear(worker: number, report: Report): void {
    if (report.is === "doubt") this.#context.doubt(report.doubt);
    if (report.is !== "event") return;
    const { event } = report;
    if (event.type === "port.opened" && worker === 0) this.#sharePort(event);
    const isEcho = worker > 0 && (event.type === "port.opened" || event.type === "port.closed");
    if (!isEcho) this.#context.publish(event);
  }

  #sharePort(event: Event & { type: "port.opened" }): void {
    const opened = parseAddress(event.address);
    if (opened instanceof ConfigError) throw new Error(`Not an address: ${event.address}`);
    this.#crew.bindOthers({ do: "bind", address: literalSockaddr(opened)! });
  }
}
