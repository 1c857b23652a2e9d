/**
 * Checks that ask a database server for its role. Loaded only when such a check is configured; what needs Node's
 * libraries, TLS and MD5, is loaded when a server asks for it.
 */
import type { Database, ServerProbe } from "../health/server_probe.ts";
import { KeptProbe, type Protocol } from "./kept_probe.ts";
import { mysqlProtocol } from "./mysql/mysql.ts";
import { postgresProtocol } from "./postgres/postgres.ts";
import { redisProtocol } from "./redis/redis.ts";
import type { DatabaseSettings } from "./settings.ts";

const PROTOCOLS: Readonly<Record<Database, (settings: DatabaseSettings) => Protocol>> = {
  postgres: postgresProtocol,
  mysql: mysqlProtocol,
  redis: redisProtocol,
};

/** Makes the probe of one server. It connects when it is asked first. */
export function openProbe(settings: DatabaseSettings): ServerProbe {
  return new KeptProbe(PROTOCOLS[settings.database](settings), settings.clock);
}
