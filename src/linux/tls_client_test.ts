/** What is verified of an upstream, in the words that an operator reads. */
import { assertEquals, assertThrows } from "@std/assert";
import { Authority } from "./testing/authority.ts";
import { opensslTest, shakeHands } from "./testing/tls_pair.ts";
import { PemError } from "./pem.ts";
import { TlsClientContext } from "./tls_client.ts";
import { TICKET_KEYS_BYTES } from "./ticket_keys.ts";
import { TlsServerContext } from "./tls_server.ts";

const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);

opensslTest(
  "names, addresses, dates and authorities are verified, and what is wrong is said",
  async () => {
    await using authority = await Authority.make();
    await using stranger = await Authority.make("A stranger");
    const trusting = { caCerts: [authority.cert], trustsSystem: false };
    const outcome = async (
      hostname: string,
      options: { names: string[]; days?: number },
      by = authority,
      settings = trusting,
    ) => {
      const certificates = [await by.certify(options)];
      using server = new TlsServerContext({ certificates, protocols: ["http/1.1"], ticketKeys });
      using client = new TlsClientContext(settings);
      const isIp = /^[\d.]+$|:/.test(hostname);
      const session = client.inMemory({ hostname, port: 1, isIp });
      const served = server.inMemory();
      const [result] = shakeHands(session, served);
      session.free();
      served.free();
      return result === 0 ? "verified" : session.why;
    };
    const own = { names: ["up.test", "127.0.0.1", "::1"] };
    assertEquals(await outcome("up.test", own), "verified");
    assertEquals(await outcome("127.0.0.1", own), "verified");
    assertEquals(await outcome("::1", own), "verified");
    assertEquals(await outcome("other.test", own), "hostname mismatch");
    assertEquals(await outcome("127.0.0.2", own), "IP address mismatch");
    assertEquals(await outcome("up.test", { ...own, days: -1 }), "certificate has expired");
    const unknown = "unable to get local issuer certificate";
    assertEquals(await outcome("up.test", own, stranger), unknown);
    assertEquals(
      await outcome("up.test", own, authority, { caCerts: [], trustsSystem: true }),
      unknown,
    );
  },
);

opensslTest("a certificate that is trusted itself needs no authority", async () => {
  await using authority = await Authority.make();
  const pair = await authority.certify({ names: ["up.test"] });
  using server = new TlsServerContext({
    certificates: [pair],
    protocols: ["http/1.1"],
    ticketKeys,
  });
  using client = new TlsClientContext({ caCerts: [pair.cert], trustsSystem: false });
  const session = client.inMemory({ hostname: "up.test", port: 1, isIp: false });
  const served = server.inMemory();
  assertEquals(shakeHands(session, served), [0, 0]);
  session.free();
  served.free();
});

opensslTest(
  "authorities and certificates that cannot be read are refused, with the reason",
  async () => {
    await using authority = await Authority.make();
    const pair = await authority.certify({ names: ["up.test"] });
    const refusal = (settings: { caCerts: string[]; certificate?: typeof pair }) =>
      assertThrows(
        () => new TlsClientContext({ ...settings, trustsSystem: false }),
        PemError,
      );
    assertEquals(refusal({ caCerts: ["nothing"] }).message, "it holds no certificate (PEM)");
    const certificate = { cert: pair.cert, key: "nothing" };
    assertEquals(refusal({ caCerts: [], certificate }).part, "key");
  },
);
