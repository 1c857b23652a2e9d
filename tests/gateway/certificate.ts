/** Tests that need a certificate, which openssl makes. */
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";
import { tlsUnsupportedReason } from "../../src/linux/tls_unsupported_reason.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { inTempFolder } from "../../src/base/testing/temp_folder.ts";
import { type Engine, ENGINES, testWithPrograms } from "../harness/scenario.ts";

/** A certificate, and whose TLS is to serve it: Deno's (`stream`), or the system's OpenSSL (`splice`). */
export interface TestTls extends TlsFiles {
  readonly relay: Engine;
}

const WITH_TLS = ENGINES.filter((relay) =>
  relay === "stream" || tlsUnsupportedReason() === undefined
);

/**
 * A test that needs a certificate, run once for each TLS that this system has; skipped without openssl, which its
 * name then says.
 */
export function tlsTest(
  name: string,
  run: (tls: TestTls) => Promise<void>,
  on: readonly Engine[] = WITH_TLS,
): void {
  for (const relay of on.filter((each) => WITH_TLS.includes(each))) {
    testWithPrograms(`[${relay}] ${name}`, ["openssl"], async () => {
      await inTempFolder(async (folder) => run({ ...await writeCertificate(folder), relay }));
    });
  }
}

/** Runs `run` with a client that speaks HTTP/2 only and trusts the certificate. */
export async function withHttp2Client(
  tls: TlsFiles,
  run: (client: Deno.HttpClient) => Promise<void>,
): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false, http2: true });
  await run(client);
}
