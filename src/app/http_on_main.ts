/**
 * An HTTP service that this thread serves, with sockets of Deno: builds it from a gateway, its listener and a control
 * plane. Part of the composition root.
 */
import { formatAddress } from "../base/address.ts";
import { clientTablesOf } from "./shares.ts";
import type { HttpConfig } from "../config/options.ts";
import type { AccessLog } from "../gateway/access_log.ts";
import type { ErrorPage } from "../gateway/error_page.ts";
import { Gateway } from "../gateway/gateway.ts";
import { listen, type Listening } from "../gateway/listen.ts";
import { requestTimesOf } from "../gateway/request_times.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { Sockets } from "../net/transport.ts";
import { ControlPlane, type DataPlaneCounts } from "./control_plane.ts";
import type { HttpFiles } from "./files.ts";
import {
  accessLogFor,
  clientLimitFor,
  clientLimits,
  endAccessLog,
  gatewaySettings,
} from "./gateway_settings.ts";
import { newPseudonym, standIns } from "./http_checks.ts";
import { httpUpstreams } from "./http_upstreams.ts";
import type { Service, ServiceContext } from "./service.ts";

/** The sockets that were chosen, and the files of the service. */
export interface OnMain {
  readonly files: HttpFiles;
  readonly sockets: Sockets;
  readonly page: ErrorPage;
  /** Whether a request may go to another upstream before a switch is decided. */
  readonly mayGoAhead: boolean;
}

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
export async function startOnMain(
  config: HttpConfig,
  context: ServiceContext,
  { files, sockets, page, mayGoAhead }: OnMain,
): Promise<Service | string> {
  const { clock, publish } = context;
  const deadlines = new Deadlines(clock);
  const pseudonym = newPseudonym();
  const deps = { clock, deadlines, sockets, caCerts: files.caCerts, pseudonym };
  const upstreams = httpUpstreams(config, deps);
  const logging = loggingOf(config, context);
  const gateway: Gateway = new Gateway(gatewaySettings(config, page, pseudonym), {
    clock,
    deadlines,
    publish,
    upstreams: upstreams.ways,
    ...logging,
    doubt: (doubt) => control.doubt(doubt),
    others: () => mayGoAhead ? standIns(control) : [],
    // `window` is assigned before the port opens, so no request can find it missing.
    admin: { fetch: (request) => window.fetch(request) },
  });
  const parts = {
    upstreams: upstreams.list,
    probe: upstreams.probe,
    triggers: config.triggerMode,
    failOpen: mayGoAhead,
  };
  const control: ControlPlane = new ControlPlane(config, parts, gateway, context);
  const served: { port?: Listening } = {};
  const view = control.view(countsOf(gateway, served));
  const window = await context.publicEndpoints(view);
  const { listen: address } = config;
  const { connectionsMax, socketMode } = context;
  const place = { address, connectionsMax, socketMode, tls: files.tls };
  const listening = await listen({ ...place, ...clientLimits(config) }, {
    ...{ clock, deadlines, publish, sockets },
    serve: gateway.serve,
    ...countingOf(config, context),
    ...logging,
  });
  if (typeof listening === "string") {
    await control[Symbol.asyncDispose]();
    await sockets.close();
    return `Cannot listen on ${
      formatAddress(address)
    }: ${listening} (from ${config.origins.listen})`;
  }
  served.port = listening;
  control.begin();
  return {
    view,
    finished: Promise.race([listening.finished, control.finished]),
    suspend: () => control.suspend(),
    resume: () => control.resume(),
    async stop(drainMs, now) {
      // The port is closed first, because running triggers may take long to end.
      const cut = listening.stop(drainMs, now);
      await control[Symbol.asyncDispose]();
      gateway.decideNoMore();
      await cut;
      gateway[Symbol.dispose]();
      await endAccessLog(logging.accessLog, clock);
      await sockets.close();
      return cut;
    },
  };
}

/** The access log, if there is to be one. */
function loggingOf(
  config: HttpConfig,
  { accessLogs, clock, publish }: ServiceContext,
): { readonly accessLog?: AccessLog } {
  const file = accessLogs?.at(config.accessLog);
  if (file === undefined) return {};
  const write = (lines: Uint8Array) => file.write(lines);
  const accessLog = accessLogFor(config, { clock, publish, write });
  return accessLog === undefined ? {} : { accessLog };
}

/** The limit for each client, if there is to be one. */
function countingOf(config: HttpConfig, context: ServiceContext) {
  const { maxConnectionsPerClient: max } = config;
  const { clientTables } = clientTablesOf(max, context.connectionsMax, 1);
  return clientLimitFor(clientTables, 0, context);
}

function countsOf(gateway: Gateway, served: { readonly port?: Listening }): DataPlaneCounts {
  return {
    counters: () => countersOf(gateway, served.port),
    holdTimes: () => gateway.holdTimes(),
    requestTimes: () => requestTimesOf([gateway.timer.cells]),
  };
}

/** The counts of the gateway and its port. Both count exchanges that a bug ended, each one in one place only. */
function countersOf(gateway: Gateway, port: Listening | undefined) {
  const [inside, atPort] = [gateway.counters(), port?.counters()];
  return { ...inside, ...atPort, faulted: inside.faulted + (atPort?.faulted ?? 0) };
}
