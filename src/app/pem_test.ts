import { assert, assertEquals } from "@std/assert";
import { certificateFor } from "../net/testing/certificate.ts";
import { pairObjections, whyNoAuthorities } from "./pem.ts";

const NO_CERTIFICATE = { part: "cert", why: "it holds no certificate (PEM)" };
const NO_KEY = { part: "key", why: "it holds no private key (PEM)" };

Deno.test("certificates and keys are taken as openssl writes them, and nothing else", async () => {
  const [one, other] = [await certificateFor("one"), await certificateFor("other")];
  assertEquals(whyNoAuthorities(one.cert), undefined);
  assertEquals(whyNoAuthorities(one.key), NO_CERTIFICATE.why);
  const damaged = one.cert.replace(/\n[^-]+\n/, "\nAAAA\n");
  assert(/^a certificate in it cannot be used: /.test(whyNoAuthorities(damaged)!));
  assertEquals(pairObjections(one, "c"), []);
  assertEquals(pairObjections({ cert: "x", key: "x" }, "c"), [NO_CERTIFICATE, NO_KEY]);
  assertEquals(pairObjections({ ...one, key: one.cert }, "c"), [NO_KEY]);
  assertEquals(pairObjections({ ...one, key: other.key }, "c"), [
    { part: "key", why: 'it does not belong to the certificate in "c"' },
  ]);
  const [{ part, why } = { part: "", why: "" }, ...more] = pairObjections(
    {
      ...one,
      key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    },
    "c",
  );
  assertEquals([part, more], ["key", []]);
  assert(/^it is encrypted/.test(why));
});
