/** Certificates in files that change, taken over by the TLS of a real port, and what is wrong with them. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import type { Event } from "../events/events.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import { Authority } from "../linux/testing/authority.ts";
import { newTicketKeys } from "../linux/ticket_keys.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import {
  type CertificatePaths,
  CertificateWatch,
  findPairs,
  type InTime,
  PairError,
} from "./certificates.ts";
import { certificatesObjection } from "./openssl.ts";

const MARK = { cert: "-----BEGIN CERTIFICATE-----\n", key: "-----BEGIN EC PRIVATE KEY-----\n" };

const atOnce: InTime = (work) => work;

async function files(folder: string, contents: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(contents)) {
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
}

Deno.test("certificates and keys are paired in order, in folders by name, or are in one file", () =>
  inTempFolder(async (folder) => {
    await files(folder, {
      ...{ "a.pem": MARK.cert, "a.key": MARK.key, "b.crt": MARK.cert, "b.key": MARK.key },
      ...{ "c.pem": MARK.cert + MARK.key, "ca.pem": MARK.cert, "notes.txt": MARK.key },
    });
    const at = (name: string) => `${folder}/${name}`;
    const pairs = async (tlsCert: string[], tlsKey: string[] = []) =>
      (await findPairs({ tlsCert, tlsKey }, atOnce)).map(({ certPath, keyPath }) =>
        `${certPath} ${keyPath}`.replaceAll(`${folder}/`, "")
      );
    assertEquals(await pairs([folder]), ["a.pem a.key", "b.crt b.key", "c.pem c.pem"]);
    const given = [at("b.crt"), folder, at("a.pem"), at("c.pem")];
    assertEquals(await pairs(given, [at("b.key"), at("a.key")]), [
      ...["b.crt b.key", "a.pem a.key", "b.crt b.key", "c.pem c.pem", "a.pem a.key", "c.pem c.pem"],
    ]);
    const refusal = async (tlsCert: string[], tlsKey: string[] = []) => {
      const error = await assertRejects(() => pairs(tlsCert, tlsKey), PairError);
      return [error.key, error.path.replace(`${folder}/`, ""), error.message];
    };
    assertEquals(await refusal([at("a.pem")]), ["tlsCert", "a.pem", "there is no tls_key for it"]);
    assertEquals(await refusal([folder], [at("a.key")]), [
      ...["tlsKey", "a.key", "there is no tls_cert for it"],
    ]);
    await Deno.mkdir(at("empty"));
    assertEquals((await refusal([at("empty")]))[2]!.startsWith("it holds no certificate"), true);
  }));

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const isSameKey = (one: HttpsSettings, other: HttpsSettings) =>
  one.ticketKeys.every((byte, at) => byte === other.ticketKeys[at]);

/** A clock whose time may be another one, while no callback becomes due by that. */
class JumpingClock extends ManualClock {
  #ms = 0;

  jump(ms: number): void {
    this.#ms += ms;
  }

  override now(): number {
    return super.now() + this.#ms;
  }

  override wall(): number {
    return super.wall() + this.#ms;
  }
}

/** A watch of these files, and what it has taken over. */
async function watchOf(paths: CertificatePaths) {
  // A clock whose days are those of the certificates.
  const clock = new JumpingClock(0, Date.now());
  const events: Event[] = [];
  const used: HttpsSettings[] = [];
  const [{ certPath, keyPath }] = await findPairs(paths, atOnce) as [
    { certPath: string; keyPath: string },
  ];
  const [cert, key] = [await Deno.readTextFile(certPath), await Deno.readTextFile(keyPath)];
  const { clientCa } = paths;
  const current = {
    certificates: [{ certPath, keyPath, cert, key }],
    clientCa: clientCa === undefined ? undefined : await Deno.readTextFile(clientCa),
    ticketKeys: newTicketKeys(),
  };
  const parts = {
    clock,
    publish: (event: Event) => void events.push(event),
    objection: certificatesObjection,
    use: (tls: HttpsSettings) => void used.push(tls),
  };
  const watch = new CertificateWatch(paths, current, parts);
  const warnings = () => events.map((event) => event.type === "config.warned" ? event.warning : "");
  return { watch, clock, warnings, used, current, parts };
}

opensslTest(
  "files that change are taken over when they are whole, and complained of once until then",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`] };
      const { watch, warnings, used, current } = await watchOf(paths);
      assertEquals([await watch.reload(), used.length], [undefined, 0]);
      await Deno.writeTextFile(paths.tlsCert[0]!, "half a certifi");
      const why = `${paths.tlsCert[0]}: it holds no certificate (PEM)`;
      assertEquals([await watch.reload(), await watch.reload()], [why, why]);
      assertEquals(warnings(), [`the old certificates stay in use: ${why}`]);
      // The key of another certificate, as between two writes of a renewal.
      const next = await authority.certify({ names: ["one.test"] });
      await Deno.writeTextFile(paths.tlsCert[0]!, next.cert);
      const mixed = `${paths.tlsCert[0]}: it does not belong to the certificate`;
      assertEquals([await watch.reload(), used.length], [mixed, 0]);
      await Deno.writeTextFile(paths.tlsKey[0]!, next.key);
      assertEquals([await watch.reload(), used.length], [undefined, 1]);
      assertEquals(used[0]!.certificates[0]!.cert, next.cert);
      // Sessions of clients that came before can still be resumed.
      assertEquals(used[0]!.ticketKeys, current.ticketKeys);
      await Deno.remove(paths.tlsKey[0]!);
      assertEquals((await watch.reload())?.includes("No such file"), true);
      assertEquals(warnings().length, 3);
      watch[Symbol.dispose]();
    }),
);

opensslTest(
  "a certificate that has expired is taken over like any other, and one line says so",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`] };
      const { watch, warnings, used } = await watchOf(paths);
      await authority.certify({ names: ["one.test"], days: -1 }, folder);
      assertEquals([await watch.reload(), await watch.reload(), used.length], [
        undefined,
        undefined,
        1,
      ]);
      assertEquals(warnings().length, 1);
      assertStringIncludes(warnings()[0]!, "cert.pem has expired on ");
      watch[Symbol.dispose]();
    }),
);

opensslTest(
  "in a folder a certificate may go with its key, and half of it is a renewal that is not over",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      const put = async (name: string) => {
        const { cert, key } = await authority.certify({ names: [`${name}.test`] });
        await files(folder, { [`${name}.crt`]: cert, [`${name}.key`]: key });
      };
      await put("one");
      const { watch, warnings, used } = await watchOf({ tlsCert: [folder] });
      await put("two");
      assertEquals([await watch.reload(), used.at(-1)?.certificates.length], [undefined, 2]);
      await Deno.remove(`${folder}/two.key`);
      const keyless = `${folder}/two.crt: its key is gone`;
      assertEquals([await watch.reload(), await watch.reload(), used.length], [
        keyless,
        keyless,
        1,
      ]);
      await put("two");
      assertEquals([await watch.reload(), used.length], [undefined, 2]);
      await Deno.remove(`${folder}/two.crt`);
      assertEquals([await watch.reload(), used.length], [
        `${folder}/two.key: its certificate is gone`,
        2,
      ]);
      assertEquals(warnings().length, 2);
      await Deno.remove(`${folder}/two.key`);
      assertEquals([await watch.reload(), used.at(-1)?.certificates.length], [undefined, 1]);
      watch[Symbol.dispose]();
    }),
);

opensslTest(
  "a file system that does not answer is asked once, and again when it has answered",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`] };
      const { watch, clock, warnings, used } = await watchOf(paths);
      await authority.certify({ names: ["one.test"] }, folder);
      const { readTextFile } = Deno;
      const answer = Promise.withResolvers<string>();
      const begun = Promise.withResolvers<void>();
      let asked = 0;
      Deno.readTextFile = () => {
        asked++;
        begun.resolve();
        return answer.promise;
      };
      try {
        const first = watch.reload();
        await begun.promise;
        await clock.advance(10_000);
        const why = "the file system does not answer";
        assertEquals([await first, await watch.reload(), await watch.reload()], [why, why, why]);
        assertEquals([asked, warnings()], [1, [`the old certificates stay in use: ${why}`]]);
      } finally {
        Deno.readTextFile = readTextFile;
      }
      answer.resolve("");
      await answer.promise;
      assertEquals([await watch.reload(), used.length], [undefined, 1]);
      watch[Symbol.dispose]();
    }),
);

if (Deno.build.os !== "windows") {
  opensslTest(
    "what never ends is not read, and is no certificate",
    () =>
      inTempFolder(async (folder) => {
        await using authority = await Authority.make();
        const pair = await authority.certify({ names: ["one.test"] });
        await files(folder, { "one.crt": pair.cert, "one.key": pair.key });
        const { watch, used } = await watchOf({ tlsCert: [folder] });
        await Deno.symlink("/dev/zero", `${folder}/two.crt`);
        assertEquals([await watch.reload(), used.length], [undefined, 0]);
        await Deno.symlink("/dev/zero", `${folder}/two.key`);
        assertEquals(await watch.reload(), `${folder}/two.crt: it is no regular file`);
        watch[Symbol.dispose]();
      }),
  );
}

opensslTest(
  "other authorities for clients end the sessions that the old ones have let in",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await using other = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const clientCa = `${folder}/ca.pem`;
      await Deno.writeTextFile(clientCa, authority.cert);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`], clientCa };
      const { watch, used, current } = await watchOf(paths);
      await Deno.writeTextFile(clientCa, other.cert);
      assertEquals(await watch.reload(), undefined);
      assertEquals(used[0]!.clientCa, other.cert);
      assertEquals(isSameKey(used[0]!, current), false);
      await Deno.writeTextFile(clientCa, "junk");
      assertEquals(await watch.reload(), "client_ca: it holds no certificate (PEM)");
      watch[Symbol.dispose]();
    }),
);

opensslTest(
  "the files are read every ten seconds, and no more after the end",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`] };
      const { watch, clock, used } = await watchOf(paths);
      await authority.certify({ names: ["one.test"] }, folder);
      await clock.advance(10_000);
      while (used.length === 0) await new Promise((resolve) => setImmediate(resolve));
      watch[Symbol.dispose]();
      assertEquals(clock.pending, 0);
    }),
);

opensslTest(
  "the keys for tickets are new after half a day, also if the config is reloaded meanwhile",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"] }, folder);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`] };
      const { watch, clock, used, current, parts } = await watchOf(paths);
      clock.jump(11 * HOUR_MS);
      assertEquals([await watch.reload(), used], [undefined, []]);
      watch[Symbol.dispose]();
      using next = new CertificateWatch(paths, current, parts, watch);
      clock.jump(HOUR_MS);
      assertEquals([await next.reload(), used.length], [undefined, 1]);
      assertEquals(used[0]!.certificates, current.certificates);
      assertEquals(isSameKey(used[0]!, current), false);
      clock.jump(11 * HOUR_MS);
      assertEquals([await next.reload(), used.length], [undefined, 1]);
      clock.jump(HOUR_MS);
      assertEquals([await next.reload(), used.length], [undefined, 2]);
      assertEquals(isSameKey(used[0]!, used[1]!), false);
    }),
);

opensslTest(
  "what time does to a certificate is said once while it is in use",
  () =>
    inTempFolder(async (folder) => {
      await using authority = await Authority.make();
      await authority.certify({ names: ["one.test"], days: 10 }, folder);
      const clientCa = `${folder}/ca.pem`;
      await Deno.writeTextFile(clientCa, authority.cert);
      const paths = { tlsCert: [`${folder}/cert.pem`], tlsKey: [`${folder}/key.pem`], clientCa };
      const { watch, clock, warnings } = await watchOf(paths);
      const said = async (days: number) => {
        const before = warnings().length;
        clock.jump(days * DAY_MS);
        assertEquals([await watch.reload(), await watch.reload()], [undefined, undefined]);
        return warnings().slice(before).join("|");
      };
      assertEquals(await said(0), "");
      assertMatch(await said(5), /cert\.pem expires on [-\d]+, in 4 days$/);
      assertMatch(await said(1), /cert\.pem expires on [-\d]+, in 3 days$/);
      assertMatch(await said(5), /cert\.pem has expired on [-\d]+$/);
      assertEquals(await said(5), "");
      assertMatch(await said(20), /^the authority of clients in .*ca\.pem has expired on [-\d]+$/);
      // A clock that was set back makes it valid again, and then it expires again.
      assertEquals(await said(-36), "");
      assertMatch(await said(36), /cert\.pem has expired on .*\|the authority of clients in/);
      watch[Symbol.dispose]();
    }),
);
