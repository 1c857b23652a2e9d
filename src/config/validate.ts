/**
 * Checks options that are valid by themselves against each other. An error keeps the process from starting;
 * a warning is for a setting that has less effect than it seems.
 */
import { type Address, formatAddress } from "../base/address.ts";
import { formatDuration } from "../base/duration.ts";
import type { Target } from "./http_kinds.ts";
import { collide, type Interfaces, isOwn } from "./own_address.ts";
import {
  type Config,
  type HttpConfig,
  type Key,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";

/** Errors and warnings, one line each. Both lists are empty for options that fit together. */
export function validate(
  config: Config,
  interfaces: Interfaces,
): { errors: string[]; warnings: string[] } {
  const errors = twoListeners(config);
  const warnings: string[] = [];
  for (const service of config.services) {
    const prefix = config.services.length > 1 ? `Service "${service.name}": ` : "";
    const found = {
      errors: [...selves(service, interfaces), ...promotions(service)],
      warnings: [...switches(service), ...useless(service)],
    };
    if (service.mode === "http") upstreamsOf(service, found);
    errors.push(...found.errors.map((line) => prefix + line));
    warnings.push(...found.warnings.map((line) => prefix + line));
  }
  const listeners = config.services.map((each) => each.mode === "tcp" ? each.bind : each.listen);
  const hasSocket = [config.process.admin, ...listeners].some((each) => each?.kind === "unix");
  if (isWritten(config.process, "socketMode") && !hasSocket) {
    warnings.push("socket_mode does nothing: nothing listens on a unix socket");
  }
  for (const key of ["adminHosts", "adminTokenFile"] as const) {
    if (config.process.admin === undefined && isWritten(config.process, key)) {
      warnings.push(`${yamlKeyOf(key)} does nothing without admin`);
    }
  }
  coordination(config.process, { errors, warnings });
  if (config.process.webhookUrl === undefined && isWritten(config.process, "webhookFormat")) {
    warnings.push("webhook_format does nothing without webhook_url");
  }
  return { errors, warnings };
}

function isWritten(part: { origins: Readonly<Partial<Record<Key, string>>> }, key: Key): boolean {
  return part.origins[key] !== "default" && part.origins[key] !== undefined;
}

/** Options of the coordinator that lack each other. */
function coordination(
  process: Config["process"],
  { errors, warnings }: { errors: string[]; warnings: string[] },
): void {
  const pairs = [
    ["coordinatorUser", "coordinatorPasswordFile"],
    ["coordinatorCert", "coordinatorKey"],
  ] as const;
  for (const [a, b] of pairs) {
    if ((process[a] === undefined) === (process[b] === undefined)) continue;
    const [has, lacks] = process[a] === undefined ? [b, a] : [a, b];
    const names = `${yamlKeyOf(has)} without ${yamlKeyOf(lacks)}`;
    errors.push(`Cannot use ${names} (from ${process.origins[has]})`);
  }
  if (process.coordinator !== undefined) return;
  const others = [
    ...["coordinatorUser", "coordinatorPasswordFile", "coordinatorCa", "coordinatorCert"],
    ...["coordinatorKey", "coordinatorLease", "withoutCoordinator"],
  ] as Key[];
  for (const key of others.filter((each) => isWritten(process, each))) {
    warnings.push(`${yamlKeyOf(key)} does nothing without coordinator`);
  }
}

/** Errors for two listeners on one address, found before the second one fails to bind. */
function twoListeners(config: Config): string[] {
  const lines: string[] = [];
  const claims: { readonly address: Address; readonly origin: string }[] = [];
  function claim(address: Address | undefined, origin = "default"): void {
    if (address === undefined) return;
    const other = claims.find((each) => collide(each.address, address));
    if (other !== undefined) {
      const [text, taken] = [address, other.address].map((each) =>
        formatAddress(each).toLowerCase()
      );
      const what = text === taken ? `on "${text}" twice` : `on "${text}" beside "${taken}"`;
      lines.push(`Cannot listen ${what} (from ${other.origin} and from ${origin})`);
    }
    claims.push({ address, origin });
  }
  claim(config.process.admin, config.process.origins.admin);
  for (const service of config.services) {
    if (service.mode === "tcp") claim(service.bind, service.origins.bind);
    else {
      const { listen, redirectHttp, origins } = service;
      claim(listen, origins.listen);
      if (redirectHttp === undefined || listen.kind !== "tcp") continue;
      claim({ ...listen, port: redirectHttp }, origins.redirectHttp);
    }
  }
  return lines;
}

/** Errors for upstreams that are the service's own listening address. */
function selves(service: ServiceConfig, interfaces: Interfaces): string[] {
  const isTcp = service.mode === "tcp";
  const [listener, key] = isTcp
    ? [service.bind, "bind"] as const
    : [service.listen, "listen"] as const;
  const upstreams = isTcp
    ? service.hosts.map(({ name, address }) => ({ key: "hosts", name, address } as const))
    : [
      { key: "primary", target: service.primary } as const,
      ...service.backup?.map((target) => ({ key: "backup", target } as const)) ?? [],
    ].flatMap(({ key, target }) =>
      target.kind === "url" ? [{ key, name: target.written, address: target.address }] : []
    );
  const { origins } = service;
  return upstreams.filter(({ address }) => isOwn(address, listener, interfaces)).map((each) =>
    `Cannot use "${each.name}" as ${each.key}: it is where the service itself listens ` +
    `(from ${origins[each.key]}, listening from ${origins[key]})`
  );
}

function switches(service: ServiceConfig): string[] {
  const warnings: string[] = [];
  if (service.checkTimeout > service.checkInterval) {
    warnings.push(
      `check_timeout ${formatDuration(service.checkTimeout)} is longer than check_interval ` +
        `${formatDuration(service.checkInterval)}: a silent upstream is asked less often than that`,
    );
  }
  if (service.hold === 0 && isWritten(service, "holdWhile")) {
    warnings.push("hold_while does nothing with hold 0s: no client is held");
  }
  const promotes = service.mode === "tcp" && service.promote;
  for (const key of ["triggerTimeout", "triggerMode", "onTriggerFailure"] as const) {
    const isUsed = promotes && key === "onTriggerFailure";
    if (service.onFailover === undefined && isWritten(service, key) && !isUsed) {
      warnings.push(`${yamlKeyOf(key)} does nothing without on_failover`);
    }
  }
  if (service.checkHost === undefined && isWritten(service, "checkScriptTimeout")) {
    warnings.push("check_script_timeout does nothing without check_host");
  }
  const clientsWait = service.triggerMode === "before";
  if (clientsWait && service.hold > 0 && service.triggerTimeout > service.hold) {
    warnings.push(
      `hold ${formatDuration(service.hold)} is shorter than trigger_timeout ` +
        `${
          formatDuration(service.triggerTimeout)
        }: clients may be given up on while a program runs`,
    );
  }
  return warnings;
}

/** Errors for a promotion that this check or these triggers do not allow. */
function promotions(service: ServiceConfig): string[] {
  if (service.mode !== "tcp" || !service.promote) return [];
  const { check, triggerMode, origins } = service;
  const [from, mode] = [origins.promote, origins.triggerMode];
  return [
    ...check === "postgres" || check === "redis"
      ? []
      : [`Cannot promote with check ${check}, only with postgres and redis (from ${from})`],
    ...triggerMode === "before" ? [] : [
      `Cannot promote while clients are served: trigger_mode must be before (from ${mode}, promote from ${from})`,
    ],
  ];
}

/** Warnings for options of checks that know the database, without such a check. */
function useless(service: ServiceConfig): string[] {
  if (service.mode !== "tcp") return [];
  const lines = (["checkUser", "checkPasswordFile", "checkTls", "checkCaFile", "maxLag"] as const)
    .filter((key) => service.check === "tcp" && isWritten(service, key))
    .map((key) => `${yamlKeyOf(key)} does nothing with check tcp`);
  const isUnused = !service.promote && isWritten(service, "promoteTimeout");
  return isUnused ? [...lines, "promote_timeout does nothing without promote"] : lines;
}

/** Warnings for options about TLS toward upstreams, where no upstream has any. */
function ofSecureUpstreams(service: HttpConfig): string[] {
  const { primary, backup } = service;
  const isSecure = (each: Target) => each.kind === "url" && each.url.protocol === "https:";
  if ([primary, ...backup ?? []].some(isSecure)) return [];
  return (["caFile", "upstreamCert"] as const)
    .filter((key) => service[key] !== undefined)
    .map((key) => `${yamlKeyOf(key)} does nothing without an https:// upstream`);
}

function upstreamsOf(
  service: HttpConfig,
  found: { errors: string[]; warnings: string[] },
): void {
  if (service.accessLog === "off" && isWritten(service, "accessLogFormat")) {
    found.warnings.push("access_log_format does nothing without access_log");
  }
  const { primary, backup, origins } = service;
  const { origin, pathname } = primary.url;
  const isPrimary = (each: Target) =>
    each.kind === "url" && each.url.origin === origin && each.url.pathname === pathname;
  if (backup?.some(isPrimary)) {
    found.warnings.push(
      `primary and backup are the same, ${primary.written}: there is nowhere to fail over to (from ` +
        `${origins.primary} and from ${origins.backup})`,
    );
  }
  if (backup === undefined) found.warnings.push("there is no backup to fail over to");
  // A certificate may be in one file with its key, so that only the files tell what is missing.
  if (service.tlsKey !== undefined && service.tlsCert === undefined) {
    found.errors.push(`Cannot use tls_key without tls_cert (from ${origins.tlsKey})`);
  }
  if ((service.upstreamCert === undefined) !== (service.upstreamKey === undefined)) {
    const [has, lacks] = service.upstreamCert === undefined ? ["key", "cert"] : ["cert", "key"];
    const origin = origins.upstreamCert ?? origins.upstreamKey;
    found.errors.push(`Cannot use upstream_${has} without upstream_${lacks} (from ${origin})`);
  }
  found.warnings.push(...ofSecureUpstreams(service));
  for (const key of ["clientCa", "redirectHttp", "hsts"] as const) {
    if (service[key] === undefined || service.tlsCert !== undefined) continue;
    found.errors.push(`Cannot use ${yamlKeyOf(key)} without tls_cert (from ${origins[key]})`);
  }
  if (service.h2c && service.tlsCert !== undefined) {
    found.warnings.push(
      `h2c has no effect with tls_cert: HTTPS offers HTTP/2 by itself (from ${origins.h2c})`,
    );
  }
  if (service.redirectHttp !== undefined && service.listen.kind !== "tcp") {
    found.errors.push(
      `Cannot use redirect_http with a unix socket (from ${origins.redirectHttp})`,
    );
  }
}
