/** Which certificate and which protocol clients get, and which clients get none. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { EAGAIN } from "./errno.ts";
import { Authority } from "./testing/authority.ts";
import { askForName, contextOf } from "./testing/server_name.ts";
import { carry, opensslTest, received, shakeHands } from "./testing/tls_pair.ts";
import { TlsClientContext } from "./tls_client.ts";
import { TICKET_KEYS_BYTES } from "./ticket_keys.ts";
import { CertificateError, TlsServerContext } from "./tls_server.ts";

const keys = (fill = 1) => new Uint8Array(TICKET_KEYS_BYTES).fill(fill);
const protocols = ["http/1.1"];

/** How the client's handshake ends when it wants `hostname`, and asks for it or for another name: 0, or why not. */
function askFor(
  hostname: string,
  client: TlsClientContext,
  server: TlsServerContext,
  asked?: string,
) {
  const session = client.inMemory({ hostname, port: 1, isIp: /^[\d.]+$/.test(hostname) });
  if (asked !== undefined) askForName(session, asked);
  const served = server.inMemory();
  const [result] = shakeHands(session, served);
  const { why } = session;
  session.free();
  served.free();
  return result === 0 ? 0 : why;
}

opensslTest(
  "the name that a client asks for chooses the certificate, exact before wildcard",
  async () => {
    await using authority = await Authority.make();
    const names = [["first.test"], ["*.wild.test", "wild.test"], ["own.wild.test"], ["127.0.0.1"]];
    const certificates = await Promise.all(names.map((names) => authority.certify({ names })));
    using server = new TlsServerContext({ certificates, protocols, ticketKeys: keys() });
    using client = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
    for (
      const name of [
        "first.test",
        "FIRST.test",
        "a.wild.test",
        "wild.test",
        "own.wild.test",
      ]
    ) {
      assertEquals(askFor(name, client, server), 0, name);
    }
    for (const name of ["own.wild.test.", "OWN.WILD.TEST."]) {
      assertEquals(askFor("own.wild.test", client, server, name), 0, name);
    }
    // What is no host name chooses nothing.
    for (const name of [".", "..", ".wild.test", "\u00ff.other", `${"a".repeat(250)}.b.c`]) {
      assertEquals(askFor("first.test", client, server, name), 0, name);
    }
    // It was not the wildcard that answered for the name that has a certificate of its own.
    using only = new TlsServerContext({
      certificates: [certificates[1]!, certificates[2]!],
      protocols,
      ticketKeys: keys(),
    });
    const trusting = new TlsClientContext({
      caCerts: [certificates[2]!.cert],
      trustsSystem: false,
    });
    assertEquals(askFor("own.wild.test", trusting, only), 0);
    trusting[Symbol.dispose]();
    // Nobody has a certificate for these: the first one is shown, and the client decides.
    assertEquals(askFor("other.test", client, server), "hostname mismatch");
    assertEquals(askFor("a.b.wild.test", client, server), "hostname mismatch");
    assertEquals(askFor("127.0.0.1", client, server), "IP address mismatch");
  },
);

opensslTest(
  "other certificates are used from the next handshake on, and what stays is kept",
  async () => {
    await using authority = await Authority.make();
    const of = (name: string) => authority.certify({ names: [name] });
    const [one, two, three] = [await of("one.test"), await of("two.test"), await of("three.test")];
    using server = new TlsServerContext({ certificates: [two], protocols, ticketKeys: keys() });
    using client = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
    const contextNow = () => {
      const session = server.inMemory();
      const context = contextOf(session);
      session.free();
      return context;
    };
    const first = contextNow();
    server.renew({ certificates: [two, one, two], ticketKeys: keys(1) });
    assertEquals(contextNow(), first);
    assertEquals(["one.test", "two.test"].map((name) => askFor(name, client, server)), [0, 0]);
    // One handshake has begun with what is replaced now, and has not said which name it wants.
    const session = client.inMemory({ hostname: "two.test", port: 1, isIp: false });
    const begun = server.inMemory();
    session.handshake();
    carry(session, begun, 20);
    assertEquals(begun.handshake(), -EAGAIN);
    server.renew({ certificates: [three], ticketKeys: keys(2) });
    assertEquals(shakeHands(session, begun)[1], 0);
    session.free();
    begun.free();
    assertEquals(askFor("three.test", client, server), 0);
    assertEquals(askFor("two.test", client, server), "hostname mismatch");
    const other = contextNow();
    assertThrows(() =>
      server.renew({ certificates: [three, { ...one, key: two.key }], ticketKeys: keys() })
    );
    assertEquals([contextNow(), askFor("one.test", client, server)], [other, "hostname mismatch"]);
    // Who may come in is part of what a certificate is used with.
    server.renew({ certificates: [three], ticketKeys: keys(), clientCa: authority.cert });
    assertEquals(contextNow() === other, false);
    assertEquals(server.isOver, false);
  },
);

opensslTest("clients that offer only other protocols are refused", async () => {
  await using authority = await Authority.make();
  const certificates = [await authority.certify({ names: ["localhost"] })];
  using server = new TlsServerContext({ certificates, protocols: ["h2"], ticketKeys: keys() });
  using client = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
  assertEquals(askFor("localhost", client, server), "the peer refused: no application protocol");
});

opensslTest(
  "with client authorities only clients that they have certified are served",
  async () => {
    await using authority = await Authority.make();
    await using other = await Authority.make("Another");
    const certificates = [await authority.certify({ names: ["localhost"] })];
    const clientCa = other.cert;
    using server = new TlsServerContext({ certificates, protocols, clientCa, ticketKeys: keys() });
    const trusted = { caCerts: [authority.cert], trustsSystem: false };
    /** Whether the server lets a client in that has this certificate. */
    const isServed = (certificate?: { cert: string; key: string }) => {
      using client = new TlsClientContext({ ...trusted, certificate });
      const session = client.inMemory({ hostname: "localhost", port: 1, isIp: false });
      const served = server.inMemory();
      const [, result] = shakeHands(session, served);
      const { why, isResumed } = served;
      session.free();
      served.free();
      assertEquals(isResumed, false);
      return result === 0 ? "served" : why;
    };
    assertEquals(isServed(await other.certify({ names: ["a client"] })), "served");
    assertEquals(isServed(), "peer did not return a certificate");
    assertEquals(
      isServed(await authority.certify({ names: ["a client"] })),
      "unable to get local issuer certificate",
    );
    assertEquals(
      isServed(await other.certify({ names: ["a client"], days: -1 })),
      "certificate has expired",
    );
  },
);

opensslTest("whom the operator names as an authority need not be signed by itself", async () => {
  await using authority = await Authority.make();
  const certificates = [await authority.certify({ names: ["localhost"] })];
  const [one, other] = [
    await authority.certify({ names: ["one client"] }),
    await authority.certify({ names: ["another"] }),
  ];
  const settings = { certificates, protocols, clientCa: one.cert, ticketKeys: keys() };
  using server = new TlsServerContext(settings);
  const isServed = (certificate: { cert: string; key: string }) => {
    using client = new TlsClientContext({
      ...{ caCerts: [authority.cert], trustsSystem: false, certificate },
    });
    const session = client.inMemory({ hostname: "localhost", port: 1, isIp: false });
    const served = server.inMemory();
    const [, result] = shakeHands(session, served);
    session.free();
    served.free();
    return result === 0;
  };
  assertEquals([isServed(one), isServed(other)], [true, false]);
});

opensslTest(
  "a session is resumed by all who have the same keys for tickets, and by no other",
  async () => {
    await using authority = await Authority.make();
    const certificates = [await authority.certify({ names: ["localhost"] })];
    const settings = { certificates, protocols };
    using client = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
    const isResumed = (ticketKeys: Uint8Array<ArrayBuffer>) => {
      using server = new TlsServerContext({ ...settings, ticketKeys });
      const session = client.inMemory({ hostname: "localhost", port: 1, isIp: false });
      const served = server.inMemory();
      assertEquals(shakeHands(session, served), [0, 0]);
      // The tickets of TLS 1.3 come with the first bytes.
      served.send(new TextEncoder().encode("x"), 1);
      carry(served, session);
      assertEquals(received(session), "x");
      session.end();
      session.free();
      served.free();
      return served.isResumed && session.isResumed;
    };
    assertEquals([keys(1), keys(1), keys(2), keys(2)].map(isResumed), [false, true, false, true]);
  },
);

opensslTest(
  "a certificate that cannot be used is named by its place, with the reason",
  async () => {
    await using authority = await Authority.make();
    const [one, two] = [
      await authority.certify({ names: ["a.test"] }),
      await authority.certify({ names: ["b.test"], rsa: true }),
    ];
    const attempt = (certificates: readonly { cert: string; key: string }[], clientCa?: string) => {
      const settings = { certificates, protocols, ticketKeys: keys(), clientCa };
      const error = assertThrows(() => new TlsServerContext(settings), CertificateError);
      return [error.index, error.message];
    };
    const mixed = { cert: one.cert, key: two.key };
    assertEquals(attempt([one, mixed])[0], 1);
    assertEquals(attempt([{ cert: "nothing", key: one.key }]), [
      0,
      "it holds no certificate (PEM)",
    ]);
    assertEquals(attempt([{ cert: one.cert, key: "" }]), [0, "it holds no private key (PEM)"]);
    assertEquals(attempt([one], "nothing"), [undefined, "it holds no certificate (PEM)"]);
    const other = await authority.certify({ names: ["c.test"] });
    assertEquals(attempt([{ cert: one.cert, key: other.key }]), [
      0,
      "it does not belong to the certificate",
    ]);
    // The chain is sent as well, and several kinds of keys are served.
    const chained = { cert: two.cert + authority.cert, key: two.key };
    using server = new TlsServerContext({ certificates: [chained], protocols, ticketKeys: keys() });
    assert(!server.isOver);
  },
);
