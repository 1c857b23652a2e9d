import { assertEquals, assertStrictEquals } from "@std/assert";
import { httpOf } from "../config/testing/config.ts";
import { Authority } from "../linux/testing/authority.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { newTicketKeys } from "../linux/ticket_keys.ts";
import { type ServiceTls, serviceTls } from "./service_tls.ts";

const FILES = {
  caCerts: undefined,
  errorPage: undefined,
  https: undefined,
  upstreamCertificate: undefined,
};
const PLAIN = ["--primary=http://a.test", "--backup=http://b.test"];

Deno.test("a service without TLS needs nothing of OpenSSL", async () => {
  assertEquals(await serviceTls(httpOf(PLAIN), FILES), undefined);
});

opensslTest(
  "what a service dials with changes with its files, and its connections stay",
  async () => {
    const config = httpOf(["--primary=https://a.test", "--backup=http://b.test"]);
    const first = await serviceTls(config, FILES) as ServiceTls;
    const second = await serviceTls(config, { ...FILES, caCerts: ["pem"] }, first) as ServiceTls;
    assertEquals([first.dialTls.caCerts, second.dialTls.caCerts], [undefined, ["pem"]]);
    assertStrictEquals(second.sockets, first.sockets);
    second.close();
  },
);

opensslTest("a certificate that cannot be used is the result", async () => {
  await using authority = await Authority.make();
  const pair = await authority.certify({ names: ["a.test"] });
  const files = { certPath: "c.pem", keyPath: "k.pem", cert: pair.cert, key: "junk" };
  const https = { certificates: [files], ticketKeys: newTicketKeys() };
  const config = httpOf([...PLAIN, "--tls-cert=c.pem", "--tls-key=k.pem"]);
  assertEquals(
    await serviceTls(config, { ...FILES, https }),
    "c.pem: it holds no private key (PEM)",
  );
});
