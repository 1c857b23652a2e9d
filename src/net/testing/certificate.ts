/** Certificates for tests, made by openssl. */

export interface TestCertificate {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

/** Writes a self-signed certificate for this host name, and its key, into a folder. */
export async function writeCertificate(
  folder: string,
  name = "localhost",
): Promise<TestCertificate> {
  const [certPath, keyPath] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const args = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30
    -subj /CN=${name} -addext subjectAltName=DNS:${name},IP:127.0.0.1
    -addext basicConstraints=critical,CA:FALSE -keyout ${keyPath} -out ${certPath}`.split(/\s+/);
  const { success, stderr } = await new Deno.Command("openssl", { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const [cert, key] = [await Deno.readTextFile(certPath), await Deno.readTextFile(keyPath)];
  return { certPath, keyPath, cert, key };
}

/** A self-signed certificate for this host name, and its key, without files that remain. */
export async function certificateFor(
  name: string,
): Promise<Pick<TestCertificate, "cert" | "key">> {
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  try {
    const { cert, key } = await writeCertificate(folder, name);
    return { cert, key };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
