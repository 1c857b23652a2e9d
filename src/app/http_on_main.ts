/**
 * An HTTP service that this thread serves, with sockets of Deno: builds it from a gateway, its listener and a control
 * plane. Part of the composition root.
 */
import type { ServiceView } from "../admin/view.ts";
import { formatAddress } from "../base/address.ts";
import { type HttpConfig, type Key, yamlKeyOf } from "../config/options.ts";
import type { AccessLog } from "../gateway/access_log.ts";
import { DEFAULT_PAGE, type ErrorPage, isSamePage } from "../gateway/error_page.ts";
import { Gateway, type GatewaySettings } from "../gateway/gateway.ts";
import { type HttpsSettings, listen, type Listening } from "../gateway/listen.ts";
import { requestTimesOf } from "../gateway/request_times.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { PassedListener } from "../net/handover.ts";
import type { Sockets } from "../net/transport.ts";
import type { AccessLogFile } from "../report/access_log_file.ts";
import { changedHttps } from "./changed_files.ts";
import { ControlPlane, type ControlPlaneParts } from "./control_plane.ts";
import { type HttpFiles, readHttpFiles } from "./files.ts";
import {
  accessLogFor,
  clientLimitFor,
  clientLimits,
  endAccessLog,
  gatewaySettings,
  hasSameAccessLog,
  mayGoAheadOf,
} from "./gateway_settings.ts";
import { gated } from "./gate.ts";
import { listenersOf, receivedFor } from "./handed_over.ts";
import { newPseudonym, standIns, targetsOf } from "./http_checks.ts";
import { type HttpUpstreams, httpUpstreams } from "./http_upstreams.ts";
import { portRefusals, refusalsOf } from "./refusals.ts";
import type { PreparedChange, Service, ServiceChange, ServiceContext } from "./service.ts";
import { clientTablesOf } from "./shares.ts";
import { tlsOptionError } from "./transport.ts";
import { timesByName, UpstreamNumbers } from "./upstream_numbers.ts";

/** The sockets that were chosen, and the files of the service. */
export interface OnMain {
  readonly files: HttpFiles;
  readonly sockets: Sockets;
  readonly page: ErrorPage;
  /** Whether a request may go to another upstream before a switch is decided. */
  readonly mayGoAhead: boolean;
}

/** What the options make of the service. */
interface Layout {
  readonly config: HttpConfig;
  readonly context: ServiceContext;
  readonly upstreams: HttpUpstreams;
  readonly page: ErrorPage;
  readonly tls: HttpsSettings | undefined;
  readonly caCerts: readonly string[] | undefined;
  readonly mayGoAhead: boolean;
}

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
export async function startOnMain(
  config: HttpConfig,
  context: ServiceContext,
  onMain: OnMain,
): Promise<Service | string> {
  const refused = severalCertificates(onMain.files, config);
  if (refused !== undefined) return refused;
  const running = new HttpOnMain(config, context, onMain);
  const failed = await running.open();
  if (failed !== undefined) {
    return `Cannot listen on ${
      formatAddress(config.listen)
    }: ${failed} (from ${config.origins.listen})`;
  }
  return running;
}

class HttpOnMain implements Service {
  readonly view: ServiceView;
  readonly #sockets: Sockets;
  readonly #numbers = new UpstreamNumbers();
  readonly #pseudonym = newPseudonym();
  readonly #deadlines: Deadlines;
  readonly #tables: ReturnType<typeof clientTablesOf>;
  readonly #gateway: Gateway;
  readonly #control: ControlPlane;
  #layout: Layout;
  #accessLog: AccessLog | undefined;
  /** The file that was written to last: lines may still be on their way when nothing is logged any more. */
  #logFile: AccessLogFile | undefined;
  #endpoints: Awaited<ReturnType<ServiceContext["publicEndpoints"]>> | undefined;
  #port: Listening | undefined;

  /** Makes the parts. Nothing is checked or listened on before `open`. */
  constructor(config: HttpConfig, context: ServiceContext, { sockets, ...files }: OnMain) {
    const { clock, publish, connectionsMax } = context;
    this.#sockets = sockets;
    const deadlines = this.#deadlines = new Deadlines(clock);
    this.#tables = clientTablesOf(config.maxConnectionsPerClient, connectionsMax, 1);
    const layout = this.#layout = this.#layOut(config, context, files);
    const accessLog = this.#accessLog = this.#accessLogOf(layout);
    const gateway = this.#gateway = new Gateway(this.#settingsOf(layout), {
      clock,
      deadlines,
      publish,
      upstreams: layout.upstreams.ways,
      ...accessLog === undefined ? {} : { accessLog },
      doubt: (doubt) => this.#control.doubt(doubt),
      others: () => this.#layout.mayGoAhead ? standIns(this.#control) : [],
      // It is set before the port opens, so no request can find it missing.
      admin: { fetch: (request) => this.#endpoints!.fetch(request) },
    });
    this.#control = new ControlPlane(config, partsOf(layout), gateway, context);
    this.view = this.#control.view({
      counters: () => countersOf(gateway, this.#port),
      holdTimes: () => gateway.holdTimes(),
      requestTimes: () => timesByName(requestTimesOf([gateway.timer.cells]), this.#numbers),
    });
  }

  get finished(): Promise<unknown> {
    return Promise.race([this.#port!.finished, this.#control.finished]);
  }

  /** Listens and begins to check. Resolves with the reason if it cannot listen; everything has ended then. */
  async open(): Promise<string | undefined> {
    const { config, context, tls } = this.#layout;
    const { clock, publish, connectionsMax, socketMode } = context;
    this.#endpoints = await context.publicEndpoints(this.view);
    const place = { address: config.listen, connectionsMax, socketMode, tls };
    const accessLog = this.#accessLog;
    const { received } = receivedFor(context, config.name, config.listen);
    const listening = await listen({ ...place, received, ...clientLimits(config) }, {
      ...{ clock, deadlines: this.#deadlines, publish },
      sockets: gated(this.#sockets, context.mayBegin),
      serve: this.#gateway.serve,
      ...clientLimitFor(this.#tables.clientTables, 0, context),
      ...accessLog === undefined ? {} : { accessLog },
    });
    if (typeof listening === "string") {
      await this.#control[Symbol.asyncDispose]();
      await this.#sockets.close();
      return listening;
    }
    this.#port = listening;
    this.#control.begin();
  }

  async prepare(
    { config, ...change }: ServiceChange,
  ): Promise<PreparedChange | readonly string[]> {
    if (config.mode !== "http") throw new Error("a service of another mode");
    const before = this.#layout;
    const { found: files, errors } = await readHttpFiles(config, before.context.clock);
    const next = this.#layOut(config, { ...before.context, ...change }, {
      files,
      page: files.errorPage ?? DEFAULT_PAGE,
      mayGoAhead: mayGoAheadOf(config),
    }, before.upstreams);
    const refused = severalCertificates(files, config) ?? await tlsOptionError(config);
    errors.push(
      ...refused === undefined ? [] : [refused],
      ...portRefusals(before.config, config),
      ...refusalsOf(this.#control, config, this.#tables, next.upstreams.list),
    );
    if (errors.length > 0) return errors;
    const put = (layout: Layout) => Promise.resolve(this.#put(layout));
    return {
      changedFiles: changedFilesOf(before, next),
      apply: () => put(next),
      undo: () => put(before),
    };
  }

  #put(layout: Layout): void {
    const { config: before } = this.#layout;
    const { config, context, upstreams, tls } = this.#layout = layout;
    if (!hasSameAccessLog(before, config)) {
      void endAccessLog(this.#accessLog, context.clock);
      this.#accessLog = this.#accessLogOf(layout);
    }
    const accessLog = this.#accessLog;
    this.#gateway.configure(this.#settingsOf(layout), {
      upstreams: upstreams.ways,
      ...accessLog === undefined ? {} : { accessLog },
    });
    this.#port!.configure({
      connectionsMax: context.connectionsMax,
      ...clientLimits(config),
      perClientMax: config.maxConnectionsPerClient ?? Infinity,
      accessLog,
      tls,
    });
    this.#control.configure(config, partsOf(layout), context);
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

  listeners(): readonly PassedListener[] {
    const { name, listen } = this.#layout.config;
    return listenersOf(name, listen, this.#port!.passed());
  }

  // The port is closed first, because running triggers may take long to end.
  stop(drainMs: number, now: AbortSignal): Promise<number> {
    return this.#ended(this.#port!.stop(drainMs, now));
  }

  leave(_passOn: unknown, drainMs: number, now: AbortSignal): Promise<number> {
    return this.#ended(this.#port!.leave(drainMs, now));
  }

  async #ended(cut: Promise<number>): Promise<number> {
    await this.#control[Symbol.asyncDispose]();
    this.#gateway.decideNoMore();
    await cut;
    this.#gateway[Symbol.dispose]();
    await endAccessLog(this.#accessLog, this.#layout.context.clock);
    await this.#sockets.close();
    return cut;
  }

  /** Upstreams of `former` that are reached in the same way are used again. */
  #layOut(
    config: HttpConfig,
    context: ServiceContext,
    { files, page, mayGoAhead }: Omit<OnMain, "sockets">,
    former?: HttpUpstreams,
  ): Layout {
    const deps = {
      clock: context.clock,
      deadlines: this.#deadlines,
      sockets: this.#sockets,
      tls: { caCerts: files.caCerts },
      pseudonym: this.#pseudonym,
    };
    const numbers = this.#numbers.of(targetsOf(config).map(({ name }) => name));
    const upstreams = httpUpstreams(config, deps, numbers, former);
    const { https: tls, caCerts } = files;
    return { config, context, upstreams, page, tls, caCerts, mayGoAhead };
  }

  #settingsOf({ config, page }: Layout): GatewaySettings {
    return gatewaySettings(config, page, this.#pseudonym);
  }

  /** The access log, if there is to be one. */
  #accessLogOf({ config, context }: Layout): AccessLog | undefined {
    const { accessLogs, clock, publish } = context;
    const file = this.#logFile = accessLogs?.at(config.accessLog) ?? this.#logFile;
    if (file === undefined) return undefined;
    const write = (lines: Uint8Array) => file.write(lines);
    return accessLogFor(config, { clock, publish, write });
  }
}

/** The error line for several certificates of one folder; what options ask for was refused before. */
function severalCertificates({ https }: HttpFiles, { origins }: HttpConfig): string | undefined {
  if (https === undefined || https.certificates.length === 1) return undefined;
  const why = "the sockets of Deno cannot do that";
  return `Cannot use several certificates: ${why} (from ${origins.tlsCert})`;
}

function changedFilesOf(before: Layout, after: Layout): string[] {
  const changed: Key[] = changedHttps(before.tls, after.tls);
  if (!isSamePage(before.page, after.page)) changed.push("errorPage");
  if (JSON.stringify(before.caCerts) !== JSON.stringify(after.caCerts)) changed.push("caFile");
  return changed.map(yamlKeyOf);
}

function partsOf({ config, upstreams, mayGoAhead }: Layout): ControlPlaneParts {
  return {
    upstreams: upstreams.list,
    probe: upstreams.probe,
    triggers: config.triggerMode,
    failOpen: mayGoAhead,
  };
}

/** The counts of the gateway and its port. Both count exchanges that a bug ended, each one in one place only. */
function countersOf(gateway: Gateway, port: Listening | undefined) {
  const [inside, atPort] = [gateway.counters(), port?.counters()];
  return { ...inside, ...atPort, faulted: inside.faulted + (atPort?.faulted ?? 0) };
}
