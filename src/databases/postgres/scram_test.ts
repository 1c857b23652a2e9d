import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LoginRefused } from "../server.ts";
import { Scram } from "./scram.ts";

/** As in RFC 7677 section 3, but without a user, whom PostgreSQL takes from the start of the session. */
const NONCE = "rOprNGfwEbeRWgbNEkqO";
const FIRST = `r=${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`;
/** By Python's hmac and hashlib, which give the values of the RFC for its user. */
const PROOF = "qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=";
const SIGNATURE = "3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=";

Deno.test("the proof is the one that another implementation calculates, and the server's signature is verified", async () => {
  const scram = new Scram("pencil", NONCE);
  assertEquals(scram.first(), `n,,n=,r=${NONCE}`);
  const final = await scram.final(FIRST);
  assertEquals(final, `c=biws,r=${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=${PROOF}`);
  scram.verify(`v=${SIGNATURE}`);
  assertThrows(() => scram.verify("v=AAAA"), LoginRefused, "does not know the password");
  assertThrows(() => new Scram("pencil", NONCE).verify("v="), LoginRefused);
});

Deno.test("a first message that is malformed, has another nonce, or asks for too much is refused", async () => {
  const bad = [
    "",
    FIRST.replace(NONCE, "other"),
    FIRST.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
    FIRST.replace("4096", "0"),
    FIRST.replace("4096", "2147483647"),
    FIRST.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "?"),
    `${FIRST},x=1`,
  ];
  for (const text of bad) {
    await assertRejects(() => new Scram("pencil", NONCE).final(text), LoginRefused);
  }
  await assertRejects(() => new Scram("", NONCE).final(FIRST), LoginRefused, "empty");
});
