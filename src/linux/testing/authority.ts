/** Certificates for tests of OpenSSL: an authority, and servers and clients that it certifies. Made by openssl. */
import type { CertifiedKey } from "../tls_context.ts";

/** How a certificate is made. */
export interface CertificateOptions {
  /** Host names and IP addresses, the first of which is the common name as well. */
  readonly names: readonly string[];
  /** Days until it expires; a negative number for one that has. */
  readonly days?: number;
  /** The kind of its key; elliptic by default. */
  readonly rsa?: boolean;
}

/** An authority in a folder of its own, which is removed with it. */
export class Authority implements AsyncDisposable {
  readonly folder: string;
  /** Its own certificate, in PEM. */
  readonly cert: string;
  #count = 0;

  static async make(name = "Test authority"): Promise<Authority> {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    await openssl([
      ...["req", "-x509", ...NEW_KEY, "-nodes", "-days", "30", "-subj", `/CN=${name}`],
      ...[
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=keyCertSign,cRLSign",
      ],
      ...["-keyout", `${folder}/ca.key`, "-out", `${folder}/ca.pem`],
    ]);
    return new Authority(folder, await Deno.readTextFile(`${folder}/ca.pem`));
  }

  private constructor(folder: string, cert: string) {
    this.folder = folder;
    this.cert = cert;
  }

  /** Certifies a new key. The files are `cert.pem` and `key.pem` in `folder` if that is given. */
  async certify(options: CertificateOptions, folder?: string): Promise<CertifiedKey> {
    const serial = ++this.#count;
    const place = `${this.folder}/${serial}`;
    const { names, days = 30, rsa = false } = options;
    const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? "IP" : "DNS"}:${name}`);
    await Deno.writeTextFile(`${place}.ext`, `subjectAltName=${alternatives.join(",")}\n`);
    const key = rsa ? ["-newkey", "rsa:2048"] : NEW_KEY;
    await openssl([
      ...["req", "-new", ...key, "-nodes", "-subj", `/CN=${names[0]}`],
      ...["-keyout", `${place}.key`, "-out", `${place}.csr`],
    ]);
    await openssl([
      ...["x509", "-req", "-in", `${place}.csr`, "-CA", `${this.folder}/ca.pem`],
      ...["-CAkey", `${this.folder}/ca.key`, "-set_serial", `${serial}`, "-days", `${days}`],
      ...["-extfile", `${place}.ext`, "-out", `${place}.pem`],
    ]);
    const pair = {
      cert: await Deno.readTextFile(`${place}.pem`),
      key: await Deno.readTextFile(`${place}.key`),
    };
    if (folder !== undefined) {
      await Deno.writeTextFile(`${folder}/cert.pem`, pair.cert);
      await Deno.writeTextFile(`${folder}/key.pem`, pair.key);
    }
    return pair;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

async function openssl(args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
