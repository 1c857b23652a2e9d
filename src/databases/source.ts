/** How a standby names the server that it copies. Pure. */
import type { ServerReport } from "../failover/server_report.ts";

/** The `source` of a report; nothing if the server has not said both, or one is no host or no port. */
export function sourceOf(
  host: string | null | undefined,
  port: string | null | undefined,
): Pick<ServerReport, "source"> {
  if (!host || !/^\d{1,5}$/.test(port ?? "")) return {};
  const name = host.toLowerCase();
  return { source: `${name.includes(":") ? `[${name}]` : name}:${port}` };
}
