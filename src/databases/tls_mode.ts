/** TLS to MySQL and Redis, from the options of the check. */
import { readOperatorFile } from "./files.ts";
import { LoginRefused } from "./server.ts";
import type { DatabaseSettings } from "./settings.ts";
import type { TlsSettings } from "./tls_layer.ts";

/** Whether the connection must have TLS, and what is verified then. */
export interface TlsWish {
  readonly isRequired: boolean;
  readonly settings: TlsSettings;
}

/** The wish of the operator; undefined for none. Rejects with `LoginRefused` or a `Fault` if the file cannot be read. */
export async function tlsFrom(
  { tlsMode, tlsCa }: Pick<DatabaseSettings, "tlsMode" | "tlsCa">,
  usual: NonNullable<DatabaseSettings["tlsMode"]>,
): Promise<TlsWish | undefined> {
  const mode = tlsMode ?? (tlsCa === undefined ? usual : "verify-full");
  if (mode === "disable") return undefined;
  const verify = mode === "verify-full" ? "full" : mode === "verify-ca" ? "ca" : "none";
  const file = tlsCa === undefined ? undefined : await readOperatorFile(tlsCa);
  if (tlsCa !== undefined && file === undefined) {
    throw new LoginRefused(`the certificates ${tlsCa} do not exist`);
  }
  const ca = file === undefined ? {} : { ca: file.text };
  return { isRequired: mode !== "prefer", settings: { verify, ...ca } };
}
