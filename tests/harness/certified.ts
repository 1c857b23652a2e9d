/** What tests of TLS share: an authority, certificates in files, and an upstream that demands one of its clients. */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Authority } from "../../src/linux/testing/authority.ts";
import { tlsUnsupportedReason } from "../../src/linux/tls_unsupported_reason.ts";
import { Folder } from "./folder.ts";
import { testWithPrograms } from "./scenario.ts";

/** A test that needs the system's OpenSSL, an authority, and a folder with its certificate, `ca.pem`. */
export function opensslScenario(
  name: string,
  run: (authority: Authority, folder: Folder) => Promise<void>,
): void {
  testWithPrograms(name, ["openssl", "curl"], async () => {
    if (tlsUnsupportedReason() !== undefined) return;
    await using authority = await Authority.make();
    await using folder = await Folder.make();
    await folder.write("ca.pem", authority.cert);
    await run(authority, folder);
  });
}

/** Writes a certificate for these names, and its key: the files `FILE.crt` and `FILE.key` of the folder. */
export async function certify(
  folder: Folder,
  authority: Authority,
  file: string,
  names: string[],
  days = 30,
): Promise<{ readonly cert: string; readonly key: string }> {
  const pair = await authority.certify({ names, days });
  return {
    cert: await folder.write(`${file}.crt`, pair.cert),
    key: await folder.write(`${file}.key`, pair.key),
  };
}

/** An upstream that demands a certificate of its clients, signed by the authority `clients`, and says so. */
export async function demandingUpstream(authority: Authority, name: string, clients: string) {
  const { cert, key } = await authority.certify({ names: [name] });
  const options = { cert, key, ca: clients, requestCert: true, rejectUnauthorized: true };
  const server = createServer(options, (request, response) => {
    const { authorized } = request.socket as unknown as { authorized: boolean };
    response.end(`authorized: ${authorized}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://${name}:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
