/**
 * An HTTP service whose data plane is in the threads that all services share. Checks, decisions, the listening
 * socket and the admin endpoints stay on this thread. Part of the composition root.
 */
import type { ServiceView } from "../admin/view.ts";
import { formatAddress } from "../base/address.ts";
import { type HttpConfig, type Key, yamlKeyOf } from "../config/options.ts";
import { DEFAULT_PAGE, type ErrorPage, isSamePage } from "../gateway/error_page.ts";
import { REQUEST_CELLS, requestTimesOf } from "../gateway/request_times.ts";
import { Deadlines } from "../net/deadlines.ts";
import { denoSockets } from "../net/deno/transport.ts";
import { closeDescriptors } from "../linux/pass_descriptors.ts";
import type { GoOn, Parcel, PassedListener, PassOn } from "../net/handover.ts";
import type { ThreadGroup } from "../threads/thread_group.ts";
import type { ShardedService } from "../threads/sharded_service.ts";
import type { ShardReport } from "../threads/messages.ts";
import type { AccessLogFile } from "../report/access_log_file.ts";
import { ShardedDataPlane } from "../threads/sharded_data_plane.ts";
import { Port } from "../threads/port.ts";
import {
  type CheckedUpstream,
  checkedUpstreams,
  newPseudonym,
  probeOf,
  standIns,
} from "./http_checks.ts";
import { changedTables, clientTablesOf } from "./shares.ts";
import { ControlPlane, type ControlPlaneParts } from "./control_plane.ts";
import { changedHttps } from "./changed_files.ts";
import { CertificateWatch, withKeys } from "./certificates.ts";
import { type HttpFiles, readHttpFiles } from "./files.ts";
import { type ServiceTls, serviceTls } from "./service_tls.ts";
import { portRefusals, refusalsOf, socketRefusals } from "./refusals.ts";
import { mayGoAheadOf } from "./gateway_settings.ts";
import { timesByName, UpstreamNumbers } from "./upstream_numbers.ts";
import {
  accountForDeadHttpShard,
  HTTP,
  HTTP_COUNTERS,
  type HttpShardSettings,
  plainConfig,
  type ToHttpShard,
} from "./http_messages.ts";
import { answerShard, type Endpoints } from "./http_answers.ts";
import { httpParcel, type PassedConnection, readHttpParcel } from "./http_parcel.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";
import type { PreparedChange, Service, ServiceChange, ServiceContext } from "./service.ts";

/** The threads that were chosen, and the files of the service. */
export interface InThreads {
  readonly group: ThreadGroup;
  readonly files: HttpFiles;
  readonly page: ErrorPage;
  /** Whether a request may go to another upstream before a switch is decided. */
  readonly mayGoAhead: boolean;
}

/** What the options make of the service. */
interface Layout {
  readonly config: HttpConfig;
  readonly context: ServiceContext;
  readonly checked: readonly CheckedUpstream[];
  readonly settings: HttpShardSettings;
  readonly limits: readonly number[];
  readonly mayGoAhead: boolean;
}

/** What the files and the options make of the data plane. */
type LaidOut = Omit<InThreads, "group"> & { readonly tls: ServiceTls | undefined };

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
export async function startInThreads(
  config: HttpConfig,
  context: ServiceContext,
  inThreads: InThreads,
): Promise<Service | string> {
  const tls = await serviceTls(config, inThreads.files);
  if (typeof tls === "string") return `Cannot serve HTTPS: ${tls} (from ${config.origins.tlsCert})`;
  const running = new HttpInThreads(config, context, { ...inThreads, tls });
  const failed = await running.open();
  if (failed !== undefined) {
    return `Cannot listen on ${
      formatAddress(config.listen)
    }: ${failed} (from ${config.origins.listen})`;
  }
  return running;
}

class HttpInThreads implements Service {
  readonly view: ServiceView;
  readonly #numbers = new UpstreamNumbers();
  readonly #pseudonym = newPseudonym();
  readonly #tables: ReturnType<typeof clientTablesOf>;
  readonly #service: ShardedService;
  readonly #control: ControlPlane;
  readonly #port: Port;
  #layout: Layout;
  #endpoints: Endpoints | undefined;
  /** The file that was written to last: lines may still be on their way when nothing is logged any more. */
  #accessLog: AccessLogFile | undefined;
  #stopped: Promise<number> | undefined;
  /** Offers a connection to the process that takes over. */
  #passOn: PassOn | undefined;
  readonly #group: ThreadGroup;
  /** The thread that gets the next connection of another process is this one of those that live. */
  #next = 0;
  #watch: CertificateWatch | undefined;
  /** What it has of OpenSSL, if it speaks TLS. */
  #tls: ServiceTls | undefined;

  /** Begins the service in the threads. Nothing is checked or listened on before `open`. */
  constructor(
    config: HttpConfig,
    context: ServiceContext,
    { group, ...files }: LaidOut & Pick<InThreads, "group">,
  ) {
    const { clock, publish, socketMode, connectionsMax } = context;
    this.#group = group;
    this.#tables = clientTablesOf(config.maxConnectionsPerClient, connectionsMax, group.threads);
    this.#tls = files.tls;
    const layout = this.#layout = this.#layOut(config, context, files);
    this.#accessLog = context.accessLogs?.at(config.accessLog);
    const service = this.#service = group.addService({
      kind: HTTP,
      settings: layout.settings,
      limits: layout.limits,
      more: REQUEST_CELLS,
      onReport: (report, thread) => this.#hear(report, thread),
      accountForDeath: accountForDeadHttpShard,
    });
    const plane = new ShardedDataPlane(service);
    this.#control = new ControlPlane(config, this.#partsOf(layout), plane, context);
    this.view = this.#control.view({
      counters: () => service.counters(HTTP_COUNTERS),
      holdTimes: () => service.holdTimes(),
      requestTimes: () => timesByName(requestTimesOf(service.more()), this.#numbers),
    });
    this.#port = new Port({ address: config.listen, socketMode, userTimeoutMs: 0 }, {
      libc: group.libc,
      clock,
      publish,
      ...receivedFor(context, config.name, config.listen),
      opened: (listener, address) => {
        tell(service, { is: "address", address }, "address");
        const listen = () => void plane.listen(listener);
        if (context.mayBegin === undefined) listen();
        else void context.mayBegin.then(listen);
      },
    });
  }

  get finished(): Promise<unknown> {
    return this.#control.finished;
  }

  /** Listens and begins to check. Resolves with the reason if it cannot listen; everything has ended then. */
  async open(): Promise<string | undefined> {
    const { context } = this.#layout;
    this.#endpoints = await context.publicEndpoints(this.view);
    const failed = await this.#port.openOnce();
    if (failed === undefined) {
      this.#control.begin();
      this.#watchCertificates();
      return undefined;
    }
    this.#port.close(Promise.resolve());
    await this.#control[Symbol.asyncDispose]();
    await this.#service.stop(0).ended;
    this.#tls?.close();
    return failed;
  }

  async prepare(
    { config, ...change }: ServiceChange,
  ): Promise<PreparedChange | readonly string[]> {
    if (config.mode !== "http") throw new Error("a service of another mode");
    const before = this.#layout;
    const { found, errors } = await readHttpFiles(config, before.context.clock);
    const context = { ...before.context, ...change };
    const https = found.https && withKeys(found.https, before.settings.https);
    const files = { ...found, https };
    const tls = await serviceTls(config, files, this.#tls);
    if (typeof tls === "string") return [...errors, `Cannot serve HTTPS: ${tls}`];
    this.#tls = tls ?? this.#tls;
    const next = this.#layOut(config, context, {
      files,
      tls,
      page: files.errorPage ?? DEFAULT_PAGE,
      mayGoAhead: mayGoAheadOf(config),
    }, before.checked);
    const list = next.checked.map(({ upstream }) => upstream);
    errors.push(
      ...await socketRefusals(before.config, config),
      ...portRefusals(before.config, config),
      ...refusalsOf(this.#control, config, this.#tables, list),
    );
    if (errors.length > 0) return errors;
    const changedFiles = changedFilesOf(before.settings, next.settings);
    return { changedFiles, apply: () => this.#put(next), undo: () => this.#put(before) };
  }

  async #put(layout: Layout): Promise<void> {
    const { config, context } = this.#layout = layout;
    this.#accessLog = context.accessLogs?.at(config.accessLog) ?? this.#accessLog;
    const parts = this.#partsOf(layout);
    // Threads may send requests elsewhere from their first one with these settings, not from the next verdict.
    parts.onState?.(this.#control.state);
    const inForce = this.#service.configure(layout.settings, layout.limits);
    this.#control.configure(config, parts, context);
    this.#watchCertificates();
    await inForce;
  }

  /** Reads the files of the present options again and again. */
  #watchCertificates(): void {
    const former = this.#watch;
    former?.[Symbol.dispose]();
    this.#watch = undefined;
    const { config, context: { clock, publish }, settings: { https } } = this.#layout;
    if (https === undefined) return;
    this.#watch = new CertificateWatch(config, https, {
      clock,
      publish,
      objection: (https, inUse) => this.#tls!.objection(https, inUse),
      use: (https) => {
        const { settings, limits, ...rest } = this.#layout;
        this.#layout = { ...rest, limits, settings: { ...settings, https } };
        void this.#service.configure(this.#layout.settings, limits);
      },
    }, former);
  }

  busyWith(): string | undefined {
    return this.#control.busyWith;
  }

  suspend() {
    return this.#control.suspend();
  }

  resume(): void {
    this.#control.resume();
  }

  stop(drainMs: number, now: AbortSignal): Promise<number> {
    return this.#stopped ??= this.#stop(drainMs, now);
  }

  listeners(): readonly PassedListener[] {
    const { name, listen } = this.#layout.config;
    return listenersOf(name, listen, this.#port.passed);
  }

  receive(parcel: Parcel): GoOn | undefined {
    const connection = readHttpParcel(parcel);
    if (connection === undefined || this.#stopped !== undefined) return undefined;
    return () => {
      // From now on the other process accepts no more, and may have left clients in the queue.
      if (this.#next === 0) this.#group.look();
      const group = this.#group;
      const { living } = group;
      const thread = living[this.#next++ % Math.max(1, living.length)];
      if (thread === undefined) return closeDescriptors(parcel.descriptors);
      group.give(thread, parcel.descriptors);
      const what = { is: "connection", ...connection } satisfies ToHttpShard;
      this.#service.orderOne(thread, { do: "message", what });
    };
  }

  leave(passOn: PassOn, drainMs: number, now: AbortSignal): Promise<number> {
    this.#passOn = passOn;
    return this.#stopped ??= this.#stop(drainMs, now, true);
  }

  async #stop(drainMs: number, now: AbortSignal, isLeft = false): Promise<number> {
    const service = this.#service;
    this.#watch?.[Symbol.dispose]();
    // The port is closed first, because running triggers may take long to end.
    // Clients in the queue of a socket that is lent are those of the next process.
    const { inForce, ended } = service.stop(drainMs, isLeft || this.#port.passed?.isLent === true);
    const cutAll = () => service.cutAll();
    now.addEventListener("abort", cutAll);
    if (now.aborted) cutAll();
    this.#port.close(inForce, isLeft ? "left" : "byThreads");
    await this.#control[Symbol.asyncDispose]();
    this.#tls?.close();
    tell(service, { is: "final" });
    const cut = await ended;
    now.removeEventListener("abort", cutAll);
    return cut;
  }

  /** Upstreams of `former` that are reached in the same way are used again. */
  #layOut(
    config: HttpConfig,
    context: ServiceContext,
    { page: errorPage, mayGoAhead, files: { https }, tls }: LaidOut,
    former?: readonly CheckedUpstream[],
  ): Layout {
    const { clock, connectionsMax } = context;
    const pseudonym = this.#pseudonym;
    // For the checks: the threads have connections of their own.
    const { sockets, dialTls } = tls ?? { sockets: denoSockets, dialTls: {} };
    const deps = { clock, deadlines: new Deadlines(clock), sockets, pseudonym };
    const checked = checkedUpstreams(config, { ...deps, tls: dialTls }, former);
    const bytes = checked.length * Int32Array.BYTES_PER_ELEMENT;
    const settings: HttpShardSettings = {
      config: plainConfig(config),
      connectionsMax,
      ...former === undefined
        ? this.#tables
        : changedTables(this.#tables, config.maxConnectionsPerClient),
      errorPage,
      pseudonym,
      standIns: new Int32Array(new SharedArrayBuffer(bytes)),
      numbers: this.#numbers.of(checked.map(({ upstream }) => upstream.name)),
      https,
      dialTls,
    };
    const limits = [connectionsMax, config.holdClients];
    return { config, context, checked, settings, limits, mayGoAhead };
  }

  #partsOf({ config, checked, settings, mayGoAhead }: Layout): ControlPlaneParts {
    const upstreams = checked.map(({ upstream }) => upstream);
    return {
      upstreams,
      probe: probeOf(checked),
      triggers: config.triggerMode,
      failOpen: mayGoAhead,
      onState: (state) => {
        const found = mayGoAhead ? standIns({ state, policy: this.#control.policy }) : [];
        const names = new Set(found.map(({ name }) => name));
        upstreams.forEach(({ name }, rank) =>
          Atomics.store(settings.standIns, rank, names.has(name) ? 1 : 0)
        );
      },
    };
  }

  #hear(report: ShardReport, thread: number): void {
    if (report.is === "doubt") this.#control.doubt(report.doubt);
    else if (report.is === "event") this.#layout.context.publish(report.event);
    else if (report.is === "message") {
      const by = {
        endpoints: this.#endpoints!,
        accessLogAt: (path: string) => this.#layout.context.accessLogs?.at(path) ?? this.#accessLog,
        pass: (connection: PassedConnection) =>
          this.#passOn?.(this.#layout.config.name, httpParcel(connection)),
      };
      void answerShard(this.#service, thread, report, by);
    }
  }
}

function changedFilesOf(before: HttpShardSettings, after: HttpShardSettings): string[] {
  const changed: Key[] = changedHttps(before.https, after.https);
  if (!isSamePage(before.errorPage, after.errorPage)) changed.push("errorPage");
  if (JSON.stringify(before.dialTls) !== JSON.stringify(after.dialTls)) changed.push("caFile");
  return changed.map(yamlKeyOf);
}

function tell(service: ShardedService, what: ToHttpShard, topic?: string): void {
  void service.order({ do: "message", what }, topic);
}
