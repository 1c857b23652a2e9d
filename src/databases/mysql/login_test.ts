import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { denoConn } from "../../net/deno/conn.ts";
import { socketPair } from "../../net/testing/socket_pair.ts";
import { Conversation } from "../conversation.ts";
import { Link } from "../link.ts";
import { LoginRefused, NotReady } from "../server.ts";
import { answerOf, logInToMysql, mysqlRefusal } from "./login.ts";
import { MysqlFramer, packet } from "./packets.ts";

const TEXT = new TextEncoder();
const SCRAMBLE = TEXT.encode("abcdefghijklmnopqrst");

/** The greeting of a server that proposes this kind of log-in. */
function greeting(plugin: string): Uint8Array {
  return packet(
    0,
    new Uint8Array([
      ...[10, ...TEXT.encode("8.0.36\0"), 1, 0, 0, 0, ...SCRAMBLE.subarray(0, 8), 0],
      ...[0xff, 0xf7, 45, 2, 0, 0xff, 0x81, 21, ...new Uint8Array(10)],
      ...[...SCRAMBLE.subarray(8), 0, ...TEXT.encode(`${plugin}\0`)],
    ]),
  );
}

/** By Python's hashlib. */
const NATIVE = "12909d72d875523f8c9d6da44cbd3a6c1ce794db";
const CACHING = "ad439090e1914151d1a7f6bf7c21561d283f2fba52fe39ce9dcd29d687813c2c";

const OK = [0, 0, 0, 2, 0, 0, 0];
const KNOWN = [1, 3];
const DENIED = [0xff, 0x15, 0x04, ...TEXT.encode("#28000Access denied")];

/**
 * Logs in to a server that sends `steps` one after another, each after a packet of ours. Returns the outcome, and the
 * bodies of our packets.
 */
async function logInTo(plugin: string, steps: readonly (readonly number[])[]) {
  const [conn, peer] = await socketPair();
  const link = new Link(denoConn(conn), "localhost", realClock);
  const conversation = new Conversation(link, new MysqlFramer());
  const account = { user: "me", password: "pw", tls: undefined };
  const outcome = logInToMysql(conversation, account).catch((error) => error);
  const ours: Uint8Array[] = [];
  await peer.write(greeting(plugin));
  for (const [at, step] of steps.entries()) {
    const buffer = new Uint8Array(1_000);
    const count = await peer.read(buffer);
    ours.push(buffer.slice(4, count ?? 0));
    await peer.write(packet(2 * at + 2, new Uint8Array(step)));
    // "I know the hash" is followed by the end of the log-in, without an answer of ours.
    if (step === KNOWN) await peer.write(packet(2 * at + 3, new Uint8Array(OK)));
  }
  const result = await outcome;
  await conversation.close();
  peer.close();
  return { result, ours };
}

/** The part of the log-in that proves the password. */
function proofIn(body: Uint8Array, length: number): string {
  const from = 32 + "me\0".length + 1;
  return body.slice(from, from + length).toHex();
}

Deno.test("the answers are those of the documentation", async () => {
  assertEquals((await answerOf("mysql_native_password", "pw", SCRAMBLE)).toHex(), NATIVE);
  assertEquals((await answerOf("caching_sha2_password", "pw", SCRAMBLE)).toHex(), CACHING);
  assertEquals((await answerOf("mysql_native_password", "", SCRAMBLE)).length, 0);
});

Deno.test("caching_sha2_password: a server that knows the hash lets us in", async () => {
  const { result, ours } = await logInTo("caching_sha2_password", [KNOWN]);
  assertEquals(result, "8.0.36");
  assertEquals(proofIn(ours[0]!, 32), CACHING);
});

Deno.test("caching_sha2_password: the password itself is sent over TLS only, and the log-in ends in order", async () => {
  const { result, ours } = await logInTo("caching_sha2_password", [[1, 4], DENIED]);
  assertInstanceOf(result, LoginRefused);
  assertEquals([result.message, ours[1]!.length], [
    "the server wants the password over TLS (caching_sha2_password)",
    0,
  ]);
});

Deno.test("a server may want another kind of log-in, with other random bytes", async () => {
  const wanted = [0xfe, ...TEXT.encode("mysql_native_password\0"), ...SCRAMBLE, 0];
  const { result, ours } = await logInTo("strange", [wanted, OK]);
  assertEquals([result, ours[1]!.toHex()], ["8.0.36", NATIVE]);
  const odd = await logInTo("strange", [[0xfe, ...TEXT.encode("client_ed25519\0x")], DENIED]);
  assertEquals([odd.result.message, odd.ours[1]!.length], [
    "the log-in by client_ed25519 is not supported",
    0,
  ]);
});

Deno.test("a refusal, and what is no log-in", async () => {
  const refused = await logInTo("mysql_native_password", [DENIED]);
  assertEquals([refused.result instanceof LoginRefused, refused.result.message], [
    true,
    "Access denied",
  ]);
  assertEquals(proofIn(refused.ours[0]!, 20), NATIVE);
  const odd = await logInTo("mysql_native_password", [[7]]);
  assertInstanceOf(odd.result, Fault);
});

Deno.test("a host that is blocked is of no use; a server that shuts down is alive", async () => {
  assertInstanceOf(mysqlRefusal({ code: 1129, text: "blocked" }), Fault);
  assertInstanceOf(mysqlRefusal({ code: 1053, text: "down" }), NotReady);
  await assertRejects(
    () => Promise.reject(mysqlRefusal({ code: 1040, text: "many" })),
    LoginRefused,
  );
});
