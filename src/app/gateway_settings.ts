/** The settings of a gateway, from the options of its service. Part of the composition root. */
import type { HttpConfig } from "../config/options.ts";
import type { ErrorPage } from "../gateway/answers.ts";
import type { GatewaySettings } from "../gateway/gateway.ts";

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
    errorPage,
  };
}
