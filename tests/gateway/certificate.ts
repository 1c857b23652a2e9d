/** Certificates for tests, made by openssl. */
import { assert } from "@std/assert";
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";

const hasOpenssl = ["/usr/bin/openssl", "/usr/local/bin/openssl"].some((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/** A self-signed certificate in a separate folder. */
export async function certificate(folder: string): Promise<TlsFiles> {
  const [certPath, keyPath] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const args = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
    -addext basicConstraints=critical,CA:FALSE -keyout ${keyPath} -out ${certPath}`.split(/\s+/);
  const { success, stderr } = await new Deno.Command("openssl", { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  const [cert, key] = [await Deno.readTextFile(certPath), await Deno.readTextFile(keyPath)];
  return { certPath, keyPath, cert, key };
}

/** A test that needs a certificate; skipped without openssl, which its name then says. */
export function tlsTest(name: string, run: (tls: TlsFiles) => Promise<void>): void {
  Deno.test({
    name: hasOpenssl ? name : `${name} (needs openssl)`,
    ignore: !hasOpenssl,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
      try {
        await run(await certificate(folder));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
