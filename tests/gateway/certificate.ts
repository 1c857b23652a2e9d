/** Tests that need a certificate, which openssl makes. */
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { inTempFolder } from "../../src/base/testing/temp_folder.ts";

/** A test that needs a certificate; skipped without openssl, which its name then says. */
export function tlsTest(name: string, run: (tls: TlsFiles) => Promise<void>): void {
  testWithPrograms(name, ["openssl"], async () => {
    await inTempFolder(async (folder) => run(await writeCertificate(folder)));
  });
}

/** Runs `run` with a client that speaks HTTP/2 only and trusts the certificate. */
export async function withHttp2Client(
  tls: TlsFiles,
  run: (client: Deno.HttpClient) => Promise<void>,
): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false, http2: true });
  await run(client);
}
