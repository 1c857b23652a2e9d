/**
 * Who we are for PostgreSQL, from the environment variables that its own clients read, or from the options that take
 * their place. https://www.postgresql.org/docs/current/libpq-envars.html
 */
import type { Address } from "../../base/address.ts";
import { passwordFrom, readOperatorFile } from "../files.ts";
import { LoginRefused } from "../server.ts";
import type { Credentials, TlsOptions } from "../settings.ts";
import type { TlsSettings } from "../tls_layer.ts";
import { passwordFor } from "./passfile.ts";

/** For one log-in. */
export interface Account {
  readonly user: string;
  readonly database: string;
  readonly password?: string;
}

/** The values of `PGSSLMODE`, from the weakest to the strongest. */
export const SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
] as const;
export type SslMode = typeof SSL_MODES[number];

/** Where the mode of TLS and its authorities come from. */
type DatabaseTls = TlsOptions & Pick<Credentials, "env">;

/** Which database the session is opened in, if nobody says; every cluster has it. */
const DATABASE = "postgres";

/** The user, if there is one. Without one nobody logs in. */
export function userOf({ user, env }: Credentials): string | undefined {
  return user ?? (env.PGUSER || undefined);
}

/** The account for one server. Rejects with `LoginRefused` or a `Fault` if a file cannot be read. */
export async function accountOf(credentials: Credentials, address: Address): Promise<Account> {
  const user = userOf(credentials);
  if (user === undefined) throw new LoginRefused("no user is configured");
  const database = credentials.env.PGDATABASE || DATABASE;
  const password = await passwordOf(credentials, { user, database, address });
  return { user, database, ...password === undefined ? {} : { password } };
}

async function passwordOf(
  { readPassword, env }: Credentials,
  { user, database, address }: { user: string; database: string; address: Address },
): Promise<string | undefined> {
  if (readPassword !== undefined) return await passwordFrom(readPassword);
  if (env.PGPASSWORD) return env.PGPASSWORD;
  const path = env.PGPASSFILE || (env.HOME ? `${env.HOME}/.pgpass` : undefined);
  const file = path === undefined ? undefined : await readOperatorFile(path);
  if (file === undefined) return undefined;
  const [host, port] = address.kind === "tcp"
    ? [address.host, String(address.port)]
    : ["localhost", /\.s\.PGSQL\.(\d+)$/.exec(address.path)?.[1] ?? "5432"];
  const found = passwordFor(file.text, { host, port, database, user });
  if (found !== undefined && file.mode !== null && (file.mode & 0o077) !== 0) {
    // As libpq, which ignores such a file.
    throw new LoginRefused(
      `${path} is ignored, because others than its owner may use it (chmod 600)`,
    );
  }
  return found;
}

/** The mode of the options, or else that of `PGSSLMODE`; undefined if the value of that is none. */
export function sslModeOf({ env, tlsMode, tlsCa }: DatabaseTls): SslMode | undefined {
  const text = tlsMode ?? (env.PGSSLMODE || (tlsCa === undefined ? "prefer" : "verify-full"));
  return SSL_MODES.find((mode) => mode === text);
}

/** Whether to try TLS, and whether to try without, in this order. */
export function attemptsOf(mode: SslMode): readonly boolean[] {
  if (mode === "disable") return [false];
  if (mode === "allow") return [false, true];
  if (mode === "prefer") return [true, false];
  return [true];
}

/** What is verified in a mode. Rejects with `LoginRefused` or a `Fault` if the authorities cannot be read. */
export async function tlsOf(mode: SslMode, { env, tlsCa }: DatabaseTls): Promise<TlsSettings> {
  const named = tlsCa ?? (env.PGSSLROOTCERT || undefined);
  if (named === "system") return { verify: mode === "verify-ca" ? "ca" : "full" };
  const path = named ?? (env.HOME ? `${env.HOME}/.postgresql/root.crt` : undefined);
  const file = path === undefined ? undefined : await readOperatorFile(path);
  if (file === undefined && named !== undefined) {
    throw new LoginRefused(`the certificates ${named} do not exist`);
  }
  const ca = file === undefined ? {} : { ca: file.text };
  if (mode === "verify-full") return { verify: "full", ...ca };
  // With authorities at hand libpq verifies them for `require` too.
  const isVerified = mode === "verify-ca" || (mode === "require" && file !== undefined);
  return { verify: isVerified ? "ca" : "none", ...ca };
}
