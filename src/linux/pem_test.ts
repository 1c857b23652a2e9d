import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeOpenSsl, openOpenSsl } from "./open_openssl.ts";
import { certificatesOf, keyOf, PemError } from "./pem.ts";
import { Authority } from "./testing/authority.ts";
import { opensslTest } from "./testing/tls_pair.ts";

opensslTest("all certificates of a text are read, and the key", async () => {
  await using authority = await Authority.make();
  const { cert, key } = await authority.certify({ names: ["a.test"] });
  const library = openOpenSsl();
  try {
    const found = certificatesOf(library, `words before\n${cert}\n\n${authority.cert}`, "cert");
    assertEquals(found.length, 2);
    for (const each of found) library.crypto.X509_free(each);
    library.crypto.EVP_PKEY_free(keyOf(library, key));
  } finally {
    closeOpenSsl();
  }
});

opensslTest(
  "a text that is damaged, empty or encrypted is refused, without a question on the terminal",
  async () => {
    await using authority = await Authority.make();
    const { cert, key } = await authority.certify({ names: ["a.test"] });
    const encrypted = `${authority.folder}/encrypted.key`;
    const args = ["ec", "-aes256", "-passout", "pass:secret", "-out", encrypted];
    const made = new Deno.Command("openssl", { args, stdin: "piped", stderr: "null" }).spawn();
    const writer = made.stdin.getWriter();
    await writer.write(new TextEncoder().encode(key));
    await writer.close();
    assert((await made.status).success);
    const library = openOpenSsl();
    try {
      const ofCert = (pem: string) =>
        assertThrows(() => certificatesOf(library, pem, "ca"), PemError);
      assertEquals([ofCert("").part, ofCert("").message], ["ca", "it holds no certificate (PEM)"]);
      const damaged = cert.replace(/^M/m, "!");
      assert(ofCert(authority.cert + damaged).message.startsWith("a certificate in it cannot be"));
      const ofKey = (pem: string) => assertThrows(() => keyOf(library, pem), PemError).message;
      assertEquals(ofKey(cert), "it holds no private key (PEM)");
      assert(ofKey(await Deno.readTextFile(encrypted)) !== "");
    } finally {
      closeOpenSsl();
    }
  },
);
