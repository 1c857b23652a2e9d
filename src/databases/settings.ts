/** What the operator said about a check that asks a database, beside where the server is. */
import type { ServerProbeSettings } from "../health/server_probe.ts";

/** How TLS is used toward MySQL and Redis; PostgreSQL has variables of its own for it. */
export interface TlsOptions {
  /** With an authority in `tlsCa` it is `verify-full` if missing; else `prefer` for MySQL, `disable` for Redis. */
  readonly tlsMode?: "disable" | "prefer" | "require" | "verify-ca" | "verify-full";
  /** A file with the authorities to trust instead of the usual ones, in PEM; read for each connection. */
  readonly tlsCa?: string;
}

/** The settings of one probe. */
export type DatabaseSettings = ServerProbeSettings & TlsOptions;

/** Who we are for the server. */
export type Credentials = Pick<ServerProbeSettings, "user" | "readPassword" | "env">;
