/** Tests that need a certificate, which openssl makes. */
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { testWithPrograms } from "../harness/scenario.ts";

/** A test that needs a certificate; skipped without openssl, which its name then says. */
export function tlsTest(name: string, run: (tls: TlsFiles) => Promise<void>): void {
  testWithPrograms(name, ["openssl"], async () => {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    try {
      await run(await writeCertificate(folder));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
