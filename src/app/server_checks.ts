/** Joins the checks of a service with the database that it asks. Loaded only for such a service. */
import { type Clock, realClock } from "../base/clock.ts";
import { inFileTime } from "../base/file_time.ts";
import type { TcpConfig } from "../config/options.ts";
import { whyUnreadable } from "../config/unreadable.ts";
import { openProbe } from "../databases/databases.ts";
import { ServerCheck, type ServerCheckSettings } from "../health/server_check.ts";

/** Longest password file, in bytes. */
const PASSWORD_BYTES_MAX = 4_096;

/** What the check of a service needs beside the options. */
export interface DatabaseCheckSettings extends ServerCheckSettings {
  /** The environment of the process, from which databases read. */
  readonly env: Readonly<Record<string, string>>;
}

/** Makes the check of a service that asks a database. */
export function serverCheckOf(config: TcpConfig, settings: DatabaseCheckSettings): ServerCheck {
  const { check: database, checkUser: user, checkPasswordFile, checkTls, checkCaFile } = config;
  if (database === "tcp") throw new Error("This check asks no database");
  const { clock } = settings;
  const probe = {
    ...{ database, user, clock },
    readPassword: checkPasswordFile === undefined
      ? undefined
      : () => readPassword(checkPasswordFile, clock),
    env: {
      ...settings.env,
      ...checkTls === undefined ? {} : { PGSSLMODE: checkTls },
      ...checkCaFile === undefined ? {} : { PGSSLROOTCERT: checkCaFile },
    },
    ...checkTls === undefined ? {} : { tlsMode: checkTls },
    ...checkCaFile === undefined ? {} : { tlsCa: checkCaFile },
  };
  return new ServerCheck(
    ({ name, address }) => Promise.resolve(openProbe({ ...probe, name, address })),
    settings,
  );
}

/** The first line of the file. Rejects with a reason for a person. */
export async function readPassword(path: string, clock: Clock = realClock): Promise<string> {
  const read = await textOf(path, clock).catch((error) => new Error(whyUnreadable(error)));
  if (read instanceof Error) throw new Error(`the password file ${path}: ${read.message}`);
  const password = read.split("\n")[0]!.replace(/\r$/, "");
  if (password === "") throw new Error(`the password file ${path}: it does not hold a password`);
  return password;
}

/** The text of a small file; or what is wrong with it. Rejects as `Deno.stat` and reading do. */
async function textOf(path: string, clock: Clock): Promise<string | Error> {
  const { isFile, size } = await inFileTime(Deno.stat(path), clock);
  // Reading from a pipe or a device may never end.
  if (!isFile) return new Error("it is no regular file");
  if (size > PASSWORD_BYTES_MAX) return new Error(`it is longer than ${PASSWORD_BYTES_MAX} bytes`);
  return await inFileTime(Deno.readTextFile(path), clock);
}
