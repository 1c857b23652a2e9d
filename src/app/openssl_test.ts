import { assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { Authority } from "../linux/testing/authority.ts";
import { hasSystemStore } from "../linux/system_store.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { newTicketKeys } from "../linux/ticket_keys.ts";
import { certificatesObjection, dialTlsOf, opensslSockets, PairTrial } from "./openssl.ts";

opensslTest(
  "upstreams are verified by the system's authorities, or by those of Deno where it has none",
  () => {
    const { systemCerts, caCerts, certificate } = dialTlsOf(["pem"], { cert: "c", key: "k" });
    assertEquals([caCerts, certificate], [["pem"], { cert: "c", key: "k" }]);
    assertEquals(hasSystemStore() ? 0 : 1, Math.min(1, systemCerts?.length ?? 0));
  },
);

opensslTest("an objection names the file, or the option for authorities", async () => {
  await using authority = await Authority.make();
  const pair = await authority.certify({ names: ["a.test"] });
  const ticketKeys = newTicketKeys();
  const files = { certPath: "/c.pem", keyPath: "/k.pem", ...pair };
  assertEquals(certificatesObjection({ certificates: [files], ticketKeys }), undefined);
  const bad = { ...files, key: "junk" };
  assertEquals(
    certificatesObjection({ certificates: [files, bad], ticketKeys }),
    "/c.pem: it holds no private key (PEM)",
  );
  assertEquals(
    certificatesObjection({ certificates: [files], clientCa: "junk", ticketKeys }),
    "client_ca: it holds no certificate (PEM)",
  );
});

opensslTest(
  "what is in use is not tried again, unless the authorities for clients are others",
  async () => {
    await using authority = await Authority.make();
    const pair = await authority.certify({ names: ["a.test"] });
    const files = { certPath: "/c.pem", keyPath: "/k.pem", ...pair };
    // Whether it was tried shows, since it cannot be used.
    const bad = { ...files, key: "junk" };
    const inUse = { certificates: [bad], ticketKeys: newTicketKeys() };
    assertEquals(certificatesObjection(inUse, inUse), undefined);
    const more = { ...inUse, certificates: [files, bad, { ...bad, certPath: "/d.pem", key: "x" }] };
    assertEquals(certificatesObjection(more, inUse), "/d.pem: it holds no private key (PEM)");
    const others = { ...inUse, clientCa: authority.cert };
    assertEquals(certificatesObjection(others, inUse), "/c.pem: it holds no private key (PEM)");
  },
);

opensslTest("checks dial over the same TLS as the data plane", async () => {
  await using authority = await Authority.make();
  const { cert, key } = await authority.certify({ names: ["127.0.0.1"] });
  const clients = await authority.certify({ names: ["a client"] });
  await using upstream = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
    () => new Response("up"),
  );
  const sockets = opensslSockets();
  const options = { hostname: "127.0.0.1", port: upstream.addr.port, clock: realClock };
  const tls = dialTlsOf([authority.cert], clients);
  const conn = await sockets.dialer({ ...options, connectMs: 60_000, tls })();
  await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  const buffer = new Uint8Array(1_000);
  const count = await conn.read(buffer) ?? 0;
  assertEquals(new TextDecoder().decode(buffer.subarray(0, count)).split(" ")[1], "200");
  conn.close();
  await sockets.close();
});

opensslTest("of a pair the part is named that cannot be used", async () => {
  await using authority = await Authority.make();
  const [one, other, another] = [
    await authority.certify({ names: ["a.test"] }),
    await authority.certify({ names: ["b.test"] }),
    await authority.certify({ names: ["c.test"], rsa: true }),
  ];
  using trial = new PairTrial();
  assertEquals(trial.objection(one), undefined);
  const mixed = { part: "key", why: "it does not belong to the certificate" } as const;
  assertEquals(trial.objection({ ...one, key: other.key }), mixed);
  // The key of another kind.
  assertEquals(trial.objection({ ...one, key: another.key }), mixed);
  assertEquals(trial.objection({ ...one, cert: "junk" })?.part, "cert");
});
