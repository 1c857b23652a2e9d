/**
 * The property of all parsers of servers' bytes: whatever comes, in whatever division, they give messages or throw a
 * `Fault`, and never anything else; and they end. Seeded, so that a failure can be repeated.
 */
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { Dice, seedOr } from "../base/testing/dice.ts";
import type { Framer } from "./conversation.ts";
import { Cursor } from "./cursor.ts";
import { greetingOf, mysqlComplaint, MysqlFramer, variableText } from "./mysql/packets.ts";
import { postgresComplaint, PostgresFramer, rowOf } from "./postgres/messages.ts";
import { redisReport } from "./redis/question.ts";
import { type RedisReply, RespFramer } from "./redis/resp.ts";

const ROUNDS = 4_000;
const PARTS = [
  ..."+OK\r\n|-ERR x\r\n|:1\r\n|$3\r\nabc\r\n|*2\r\n|$-1\r\n|*-1\r\n|\r\n|$|*|slave|master".split(
    "|",
  ),
  ..."\0\0\0\x05|\0\0\0\x04|R\0\0\0\x08\0\0\0\0|E\0\0\0\x09SFATA\0|D\0\0\0\x0a\0\x01\0\0|Z\0\0\0\x05I"
    .split("|"),
  ..."\x05\0\0\0|\x0a5.5\0|\xff\x15\x04#28000|\xfe\0\0|\x01\0\0\x01\x02|\xfc|\xfd|\xfb|\0|M|C57P03\0"
    .split("|"),
];

function randomBytes(dice: Dice): Uint8Array {
  let text = "";
  for (let count = dice.under(14); count > 0; count--) {
    text += dice.once(4) ? String.fromCharCode(dice.under(256)) : dice.pick(PARTS);
  }
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** What a framer makes of bytes in pieces of this size; a fault is the last word. */
function outcome<Message>(framer: Framer<Message>, bytes: Uint8Array, size: number): unknown[] {
  const found: unknown[] = [];
  try {
    for (let at = 0; at < bytes.length; at += size) {
      // As from a connection, whose buffer is used again.
      const piece = bytes.slice(at, at + size);
      found.push(...structuredClone(framer.push(piece)));
      piece.fill(0);
    }
  } catch (error) {
    assert(error instanceof Fault, String(error));
  }
  return found;
}

const FRAMERS: readonly (() => Framer<unknown>)[] = [
  () => new PostgresFramer(),
  () => new MysqlFramer(),
  () => new RespFramer(),
];

Deno.test("framers find the same messages however the bytes are divided", () => {
  const dice = new Dice(seedOr(1));
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = randomBytes(dice);
    for (const make of FRAMERS) {
      const single = outcome(make(), bytes, 1);
      for (const size of [2, 3, 7]) {
        const found = outcome(make(), bytes, size);
        // A fault in a later part of a piece takes the messages before it along.
        assertEquals(found, single.slice(0, found.length), `round ${round}, seed ${dice.seed}`);
      }
    }
  }
});

Deno.test("readers of messages throw faults only", () => {
  const dice = new Dice(seedOr(2));
  const readers: readonly ((bytes: Uint8Array) => unknown)[] = [
    postgresComplaint,
    rowOf,
    greetingOf,
    mysqlComplaint,
    (bytes) => variableText(new Cursor(bytes)),
  ];
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = randomBytes(dice);
    for (const read of readers) {
      try {
        read(bytes);
      } catch (error) {
        assert(error instanceof Fault, `round ${round}, seed ${dice.seed}: ${error}`);
      }
    }
  }
});

Deno.test("any replies of Redis make a report", () => {
  const dice = new Dice(seedOr(3));
  for (let round = 0; round < ROUNDS; round++) {
    const replies: RedisReply[] = [];
    try {
      replies.push(...new RespFramer().push(randomBytes(dice)));
    } catch (error) {
      assert(error instanceof Fault);
    }
    const pick = () => replies.length === 0 ? null : dice.pick(replies);
    const { role } = redisReport({ ping: pick(), role: pick(), info: pick() });
    assert(["primary", "standby", "unknown"].includes(role));
  }
});
