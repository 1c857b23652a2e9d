import { assert, assertEquals } from "@std/assert";
import { closeDescriptors, DescriptorSocket } from "../linux/pass_descriptors.ts";
import { Channel, isReceived } from "./channel.ts";

function pair() {
  const ends = DescriptorSocket.pair();
  assert(typeof ends !== "number");
  return { ends, one: new Channel(ends[0]), other: new Channel(ends[1]) };
}

const SOON_MS = 5_000;

Deno.test("a message comes with its bytes and descriptors, and the end after all messages", async () => {
  const { one, other } = pair();
  const content = new Uint8Array([1, 2, 3]);
  const parcel = { type: "parcel", id: 1, service: "db", kind: "k" } as const;
  assertEquals(await one.send(parcel, { content, descriptors: [one.fd] }), undefined);
  await one.send({ type: "end" });
  one[Symbol.dispose]();
  const first = await other.receive(SOON_MS);
  assert(isReceived(first));
  assertEquals([first.message, first.content, first.descriptors.length], [parcel, content, 1]);
  closeDescriptors(first.descriptors);
  const second = await other.receive(SOON_MS);
  assertEquals(isReceived(second) && second.message.type, "end");
  assertEquals(await other.receive(SOON_MS), { end: "gone", words: "has ended" });
  assertEquals(await other.send({ type: "go" }), "broken pipe");
  other[Symbol.dispose]();
});

Deno.test("silence has a deadline, and what is no message is refused", async () => {
  const { ends, one, other } = pair();
  assertEquals(await other.receive(1), { end: "silent", words: "did not answer in time" });
  assertEquals(ends[0].trySend(new TextEncoder().encode("GET / HTTP/1.1\r\n"), [one.fd]), 0);
  const found = await other.receive(SOON_MS);
  assertEquals(found, {
    end: "garbled",
    words: "sent a message that this version does not know",
  });
  one[Symbol.dispose]();
  other[Symbol.dispose]();
});
