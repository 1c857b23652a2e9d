/** What is said of the dates of certificates that openssl makes. */
import { assertEquals, assertMatch } from "@std/assert";
import { Authority } from "../linux/testing/authority.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { authorityWarning, dateWarnings } from "./certificate_dates.ts";

const DAY_MS = 86_400_000;

opensslTest("a certificate that has expired, will soon or is too new is named", async () => {
  await using authority = await Authority.make();
  const { cert, key } = await authority.certify({ names: ["a.test"], days: 30 });
  const files = [{ certPath: "/a.crt", keyPath: "/a.key", cert, key }];
  const now = Date.now();
  assertEquals(dateWarnings(files, now), []);
  assertMatch(
    dateWarnings(files, now + 25 * DAY_MS).join("|"),
    /^the certificate in \/a\.crt expires on \d{4}-\d\d-\d\d, in 4 days$/,
  );
  assertMatch(dateWarnings(files, now + 29.5 * DAY_MS).join("|"), /, in less than a day$/);
  assertMatch(dateWarnings(files, now + 31 * DAY_MS).join("|"), / has expired on \d{4}-/);
  assertMatch(dateWarnings(files, now - DAY_MS).join("|"), / is not valid before \d{4}-/);
  assertEquals(dateWarnings([{ ...files[0]!, cert: "junk" }], now), []);
});

opensslTest(
  "an authority of clients that can certify none is named, unless there is another",
  async () => {
    await using authority = await Authority.make();
    const { cert } = await authority.certify({ names: ["a.test"], days: 60 });
    const now = Date.now();
    const said = (pem: string, wall = now) => authorityWarning("/ca.pem", pem, wall) ?? "";
    assertEquals(said(authority.cert), "");
    assertMatch(said(cert), /^no certificate in \/ca\.pem is one of an authority: /);
    assertEquals(said(cert + authority.cert), "");
    assertMatch(
      said(authority.cert, now + 31 * DAY_MS),
      /^the authority of clients in \/ca\.pem has expired on \d{4}-/,
    );
    assertEquals(said(authority.cert + cert, now + 31 * DAY_MS), "");
    assertEquals(said("junk"), "");
  },
);
