/** Which names are found in certificates that openssl makes. */
import { assertEquals } from "@std/assert";
import { namesOf } from "./certificate_names.ts";
import { closeOpenSsl, openOpenSsl } from "./open_openssl.ts";
import { certificatesOf } from "./pem.ts";
import { opensslTest } from "./testing/tls_pair.ts";

/** The names of a certificate that is made with these arguments. */
async function namesWith(subject: string, alternatives?: string): Promise<string[]> {
  const extension = alternatives === undefined ? [] : ["-addext", `subjectAltName=${alternatives}`];
  const { success, stdout, stderr } = await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", "/dev/null", "-subj", subject, ...extension],
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const openSsl = openOpenSsl();
  const [certificate] = certificatesOf(openSsl, new TextDecoder().decode(stdout), "cert");
  const names = namesOf(openSsl, certificate!);
  openSsl.crypto.X509_free(certificate!);
  closeOpenSsl();
  return names;
}

opensslTest("the names are those of the extension, or the common name if it has none", async () => {
  const many = Array.from({ length: 100 }, (_, at) => `n${at}.test`);
  assertEquals(await namesWith("/CN=own", many.map((name) => `DNS:${name}`).join(",")), many);
  assertEquals(await namesWith("/CN=own", "DNS:A.Test,IP:127.0.0.1,DNS:*.B.test,email:a@b"), [
    "a.test",
    "*.b.test",
  ]);
  assertEquals(await namesWith("/CN=Own.test"), ["own.test"]);
  assertEquals(await namesWith("/CN=own.test", "IP:127.0.0.1"), ["own.test"]);
  assertEquals(await namesWith("/O=nobody"), []);
});
