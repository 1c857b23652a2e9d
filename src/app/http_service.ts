/** Builds an HTTP service from a gateway, its listener and a control plane. Part of the composition root. */
import { formatAddress } from "../base/address.ts";
import { tryBind } from "../net/deno/bind.ts";
import { ControlPlane, type DataPlaneCounts } from "./control_plane.ts";
import type { HttpConfig } from "../config/options.ts";
import { type HttpFiles, readHttpFiles } from "./files.ts";
import type { AccessLog } from "../gateway/access_log.ts";
import { DEFAULT_PAGE, type ErrorPage } from "../gateway/answers.ts";
import { Gateway } from "../gateway/gateway.ts";
import { requestTimesOf } from "../gateway/request_times.ts";
import { HANDSHAKES_MIN } from "../gateway/handshakes.ts";
import { listen, type Listening } from "../gateway/listen.ts";
import { Deadlines } from "../net/deadlines.ts";
import { reserveOf } from "../http1/server.ts";
import { ThreadGroup } from "../threads/thread_group.ts";
import { accessLogFor, endAccessLog, gatewaySettings } from "./gateway_settings.ts";
import { newPseudonym, standIns, startInThreads } from "./http_in_threads.ts";
import { chooseSockets } from "./transport.ts";
import { httpUpstreams } from "./http_upstreams.ts";
import type { Sockets } from "../net/transport.ts";
import type { Need } from "../net/descriptors.ts";
import { checkDescriptors } from "./shares.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";

export function httpStarter(config: HttpConfig): Starter {
  return {
    listenOption: "listen",
    listensOn: formatAddress(config.listen),
    need: needOf(config),
    tryListen: () => tryBind(config.listen),
    start: (context) => start(config, context),
  };
}

/** Descriptors of a service's loops and ports, and over TLS of the inner server of HTTP/2. */
const SERVICE_DESCRIPTORS = 12;

/** Descriptors of the connections beyond the limit, and of the TLS handshakes that are always allowed. */
const MORE_DESCRIPTORS = { plain: reserveOf(1), tls: reserveOf(1) + HANDSHAKES_MIN };
/** The part of these that grows with the number of clients, for each client. */
const MORE_EACH = { plain: 1 / 8, tls: 1 / 8 + 1 / 4 };

/**
 * A client, its upstream, and a kept connection to the upstream that was active before; over HTTP/2 also both
 * ends of the connection to the inner server.
 */
function needOf({ primary, backup, checkHost, maxConnections, tlsCert }: HttpConfig): Need {
  const upstreams = [primary, ...backup ?? []];
  const kind = tlsCert === undefined ? "plain" : "tls";
  const checks = upstreams.length * checkDescriptors(checkHost);
  const fixed = SERVICE_DESCRIPTORS + MORE_DESCRIPTORS[kind] + checks;
  const each = (kind === "plain" ? 3 : 5) + MORE_EACH[kind];
  return { asked: maxConnections, each, fixed };
}

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
async function start(config: HttpConfig, context: ServiceContext): Promise<Service | string> {
  const { found: files, errors } = await readHttpFiles(config, context.clock);
  // They were valid when the process started, but may have changed before a restart of the service.
  if (errors.length > 0) return errors.join("; ");
  const sockets = chooseSockets(config, context);
  if (typeof sockets === "string") return sockets;
  // If a switch waits for triggers, no request may reach the new upstream before they have ended.
  const mayGoAhead = config.triggerMode === "beside" || config.onFailover === undefined;
  const page = files.errorPage ?? DEFAULT_PAGE;
  if (sockets instanceof ThreadGroup) {
    return await startInThreads(config, context, { group: sockets, page, mayGoAhead });
  }
  return await startHere(config, context, { files, sockets, page, mayGoAhead });
}

/** What is known of a service before it is built. */
interface Chosen {
  readonly files: HttpFiles;
  readonly sockets: Sockets;
  readonly page: ErrorPage;
  readonly mayGoAhead: boolean;
}

/** The same on this thread. */
async function startHere(
  config: HttpConfig,
  context: ServiceContext,
  { files, sockets, page, mayGoAhead }: Chosen,
): Promise<Service | string> {
  const { clock, publish } = context;
  const deadlines = new Deadlines(clock);
  const pseudonym = newPseudonym();
  const { caCerts } = files;
  const upstreams = httpUpstreams(config, { clock, deadlines, sockets, caCerts, pseudonym });
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
  const listening = await listen({ address, connectionsMax, socketMode, tls: files.tls }, {
    clock,
    deadlines,
    publish,
    sockets,
    serve: gateway.serve,
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
