/**
 * Connects everything that reports to people: the event stream with its subscribers, and the admin endpoints,
 * whose code is loaded only if they are configured. Part of the composition root.
 */
import type { AdminListener, FetchApp } from "../admin/listen.ts";
import type { AdminSettings, Exposure } from "../admin/admin.ts";
import { EventCounts } from "../admin/event_counts.ts";
import type { ConfigState } from "../admin/config_state.ts";
import type { ReloadAnswer, ReloadOrder } from "../admin/reload.ts";
import type { ServiceCounters, ServiceView } from "../admin/view.ts";
import { readAdminToken } from "./admin_token.ts";
import type { ControlPlace } from "./app.ts";
import { type Address, formatAddress } from "../base/address.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { configFingerprint } from "../config/fingerprint.ts";
import type { Config, ServiceConfig } from "../config/options.ts";
import { EventStream } from "../events/stream.ts";
import { Incidents } from "../incidents/incidents.ts";
import { IncidentStore } from "../incidents/store.ts";
import { Notices } from "../report/notices.ts";
import { sentenceOf } from "../report/lines.ts";
import { Log, type Sink } from "../report/log.ts";
import { CONTROL_MAX } from "../net/descriptors.ts";
import type { PassedListener, ReceivedListeners } from "../net/handover.ts";
import type { Server } from "../http1/server.ts";
import { receivedOf } from "./handed_over.ts";
import { OperatorSocket } from "./operator_socket.ts";
import {
  descriptors,
  hasOtherHosts,
  incidentServiceOf,
  logSettingsOf,
  NOT_YET,
  primaryOf,
} from "./report_facts.ts";
import { Webhooks } from "./webhooks.ts";

/** The number of past events that `/__failover/events` can show. */
const EVENTS_KEPT = 256;
/** How long the end of the program waits for the last log lines to be written, in milliseconds. */
const LAST_LINES_MS = 1_000;

/** Reports for other options. */
export interface PreparedReports {
  apply(): void;
  undo(): void;
  /** After `apply`: what is not used any more ends in the background. */
  finish(): void;
}

/** All reports of the process, from its start to its end. */
export class Reports implements AsyncDisposable {
  readonly events: EventStream;
  /** The records of incidents of all services. */
  readonly incidents: Incidents;
  /** One for each service that has started. */
  readonly views: ServiceView[] = [];
  /** True as soon as the process begins to shut down; for balancers. */
  isStopping = false;
  /** Most clients of the control socket at one time; set before the first of them is served. */
  controlConnectionsMax = CONTROL_MAX;
  readonly #clock: Clock;
  #config: Config;
  readonly #version: string;
  readonly #startedAt: number;
  readonly #log: Log;
  readonly #eventCounts = new EventCounts();
  readonly #webhooks: Webhooks;
  #configState: ConfigState;
  /** What a command for a reload calls; set before the first of them is answered. */
  reload: ReloadOrder | undefined;
  readonly #store: IncidentStore | undefined;
  /** Ends the live feeds. */
  readonly #stop = new AbortController();
  #listener: AdminListener | undefined;
  #control: OperatorSocket | undefined;
  /** Replaces the process. */
  upgrade: NonNullable<AdminSettings["upgrade"]> = () =>
    Promise.resolve({ lines: ["the proxy has not started yet"] });
  /** The endpoints of the admin listener. */
  #operatorApp: FetchApp | undefined;
  #adminToken: string | undefined;
  /** Makes them, for the present options. */
  #makeOperatorApp: (() => FetchApp) | undefined;

  constructor(
    config: Config,
    version: string,
    stderr: Sink,
    { clock, coarseClock }: { readonly clock: Clock; readonly coarseClock: Clock },
  ) {
    const { stateDir } = config.process;
    this.#clock = clock;
    this.#config = config;
    this.#version = version;
    this.#startedAt = clock.wall();
    this.events = new EventStream(clock, { keep: EVENTS_KEPT });
    this.#configState = { hash: configFingerprint(config), readAt: clock.wall() };
    this.#log = new Log(logSettingsOf(config), stderr);
    this.events.subscribe(this.#log.take);
    this.events.subscribe(this.#eventCounts.take);
    this.#store = stateDir === undefined
      ? undefined
      : new IncidentStore(stateDir, { clock, publish: this.events.scope("") });
    this.incidents = this.#recorders(coarseClock);
    this.events.subscribe(this.incidents.take);
    const { events } = this;
    this.#webhooks = new Webhooks(config.process, {
      ...{ clock, events },
      newNotices: () => this.#newNotices(),
    });
  }

  /** A service comes, or is another one from now on in records and notices. */
  setService(service: ServiceConfig): void {
    this.incidents.setService(incidentServiceOf(service));
    this.#webhooks.notices?.setService(service.name, primaryOf(service));
  }

  /** A service is gone. */
  removeService(name: string): void {
    this.incidents.removeService(name);
    this.#webhooks.notices?.removeService(name);
    const place = this.views.findIndex((view) => view.name === name);
    if (place >= 0) this.views.splice(place, 1);
  }

  /** Prepares the reports for other options, or resolves with error lines. Nothing changes before `apply`. */
  async prepare(config: Config): Promise<PreparedReports | readonly string[]> {
    const read = await this.#readToken(config);
    if ("error" in read) return [read.error];
    const former = { config: this.#config, token: this.#adminToken };
    const webhook = this.#webhooks.prepare(config.process);
    const put = (config: Config, token: string | undefined) => {
      const isSame = token === this.#adminToken && !hasOtherHosts(this.#config, config);
      this.#config = config;
      this.#adminToken = token;
      this.#log.configure(logSettingsOf(config));
      if (!isSame) this.#operatorApp = this.#makeOperatorApp?.();
    };
    return {
      apply: () => {
        put(config, read.token);
        webhook.apply();
      },
      undo: () => {
        put(former.config, former.token);
        webhook.undo();
      },
      finish: webhook.finish,
    };
  }

  /** The config was read again, or could not be; `config` is in force now. */
  noteReload({ outcome, changes, errors }: ReloadAnswer, by: string, config: Config): void {
    const at = this.#clock.wall();
    const { hash, readAt } = this.#configState;
    this.#configState = {
      ...outcome === "refused" ? { hash, readAt } : { hash: configFingerprint(config), readAt: at },
      lastReload: { at, by, outcome, changes, errors },
    };
  }

  /** The admin endpoints on the main port of an HTTP service. */
  async publicEndpoints(view: ServiceView): Promise<FetchApp> {
    const { adminApp } = await import("../admin/admin.ts");
    const apps = new Map<Exposure, FetchApp>();
    const appFor = (exposure: Exposure) => {
      const app = apps.get(exposure) ?? adminApp(this.#settings([view]), exposure);
      apps.set(exposure, app);
      return app;
    };
    // The option may change.
    return { fetch: (request, env) => appFor(this.#publicExposure()).fetch(request, env) };
  }

  /**
   * Opens the admin listener. Resolves with an object whose `finished` rejects if the listener fails, or
   * with the reason why it cannot listen.
   */
  async listenAdmin(
    address: Address,
    connectionsMax: number,
    received?: ReceivedListeners,
  ): Promise<{ readonly finished: Promise<void> } | string> {
    const [{ adminApp }, { listenAdmin }] = await Promise.all([
      import("../admin/admin.ts"),
      import("../admin/listen.ts"),
    ]);
    const read = await this.#readToken(this.#config);
    if ("error" in read) return read.error;
    this.#adminToken = read.token;
    this.#makeOperatorApp = () => {
      const { adminHosts } = this.#config.process;
      // A web page cannot reach a unix socket.
      const ownNames = address.kind === "unix" ? {} : {
        ownNames: [address.host, ...adminHosts ?? []],
      };
      const settings = { ...this.#settings(this.views), ...ownNames, connectionsMax };
      const token = this.#adminToken;
      return adminApp(settings, "operator", token === undefined ? "none" : { token });
    };
    this.#operatorApp = this.#makeOperatorApp();
    const app: FetchApp = { fetch: (request, env) => this.#operatorApp!.fetch(request, env) };
    const publish = this.events.scope("");
    const listener = await listenAdmin(address, app, {
      clock: this.#clock,
      publish,
      connectionsMax,
      socketMode: this.#config.process.socketMode,
      ...receivedOf(received, { is: "admin" }, address),
    });
    if (typeof listener === "string") return listener;
    this.#listener = listener;
    return listener;
  }

  /**
   * Takes commands at the control socket. Resolves with an error line if an option asks for a place where that
   * cannot be done; by default a warning is logged, and the proxy runs without.
   */
  async listenControl(
    { path, isDefault }: ControlPlace,
    received?: ReceivedListeners,
    mayBegin?: Promise<void>,
  ): Promise<string | undefined> {
    const publish = this.events.scope("");
    const opened = await OperatorSocket.open(path, {
      ...{ clock: this.#clock, publish, received, mayBegin },
      server: () => this.#controlServer(),
    });
    if (opened instanceof OperatorSocket) this.#control = opened;
    else if (!isDefault) return `Cannot listen on ${path}: ${opened} (option control)`;
    else publish({ type: "control.missing", path, reason: opened });
  }

  async #readToken(
    { process: { adminTokenFile } }: Config,
  ): Promise<{ readonly token: string | undefined } | { readonly error: string }> {
    return adminTokenFile === undefined
      ? { token: undefined }
      : await readAdminToken(adminTokenFile);
  }

  /** With `--admin` the main port shows nothing, unless an option says so. */
  #publicExposure(): Exposure {
    const { admin, publicState, origins } = this.#config.process;
    if (admin !== undefined && origins.publicState === "default") return "health";
    return ({ brief: "brief", full: "public", off: "health" } as const)[publicState];
  }

  async #controlServer(): Promise<Server> {
    const [{ adminApp }, { adminServer }, { describeUser }, { parsePeer }] = await Promise.all([
      import("../admin/admin.ts"),
      import("../admin/listen.ts"),
      import("../control/user.ts"),
      import("../net/linux/local_listener.ts"),
    ]);
    const nameOf = (peer: string) => {
      const credentials = parsePeer(peer);
      return credentials === undefined ? "a local user" : describeUser(credentials);
    };
    const connectionsMax = this.controlConnectionsMax;
    const upgrade: AdminSettings["upgrade"] = (order) => this.upgrade(order);
    const settings = { ...this.#settings(this.views), nameOf, connectionsMax, upgrade };
    const app = adminApp(settings, "operator", "all");
    return adminServer(app, {
      clock: this.#clock,
      publish: this.events.scope(""),
      connectionsMax,
    });
  }

  /** Whether the control socket is open. */
  get takesCommands(): boolean {
    return this.#control !== undefined;
  }

  /** The listening sockets of the control socket and the admin listener. */
  listeners(): readonly PassedListener[] {
    const found: PassedListener[] = [];
    const passed = this.#listener?.passed();
    const { admin } = this.#config.process;
    if (passed !== undefined && admin !== undefined) {
      found.push({ owner: { is: "admin" }, address: formatAddress(admin), ...passed });
    }
    return [...found, ...this.#control?.listeners() ?? []];
  }

  /**
   * Accepts nobody any more, because another process does. Kept connections and live feeds end, so that their clients
   * come to that one; answers under way are still given.
   */
  leave(): void {
    this.#stop.abort();
    this.#listener?.leave();
    this.#control?.leave();
  }

  /** Ends the live feeds and sends the last notices and log lines, within a bounded time. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#listener?.[Symbol.asyncDispose]();
    await this.#control?.[Symbol.asyncDispose]();
    await this.#webhooks[Symbol.asyncDispose]();
    await this.#store?.[Symbol.asyncDispose]();
    await Promise.race([this.#log.flushed(), sleep(this.#clock, LAST_LINES_MS)]);
  }

  #settings(services: readonly ServiceView[]): AdminSettings {
    const { events, incidents } = this;
    return {
      incidents,
      clock: this.#clock,
      services,
      events,
      eventCounts: this.#eventCounts,
      sentence: sentenceOf,
      isStopping: () => this.isStopping,
      reload: (order) => this.reload?.(order) ?? Promise.resolve(NOT_YET),
      listeners: () => ({
        admin: this.#listener === undefined ? null : formatAddress(this.#listener.address),
        admin_takes_orders: this.#config.process.adminTokenFile !== undefined,
      }),
      stop: this.#stop.signal,
      facts: () => ({
        version: this.#version,
        startedAt: this.#startedAt,
        now: this.#clock.now(),
        descriptors: descriptors(),
        memoryBytes: Deno.memoryUsage().rss,
        logLinesLost: this.#log.lost,
        notificationsLost: this.#webhooks.lost,
        config: this.#configState,
        reportsBroken: events.broken + incidents.broken,
      }),
    };
  }

  #recorders(clock: Clock): Incidents {
    const services = this.#config.services.map(incidentServiceOf);
    return new Incidents(services, {
      clock,
      version: this.#version,
      counters: (name) => {
        const view = this.views.find((view) => view.name === name);
        const holdTimes = view?.holdTimes();
        return { ...view?.counters(), ...holdTimes === undefined ? {} : { holdTimes } };
      },
      storage: this.#store,
    });
  }

  /** The present counts of a service; none before it has started. */
  #countersOf(name: string): ServiceCounters {
    return this.views.find((view) => view.name === name)?.counters() ?? {};
  }

  #newNotices(): Notices {
    const primaries = this.#config.services.map((service) => [service.name, primaryOf(service)]);
    // The records see each event before the notices.
    const recordOf = (name: string) => this.incidents.list(name).at(-1)?.id;
    return new Notices(Object.fromEntries(primaries), (name) => {
      const counters = this.#countersOf(name);
      const { released = 0, retried = 0, lost = 0, cut = 0 } = counters;
      return { released, retried, lost, cut };
    }, recordOf);
  }
}
