/** What one service has of OpenSSL on the main thread: for its checks, and to try certificates. Part of the composition root. */
import type { HttpConfig } from "../config/options.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import type { DialTls, Sockets } from "../net/transport.ts";
import type { HttpFiles } from "./files.ts";
import { speaksTls } from "./threads.ts";

/** Made when the service first speaks TLS, and kept when its options change. */
export interface ServiceTls {
  /** For the checks. */
  readonly sockets: Sockets;
  readonly dialTls: DialTls;
  /** Why certificates cannot be used, for a person; undefined if they can. What is `inUse` can. */
  objection(https: HttpsSettings, inUse?: HttpsSettings): string | undefined;
  close(): void;
}

/**
 * Loads OpenSSL if the service speaks TLS; undefined if it does not. Resolves with a reason, for a person, if its
 * certificates cannot be used. `former`: what it had before its options changed, of which the sockets are used again.
 */
export async function serviceTls(
  config: HttpConfig,
  files: HttpFiles,
  former?: ServiceTls,
): Promise<ServiceTls | string | undefined> {
  if (!speaksTls(config)) return undefined;
  const { certificatesObjection, dialTlsOf, opensslSockets } = await import("./openssl.ts");
  const why = files.https && certificatesObjection(files.https, eachTried(files.https));
  if (why !== undefined) return why;
  const sockets = former?.sockets ?? opensslSockets();
  return {
    sockets,
    dialTls: dialTlsOf(files.caCerts, files.upstreamCertificate),
    objection: certificatesObjection,
    close: () => void sockets.close(),
  };
}

/** Each certificate was tried when its file was read; one is tried again, together with the authorities for clients. */
function eachTried(https: HttpsSettings): HttpsSettings {
  return { ...https, certificates: https.certificates.slice(1) };
}
