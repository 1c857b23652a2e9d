import { assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { rejectedWith } from "../base/testing/faults.ts";
import { denoConn } from "../net/deno/conn.ts";
import { socketPair } from "../net/testing/socket_pair.ts";
import { ANSWER_MAX_BYTES, Conversation, type Framer } from "./conversation.ts";
import { Link } from "./link.ts";

/** Each byte is a message; `!` is none, and `?` is a bug. */
class ByteFramer implements Framer<string> {
  push(bytes: Uint8Array): string[] {
    return [...new TextDecoder().decode(bytes)].map((letter) => {
      if (letter === "!") throw new Fault("badResponse", "no letter");
      if (letter === "?") throw new Error("a bug");
      return letter;
    });
  }
}

async function conversing() {
  const [conn, peer] = await socketPair();
  const link = new Link(denoConn(conn), "localhost", realClock);
  const conversation = new Conversation(link, new ByteFramer());
  const ended = Promise.withResolvers<Fault>();
  conversation.onEnd = ended.resolve;
  const say = (text: string) => peer.write(new TextEncoder().encode(text));
  return { conversation, peer, say, ended: ended.promise };
}

Deno.test("messages come one by one, and those that nobody asked for are forgotten", async () => {
  const { conversation, peer, say } = await conversing();
  await say("abc");
  assertEquals([await conversation.next(), await conversation.next()], ["a", "b"]);
  assertEquals(conversation.unread(), ["c"]);
  conversation.begin();
  const next = conversation.next();
  await say("d");
  assertEquals(await next, "d");
  await conversation.close();
  peer.close();
});

Deno.test("an end rejects who waits, and is told if nobody does; what came before it is kept", async () => {
  const waiting = await conversing();
  const next = waiting.conversation.next();
  waiting.peer.close();
  assertEquals(await rejectedWith(next), "responseCut");

  const idle = await conversing();
  await idle.say("x");
  idle.peer.close();
  assertEquals((await idle.ended).fault, "responseCut");
  assertEquals([idle.conversation.isOver, await idle.conversation.next()], [true, "x"]);
  assertEquals(await rejectedWith(idle.conversation.next()), "responseCut");
  assertEquals(new Conversation(idle.conversation.link, new ByteFramer()).isOver, true);
});

Deno.test("bytes that are no message, and a bug, end the conversation", async () => {
  for (const [text, fault] of [["!", "badResponse"], ["?", "internalError"]] as const) {
    const { conversation, peer, say } = await conversing();
    const next = conversation.next();
    await say(text);
    assertEquals(await rejectedWith(next), fault);
    assertEquals(await peer.read(new Uint8Array(1)), null);
    peer.close();
  }
});

Deno.test("an answer without end is a fault, and the limit counts for each question", async () => {
  const [conn, peer] = await socketPair();
  const link = new Link(denoConn(conn), "localhost", realClock);
  // The message is as long as the answer may be, less one byte.
  let left = ANSWER_MAX_BYTES - 1;
  const framer: Framer<string> = {
    push(bytes) {
      left -= bytes.length;
      return left === 0 ? ["whole"] : [];
    },
  };
  const conversation = new Conversation(link, framer);
  const send = async (count: number) => {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) at += await peer.write(bytes.subarray(at));
  };
  for (let question = 0; question < 2; question++) {
    conversation.begin();
    left = ANSWER_MAX_BYTES - 1;
    const next = conversation.next();
    await send(left);
    assertEquals(await next, "whole");
  }
  const next = conversation.next();
  await send(2);
  assertEquals(await rejectedWith(next), "badResponse");
  peer.close();
});

Deno.test("an abort rejects who waits with its own fault, and is not told", async () => {
  const { conversation, peer } = await conversing();
  conversation.onEnd = () => assertEquals("called", "not called");
  const next = conversation.next();
  conversation.abort(new Fault("responseTimeout"));
  assertEquals(await rejectedWith(next), "responseTimeout");
  peer.close();
});
