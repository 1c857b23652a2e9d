/** The settings of a gateway and its access log, from the options of its service. Part of the composition root. */
import { Networks } from "../base/cidr.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { HttpConfig } from "../config/options.ts";
import { AccessLog, type AccessLogParts } from "../gateway/access_log.ts";
import type { Publish } from "../events/events.ts";
import { ClientLimit, type ClientTables } from "../net/client_limit.ts";
import type { ProxyVersions } from "../net/proxy_protocol.ts";
import type { ErrorPage } from "../gateway/error_page.ts";
import type { ClientLimits } from "../gateway/listen.ts";
import type { GatewaySettings } from "../gateway/gateway.ts";

/** The access log of a service, if it has one; `write` appends lines to its file. */
export function accessLogFor(config: HttpConfig, parts: AccessLogParts): AccessLog | undefined {
  if (config.accessLog === "off") return undefined;
  const { name, accessLogFormat: format, trustedProxies = [] } = config;
  return new AccessLog({ service: name, format, trusted: new Networks(trustedProxies) }, parts);
}

/** Whether the access logs of these options write the same lines to the same place. */
export function hasSameAccessLog(one: HttpConfig, other: HttpConfig): boolean {
  const partsOf = ({ name, accessLog, accessLogFormat, trustedProxies }: HttpConfig) =>
    JSON.stringify([name, accessLog, accessLogFormat, trustedProxies]);
  return partsOf(one) === partsOf(other);
}

/**
 * Whether a request may go to another upstream before a switch is decided: if the switch waits for triggers, no request
 * may reach the new upstream before they have ended.
 */
export function mayGoAheadOf({ triggerMode, onFailover }: HttpConfig): boolean {
  return triggerMode === "beside" || onFailover === undefined;
}

/** How long the end of a service waits for the last lines of its access log, in milliseconds. */
const LAST_LINES_MS = 1_000;

/** Writes the last lines, in a bounded time. */
export async function endAccessLog(log: AccessLog | undefined, clock: Clock): Promise<void> {
  if (log !== undefined) await Promise.race([log.flushed(), sleep(clock, LAST_LINES_MS)]);
}

/** What limits the connections of each client, if that is asked for. */
export function clientLimitFor(
  tables: ClientTables | undefined,
  thread: number,
  { clock, publish }: { readonly clock: Clock; readonly publish: Publish },
): { readonly clientLimit?: ClientLimit } {
  if (tables === undefined) return {};
  const onRefused = (client: string, max: number, count: number) =>
    publish({ type: "client.limited", client, max, count });
  return { clientLimit: new ClientLimit(tables, thread, () => clock.now(), onRefused) };
}

/** The limits for clients of a service, and the versions of the PROXY protocol that it accepts. */
export function clientLimits(
  config: HttpConfig,
): {
  readonly limits: ClientLimits;
  readonly h2c: boolean;
  readonly acceptProxy?: ProxyVersions;
} {
  const limits = {
    headBytesMax: config.maxHead,
    headMs: config.headTimeout,
    bodyMs: config.bodyTimeout,
    writeMs: config.writeTimeout,
    idleMs: config.keepAliveTimeout,
  };
  const { acceptProxy, h2c } = config;
  return acceptProxy === "none" ? { limits, h2c } : { limits, h2c, acceptProxy };
}

/** The settings of a gateway; `pseudonym` is its name in `Via`. */
export function gatewaySettings(
  config: HttpConfig,
  errorPage: ErrorPage,
  pseudonym: string,
): GatewaySettings {
  return {
    pseudonym,
    allowTrace: config.allowTrace,
    holdMs: config.hold,
    heldMax: config.holdClients,
    responseTimeoutMs: config.responseTimeout,
    idleTimeoutMs: config.idleTimeout,
    bodyMax: config.maxBody,
    honourIdempotencyKey: config.honourIdempotencyKey,
    failoverHeader: !config.noFailoverHeader,
    requestId: config.requestId,
    hsts: config.hsts,
    retryOn: config.retryOn ?? [],
    errorPage,
  };
}
