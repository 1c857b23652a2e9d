/**
 * Chooses where an HTTP service runs: in the threads that all services share, or on this thread. Only the code of the
 * one that was chosen is loaded. Part of the composition root.
 */
import { formatAddress } from "../base/address.ts";
import type { HttpConfig } from "../config/options.ts";
import { DEFAULT_PAGE } from "../gateway/error_page.ts";
import { HANDSHAKES_MIN } from "../gateway/handshakes.ts";
import { reserveOf } from "../http1/reserve.ts";
import { tryBind } from "../net/deno/bind.ts";
import type { Need } from "../net/descriptors.ts";
import { ThreadGroup } from "../threads/thread_group.ts";
import { type HttpFiles, readHttpFiles } from "./files.ts";
import { mayGoAheadOf } from "./gateway_settings.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";
import { checkDescriptors } from "./shares.ts";
import { chooseSockets, socketsUnsupportedReason } from "./transport.ts";

/** An HTTP service that can be started. */
export async function httpStarter(config: HttpConfig): Promise<Starter> {
  return {
    listenOption: "listen",
    listensOn: formatAddress(config.listen),
    need: await needOf(config),
    tryListen: () => tryBind(config.listen),
    start: (context) => start(config, context),
  };
}

/** Descriptors of a service's loops and ports. */
const SERVICE_DESCRIPTORS = 12;

/** Descriptors of the connections beyond the limit, and of the TLS handshakes that are always allowed. */
const MORE_DESCRIPTORS = { plain: reserveOf(1), tls: reserveOf(1) + HANDSHAKES_MIN };
/** The part of these that grows with the number of clients, for each client. */
const MORE_EACH = { plain: 1 / 8, tls: 1 / 8 + 1 / 4 };

/** Those of the port that sends clients of HTTP to HTTPS. */
const REDIRECT_DESCRIPTORS = 256;

/**
 * A client, its upstream, and a kept connection to the upstream that was active before; with PROXY protocol headers
 * over Deno's TLS also both ends of a connection to the TLS listener.
 */
async function needOf(config: HttpConfig): Promise<Need> {
  const { primary, backup, checkHost, maxConnections, tlsCert, acceptProxy } = config;
  const upstreams = [primary, ...backup ?? []];
  const kind = tlsCert === undefined ? "plain" : "tls";
  const checks = upstreams.length * checkDescriptors(checkHost);
  const redirects = config.redirectHttp === undefined ? 0 : REDIRECT_DESCRIPTORS;
  const fixed = SERVICE_DESCRIPTORS + MORE_DESCRIPTORS[kind] + checks + redirects;
  // Connections whose header has not come yet, and those to the TLS listener.
  const isDenos = kind === "tls" && await socketsUnsupportedReason(config) !== undefined;
  const more = acceptProxy === "none" ? 0 : isDenos ? 3 : 1;
  const each = 3 + more + MORE_EACH[kind];
  return { asked: maxConnections, each, fixed };
}

/** Builds and starts the service. Its port is open when this resolves; requests wait for an upstream. */
async function start(config: HttpConfig, context: ServiceContext): Promise<Service | string> {
  const service = await startService(config, context);
  if (typeof service === "string" || config.redirectHttp === undefined) return service;
  return await (await import("./redirect.ts")).withRedirect(service, config, context);
}

/** Says which certificates are not valid by their dates; those for clients only if nobody will look at them later. */
async function warnOfDates(
  { upstreamCert }: HttpConfig,
  { clock, publish }: ServiceContext,
  { https, upstreamCertificate }: HttpFiles,
  areWatched: boolean,
): Promise<void> {
  const files = [
    ...areWatched ? [] : https?.certificates ?? [],
    ...upstreamCertificate ? [{ certPath: upstreamCert!, ...upstreamCertificate }] : [],
  ];
  if (files.length === 0) return;
  const { dateWarnings } = await import("./certificate_dates.ts");
  for (const warning of dateWarnings(files, clock.wall())) {
    publish({ type: "config.warned", warning });
  }
}

async function startService(
  config: HttpConfig,
  context: ServiceContext,
): Promise<Service | string> {
  const { found: files, errors } = await readHttpFiles(config, context.clock);
  // They were valid when the process started, but may have changed before a restart of the service.
  if (errors.length > 0) return errors.join("; ");
  const sockets = await chooseSockets(config, context);
  if (typeof sockets === "string") return sockets;
  await warnOfDates(config, context, files, sockets instanceof ThreadGroup);
  const mayGoAhead = mayGoAheadOf(config);
  const page = files.errorPage ?? DEFAULT_PAGE;
  if (sockets instanceof ThreadGroup) {
    const { startInThreads } = await import("./http_in_threads.ts");
    return await startInThreads(config, context, { group: sockets, files, page, mayGoAhead });
  }
  const { startOnMain } = await import("./http_on_main.ts");
  return await startOnMain(config, context, { files, sockets, page, mayGoAhead });
}
