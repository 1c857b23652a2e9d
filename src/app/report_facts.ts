/** What the reports take from the options and from the system. Part of the composition root. */
import type { ReloadAnswer } from "../admin/reload.ts";
import type { ProcessFacts } from "../admin/metrics.ts";
import { fingerprint } from "../config/fingerprint.ts";
import type { Config, ServiceConfig } from "../config/options.ts";
import type { IncidentService } from "../incidents/incidents.ts";
import { measure } from "../net/descriptors.ts";
import type { LogSettings } from "../report/log.ts";

/** The answer to a reload before the services have started. */
export const NOT_YET: ReloadAnswer = {
  outcome: "refused",
  errors: ["Cannot reload yet: the proxy is starting"],
  changes: [],
  warnings: [],
};

/** What records of incidents say of a service. */
export function incidentServiceOf(service: ServiceConfig): IncidentService {
  return {
    name: service.name,
    primary: primaryOf(service),
    configHash: fingerprint(service),
  };
}

/** How the log is written. */
export function logSettingsOf({ process: { logLevel, jsonLogs } }: Config): LogSettings {
  return { level: logLevel, json: jsonLogs };
}

/** Whether the admin listener answers to other names. */
export function hasOtherHosts({ process: one }: Config, { process: other }: Config): boolean {
  return JSON.stringify(one.adminHosts) !== JSON.stringify(other.adminHosts);
}

/** The name of the upstream of rank 0. */
export function primaryOf(service: ServiceConfig): string {
  return service.mode === "tcp" ? service.hosts[0]!.name : service.primary.name;
}

/** Counts the open descriptors, with one system call for each; done for each scrape. */
export function descriptors(): ProcessFacts["descriptors"] {
  const measured = measure();
  return measured === undefined ? undefined : { open: measured.open, max: measured.limit };
}
